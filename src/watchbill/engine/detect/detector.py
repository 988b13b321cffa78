"""What the engine process holds: rules, their programs and the open windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from watchbill.core.values import Criticality
from watchbill.engine.detect.clocks import LATENESS, Clocks
from watchbill.engine.detect.correlate import Correlator, Grown
from watchbill.engine.detect.evidence import (
    MOST_CHARACTERS,
    about,
    detection_id,
    entities,
    most_critical,
    refs_of,
    united,
    weight_of,
)
from watchbill.engine.detect.fields import text_field
from watchbill.engine.detect.match import Match, Matcher
from watchbill.engine.detect.rules import Rule, RuleSet
from watchbill.engine.detect.seen import KEY, Seen
from watchbill.engine.detect.why import clock_sentences, correlated_sentences, matched_words
from watchbill.engine.detect.windows import Entry, sort_key
from watchbill.sdk.events import Event
from watchbill.sdk.rules import Detection

_GroupKey = tuple[tuple[str, str], ...]


class Counters(NamedTuple):
    """What is held, and what could not be judged as it should; since the start, but for the first two."""

    #: Groups with open windows, those on disk among them.
    groups: int
    #: Groups that memory has no room for and that are on disk.
    spilled: int
    #: Events that came beyond the lateness bound; they are judged and flagged.
    late: int
    #: Events that were judged before and came again.
    repeated: int
    #: Events without a number where one is summed up or averaged.
    unusable: int
    #: Stored states that could not be used: of rules that changed or went, or damaged.
    discarded: int


class Detector:
    """Judges batches of events. ``criticality`` is asked for each host when it matters, so changes count at once.

    ``match`` keeps nothing; ``feed`` moves the windows, and ``tick`` does where nothing comes. After either, store
    ``dirty`` together with the detections and the reader's position in one transaction; ``restore`` takes it back after
    a restart. Whoever stores nothing says so (``stores``). Each event has a (shard, position) of its own.

    ``lateness`` is by how much events of a source may come out of order, ``bounds`` that of sources by name (both in
    nanoseconds). ``folder`` is where groups go that memory has no room for.
    """

    def __init__(
        self,
        ruleset: RuleSet,
        criticality: Callable[[str], Criticality],
        lateness: int = LATENESS,
        bounds: Mapping[str, int] | None = None,
        *,
        folder: Path | None = None,
        stores: bool = True,
    ) -> None:
        self.ruleset = ruleset
        self.correlator = Correlator(ruleset.rules, Clocks(lateness, bounds), folder)
        self._matcher = Matcher(ruleset.rules)
        self._criticality = criticality
        self._stores = stores
        self._seen = Seen()
        self._seen_changed = False
        self._repeated = 0

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

    def feed(
        self, events: Sequence[Event], matches: Sequence[Match], covers: tuple[int, range] | None = None
    ) -> list[Detection]:
        """Move the windows by one batch and its matches: at most one detection for each rule and group.

        An event that was fed before counts no second time. Events that match nothing need not be there: ``covers`` then
        says from which positions of their one shard (shard, positions) these were chosen.
        """
        again = self._again(events, covers)
        self._seen_changed = self._seen_changed or bool(matches)
        by_rule: dict[str, list[int]] = defaultdict(list)
        for match in matches:
            if match.at not in again:
                by_rule[match.rule].append(match.at)
        if not by_rule:
            return []
        entries: dict[int, Entry] = {}
        for at in sorted({at for places in by_rule.values() for at in places}):
            entries[at] = self.correlator.enter(events[at], self._entry)
        found: list[Detection] = []
        correlated: dict[str, list[tuple[Event, Entry]]] = {}
        for name, places in by_rule.items():
            rule = self.ruleset.by_name[name]
            seen = [(events[at], entries[at]) for at in places]
            if rule.alerts:
                found += self._direct(rule, seen)
            if self.correlator.wants(name):
                correlated[name] = [pair for pair in seen if pair[1].weight]
        return found + self._told(self.correlator.feed(correlated), correlated)

    def tick(self, now: int) -> list[Detection]:
        """Judge what time alone decides: windows that are over, and what was expected and did not come.

        ``now`` is the installation's clock (UTC nanoseconds). Call it now and then when all that has arrived is fed;
        what is told does not depend on when.
        """
        return self._told(self.correlator.tick(now), {})

    def finish(self, until: int | None = None) -> list[Detection]:
        """Judge all windows that are open, for no event comes any more. What is expected is missed only when its time
        was over by ``until`` (UTC nanoseconds; without it by the latest event).
        """
        return self._told(self.correlator.finish(until), {})

    @property
    def counters(self) -> Counters:
        """What is held, and what could not be judged as it should."""
        one = self.correlator
        return Counters(len(one), one.spilled, one.clocks.late, self._repeated, one.unusable, one.discarded)

    def restore(self, states: Iterable[tuple[str, bytes]]) -> None:
        """Take back the stored states of all groups, before the first ``feed``."""
        self.correlator.restore(self._without_seen(states))

    def dirty(self) -> list[tuple[str, bytes | None]]:
        """The states that changed since the last call; None says that the state is to be deleted."""
        rows = self.correlator.dirty()
        if self._seen_changed:
            self._seen_changed = False
            rows.append((KEY, self._seen.encode()))
        return rows

    def _without_seen(self, states: Iterable[tuple[str, bytes]]) -> Iterable[tuple[str, bytes]]:
        for key, blob in states:
            if key != KEY:
                yield key, blob
                continue
            try:
                self._seen.restore(blob)
            except ValueError:
                self.correlator.discarded += 1

    def _again(self, events: Sequence[Event], covers: tuple[int, range] | None) -> set[int]:
        """The places in a batch of events that were fed before."""
        places: dict[int, list[int]] = defaultdict(list)
        for at, event in enumerate(events):
            places[event.shard].append(at)
        again: set[int] = set()
        if covers:
            places.setdefault(covers[0], [])
        for shard, ats in places.items():
            positions = [events[at].position for at in ats]
            again.update(ats[place] for place in self._seen.add(shard, positions, covers[1] if covers else None))
        self._repeated += len(again)
        return again

    def _told(self, grown: Iterable[Grown], matched: Mapping[str, Sequence[tuple[Event, Entry]]]) -> list[Detection]:
        if not self._stores:
            self.correlator.forget_changes()
        alerting = [one for one in grown if one.rule.alerts]
        if not alerting:
            return []
        latest = {(name, entry.shard, entry.position): event for name, seen in matched.items() for event, entry in seen}
        return [self._correlated(one, latest) for one in alerting]

    def _entry(self, event: Event, time: int, source: str, skewed: bool) -> Entry:
        host = event.host
        return Entry(
            time, event.shard, event.position, "", source, event.received, False, skewed, weight_of(event), host,
            event.message[:MOST_CHARACTERS], self._criticality(host), about(event),
        )  # fmt: skip

    def _direct(self, rule: Rule, matched: Sequence[tuple[Event, Entry]]) -> list[Detection]:
        """A detection for each group of a rule that alerts by itself."""
        fields = rule.governance.group_by
        groups: dict[_GroupKey, list[tuple[Event, Entry]]] = defaultdict(list)
        for pair in matched:
            groups[tuple((field, text_field(pair[0], field)) for field in fields)].append(pair)
        return [self._met(rule, group, seen) for group, seen in groups.items()]

    def _met(self, rule: Rule, group: _GroupKey, seen: list[tuple[Event, Entry]]) -> Detection:
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
        rule, where, evidence = grown.rule, grown.where, grown.evidence
        assert rule.correlation is not None  # noqa: S101 - only correlations grow
        why = correlated_sentences(rule, grown, most_critical(evidence))
        for name in self._base_rules(rule):
            seen = [event for entry in evidence if (event := latest.get((name, entry.shard, entry.position)))]
            if seen:
                why.append(matched_words(self.ruleset.by_name[name], seen[-1]))
        fields = rule.correlation.group_by
        return self._detection(rule, tuple(zip(fields, where[1:], strict=True)), evidence, why)

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
            why=(*why, *clock_sentences(entries, self.correlator.clocks)),
            entities=united(map(entities, entries)),
        )
