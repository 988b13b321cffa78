"""Trying one rule on a few events: what `watchbill rules test` and the content tests call."""

from __future__ import annotations

from collections.abc import Sequence

from watchbill.core.values import Criticality
from watchbill.engine.detect.detector import Detector
from watchbill.engine.detect.rules import Rule, RuleSet
from watchbill.sdk.events import Event
from watchbill.sdk.rules import Detection

#: A time that is after all others.
NEVER = 1 << 62


def run_rule_test(
    ruleset: RuleSet, rule: str, events: Sequence[Event], criticality: Criticality, until: int = 0
) -> list[Detection]:
    """The detections of one rule (with the rules that it correlates) over these events, on assets of this criticality.

    The number of detections is the number of alerts: there is one for each (rule, group). Nothing comes after these
    events until ``until`` (UTC nanoseconds), or at all. Pure: nothing is kept.
    """
    needed = _needed(ruleset, rule)
    part = RuleSet(tuple(one for one in ruleset.rules if one.name in needed), ())
    detector = Detector(part, lambda _host: criticality, stores=False)
    found = detector.feed(events, detector.match(events)) + detector.finish(until or NEVER)
    return list({one.group: one for one in reversed(found) if one.rule == rule}.values())[::-1]


def _needed(ruleset: RuleSet, name: str) -> set[str]:
    rule: Rule = ruleset.by_name[name]
    needed = {name}
    for fed in rule.correlation.rules if rule.correlation else ():
        needed |= _needed(ruleset, fed)
    return needed
