"""What the engine process holds: rules, their programs and the open windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter, itemgetter, le, lt
from pathlib import Path
from typing import NamedTuple

from watchbill.core.values import Criticality
from watchbill.engine.detect.clocks import LATENESS, Clocks
from watchbill.engine.detect.columns import Columns
from watchbill.engine.detect.correlate import Correlator, Grown
from watchbill.engine.detect.evidence import (
    detection_id,
    entities,
    most_critical,
    refs_of,
    united,
)
from watchbill.engine.detect.fields import text_field
from watchbill.engine.detect.match import Match, Matcher
from watchbill.engine.detect.rules import Rule, RuleSet
from watchbill.engine.detect.seen import KEY, Seen
from watchbill.engine.detect.why import clock_sentences, correlated_sentences, matched_words
from watchbill.engine.detect.windows import Entry, sort_key
from watchbill.sdk.events import Event
from watchbill.sdk.rules import Detection

_SHARD, _POSITION = attrgetter("shard"), attrgetter("position")
_RULE, _AT = itemgetter(0), itemgetter(1)
#: So many matches are looked at together: few enough that their events stay in the processor's caches meanwhile.
_AT_ONCE = 500
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

    ``lateness`` is by how much events of a source may come out of order, ``bounds`` that of sources by name, in which ``*``
    stands for anything (both in nanoseconds). ``folder`` is where groups go that memory has no room for.
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
        if again:
            matches = [match for match in matches if match.at not in again]
        direct: dict[str, list[tuple[Event, Entry]]] = defaultdict(list)
        parts: list[dict[str, Columns]] = []
        ats = list(map(_AT, matches))
        if not all(map(le, ats, islice(ats, 1, None))):
            matches = sorted(matches, key=_AT)
            ats.sort()
        grown = self.correlator.feed(self._parts(events, list(map(_RULE, matches)), ats, direct, parts))
        found = [one for name, seen in direct.items() for one in self._direct(self.ruleset.by_name[name], seen)]
        return found + self._told(grown, parts)

    def tick(self, now: int) -> list[Detection]:
        """Judge what time alone decides: windows that are over, and what was expected and did not come.

        ``now`` is the installation's clock (UTC nanoseconds). Call it now and then when all that has arrived is fed;
        what is told does not depend on when.
        """
        return self._told(self.correlator.tick(now), ())

    def finish(self, until: int | None = None) -> list[Detection]:
        """Judge all windows that are open, for no event comes any more. What is expected is missed only when its time
        was over by ``until`` (UTC nanoseconds; without it by the latest event).
        """
        return self._told(self.correlator.finish(until), ())

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
        if covers and self._seen.passes(*covers):
            return set()
        again: set[int] = set()
        places: dict[int, Sequence[int]] = {}
        shards = list(map(_SHARD, events))
        for shard in set(shards):
            every = shards.count(shard) == len(shards)
            places[shard] = range(len(events)) if every else [at for at, of in enumerate(shards) if of == shard]
        for shard, ats in places.items():
            positions = list(map(_POSITION, events if len(ats) == len(events) else [events[at] for at in ats]))
            again.update(ats[place] for place in self._seen.add(shard, positions))
        self._repeated += len(again)
        return again

    def _parts(
        self, events: Sequence[Event], names: Sequence[str], ats: Sequence[int],
        direct: dict[str, list[tuple[Event, Entry]]], parts: list[dict[str, Columns]],
    ) -> Iterator[dict[str, Columns]]:  # fmt: skip
        """What correlations count of the matched events, a few at a time, which ``parts`` keeps. What matched rules that
        alert by themselves is put into ``direct``. Matches are the names of rules and the places of events, in order.
        """
        for some in _few(ats):
            chosen, places = _by_rule(names[some], ats[some])
            first, end = chosen[0], chosen[-1] + 1
            every = end - first == len(chosen)
            batch = Columns.of(
                events[first:end] if every else [events[at] for at in chosen], self.correlator.clocks, self._criticality
            )
            counted: dict[str, Columns] = {}
            for name, of_rule in places.items():
                part = batch.part(of_rule)
                if self.ruleset.by_name[name].alerts:
                    direct[name] += zip(part.events, part.entries(), strict=True)
                if self.correlator.wants(name) and (left := part.counted()):
                    counted[name] = left
            parts.append(counted)
            yield counted

    def _told(self, grown: Iterable[Grown], parts: Sequence[Mapping[str, Columns]]) -> list[Detection]:
        if not self._stores:
            self.correlator.forget_changes()
        return [self._correlated(one, parts) for one in grown if one.rule.alerts]

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

    def _correlated(self, grown: Grown, matched: Sequence[Mapping[str, Columns]]) -> Detection:
        rule, where, evidence = grown.rule, grown.where, grown.evidence
        assert rule.correlation is not None  # noqa: S101 - only correlations grow
        why = correlated_sentences(rule, grown, most_critical(evidence))
        for name in self._base_rules(rule):
            seen = (part[name].latest(evidence) for part in reversed(matched) if name in part)
            if event := next(filter(None, seen), None):
                why.append(matched_words(self.ruleset.by_name[name], event))
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


def _few(ats: Sequence[int]) -> Iterator[slice]:
    """Slices of matches with events at these places, which are in order; those of one event stay together."""
    start = 0
    while start < len(ats):
        end = start + _AT_ONCE
        while end < len(ats) and ats[end] == ats[end - 1]:
            end += 1
        yield slice(start, end)
        start = end


def _by_rule(names: Sequence[str], ats: Sequence[int]) -> tuple[Sequence[int], dict[str, list[int]]]:
    """Which events these are, and for each rule the places of its events among them."""
    chosen = ats
    places: Iterable[int] = range(len(ats))
    if not all(map(lt, ats, islice(ats, 1, None))):  # several rules met one event
        chosen = list(dict.fromkeys(ats))
        places = map(dict(zip(chosen, places, strict=False)).__getitem__, ats)
    by_rule: dict[str, list[int]] = defaultdict(list)
    for name, place in zip(names, places, strict=True):
        by_rule[name].append(place)
    return chosen, by_rule
