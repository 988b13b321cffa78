"""Trying one rule on a few events: what `watchbill rules test` and the content tests call."""

from __future__ import annotations

from collections.abc import Sequence

from watchbill.core.values import Criticality
from watchbill.engine.detect.detector import Detector
from watchbill.engine.detect.rules import Rule, RuleSet
from watchbill.sdk.events import Event
from watchbill.sdk.rules import Detection


def run_rule_test(ruleset: RuleSet, rule: str, events: Sequence[Event], criticality: Criticality) -> list[Detection]:
    """The detections of one rule (with the rules that it correlates) over these events, on assets of this criticality.

    All events are judged as one batch, so there is one detection for each (rule, group): their number is the number
    of alerts. Pure: nothing is kept.
    """
    needed = _needed(ruleset, rule)
    part = RuleSet(tuple(one for one in ruleset.rules if one.name in needed), ())
    detector = Detector(part, lambda _host: criticality)
    found = detector.feed(events, detector.match(events))
    return [detection for detection in found if detection.rule == rule]


def _needed(ruleset: RuleSet, name: str) -> set[str]:
    rule: Rule = ruleset.by_name[name]
    needed = {name}
    for fed in rule.correlation.rules if rule.correlation else ():
        needed |= _needed(ruleset, fed)
    return needed
