"""What the engine process holds: rules, their programs and the open windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from watchbill.core.values import Criticality
from watchbill.engine.detect.correlate import LATENESS, Correlator, Grown
from watchbill.engine.detect.evidence import (
    MOST_CHARACTERS,
    Involved,
    detection_id,
    most_critical,
    refs_of,
    united,
    weight_of,
)
from watchbill.engine.detect.fields import text_field
from watchbill.engine.detect.match import Match, Matcher
from watchbill.engine.detect.rules import Rule, RuleSet
from watchbill.engine.detect.why import clock_sentences, matched_words, threshold_sentence
from watchbill.engine.detect.windows import Entry, sort_key
from watchbill.sdk.events import Event
from watchbill.sdk.rules import Detection

_GroupKey = tuple[tuple[str, str], ...]


class Detector:
    """Judges batches of events. ``criticality`` is asked for each host when it matters, so changes count at once.

    ``match`` keeps nothing; ``feed`` moves the windows. After ``feed``, store ``dirty`` together with the detections
    and the reader's position in one transaction; ``restore`` takes it back after a restart.
    """

    def __init__(self, ruleset: RuleSet, criticality: Callable[[str], Criticality], lateness: int = LATENESS) -> None:
        self.ruleset = ruleset
        self.correlator = Correlator(ruleset.rules, lateness)
        self._matcher = Matcher(ruleset.rules)
        self._criticality = criticality
        self._involved = Involved()

    def match(self, events: Sequence[Event]) -> list[Match]:
        """All matches of all rules, base rules of correlations among them, by the events' order."""
        return self._matcher.match(events)

    @staticmethod
    def names(matches: Iterable[Match], count: int) -> list[tuple[str, ...]]:
        """For each of ``count`` events the names of the rules that match it (the lake's ``rules`` column)."""
        names: list[tuple[str, ...]] = [()] * count
        for match in matches:
            names[match.at] += (match.rule,)
        return names

    def feed(self, events: Sequence[Event], matches: Sequence[Match]) -> list[Detection]:
        """Move the windows by one batch and its matches: at most one detection for each rule and group."""
        if not matches:
            return []
        rules = self.ruleset.by_name
        direct: dict[tuple[str, _GroupKey], list[tuple[Event, Entry]]] = defaultdict(list)
        correlated: list[tuple[str, Event, Entry]] = []
        entries: dict[int, Entry] = {}
        for match in matches:
            rule, event = rules[match.rule], events[match.at]
            entry = entries.get(match.at)
            if entry is None:
                entry = entries[match.at] = self.correlator.enter(event, self._entry)
            if rule.alerts:
                group = tuple((field, text_field(event, field)) for field in rule.governance.group_by)
                direct[rule.name, group].append((event, entry))
            if entry.weight and self.correlator.wants(rule.name):
                correlated.append((rule.name, event, entry))
        found = [self._direct(rules[name], group, seen) for (name, group), seen in direct.items()]
        if correlated:
            latest = {(name, entry.shard, entry.position): event for name, event, entry in correlated}
            grown = self.correlator.feed(correlated)
            found += [self._correlated(one, latest) for one in grown if one.rule.alerts]
        return found

    def restore(self, states: Iterable[tuple[str, bytes]]) -> None:
        """Take back the stored states of all groups, before the first ``feed``."""
        self.correlator.restore(states)

    def dirty(self) -> list[tuple[str, bytes | None]]:
        """The group states that changed since the last call; None says that the state is to be deleted."""
        return self.correlator.dirty()

    def _entry(self, event: Event, time: int, skewed: bool) -> Entry:
        return Entry(
            time=time,
            shard=event.shard,
            position=event.position,
            skewed=skewed,
            weight=weight_of(event),
            host=event.host,
            message=event.message[:MOST_CHARACTERS],
            criticality=self._criticality(event.host),
            entities=self._involved.of(event),
        )

    def _direct(self, rule: Rule, group: _GroupKey, seen: list[tuple[Event, Entry]]) -> Detection:
        seen.sort(key=lambda pair: sort_key(pair[1]))
        entries = [entry for _, entry in seen]
        why = [matched_words(rule, seen[-1][0])]
        if rule.governance.levels:
            named = most_critical(entries)
            level = rule.severity(named.criticality)
            host = named.host or "the asset"
            why.append(f"It is {level} because {host} is of {named.criticality} criticality.")
        return self._detection(rule, group, entries, why)

    def _correlated(self, grown: Grown, latest: dict[tuple[str, int, int], Event]) -> Detection:
        rule, group, evidence = grown
        assert rule.correlation is not None  # noqa: S101 - only correlations grow
        why = [threshold_sentence(rule, group, evidence, most_critical(evidence))]
        for name in self._base_rules(rule):
            seen = [event for entry in evidence if (event := latest.get((name, entry.shard, entry.position)))]
            if seen:
                why.append(matched_words(self.ruleset.by_name[name], seen[-1]))
        fields = rule.correlation.group_by
        return self._detection(rule, tuple(zip(fields, group.key, strict=True)), evidence, why)

    def _base_rules(self, rule: Rule) -> list[str]:
        """The detections that a correlation rests on, through chains."""
        if rule.correlation is None:
            return [rule.name]
        parts = [self._base_rules(self.ruleset.by_name[name]) for name in rule.correlation.rules]
        return list(dict.fromkeys(name for part in parts for name in part))

    def _detection(self, rule: Rule, group: _GroupKey, entries: list[Entry], why: list[str]) -> Detection:
        named = most_critical(entries)
        return Detection(
            id=detection_id(rule.name, group, entries),
            rule=rule.name,
            group=group,
            severity=rule.severity(named.criticality),
            criticality=named.criticality,
            host=named.host,
            first=entries[0].time,
            last=entries[-1].time,
            count=max(1, sum(entry.weight for entry in entries)),
            events=refs_of(entries),
            why=(*why, *clock_sentences(entries, self.correlator.lateness)),
            entities=united(entry.entities for entry in entries),
        )
