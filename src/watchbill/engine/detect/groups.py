"""The open windows of one correlation for one group of things, as they are kept between batches."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from itertools import islice
from typing import NamedTuple

import msgspec

from watchbill.core.clock import SECOND
from watchbill.core.values import Criticality
from watchbill.engine.detect.rules import Correlation, Rule
from watchbill.engine.detect.windows import Entry, Interval, chains, firing, fold, qualifying, sort_key, thin

#: Beyond this many entries a group folds those of the same second (or more) together, so a flood costs no more.
MOST_ENTRIES = 1_024
_TAGS = 64


class Told(NamedTuple):
    """What came of judging a group: events that are evidence from now on, all that inner correlations fired at, and
    whether anything of the group changed but that it has some entries more.
    """

    evidence: list[Entry]
    fired: list[Entry]
    changed: bool


class Gained(NamedTuple):
    """What came of putting events into a group: those that are new, and whether any that was there changed."""

    fresh: list[Entry]
    changed: bool


class Group(msgspec.Struct):
    """``key`` are the values of the group-by fields; ``criticality`` the tier that is applied (None without tiers).
    ``covered`` are the stretches of time within which every event is evidence; ``total`` counts what was told.
    ``version`` is of the rule: what was kept for another version means nothing. ``added`` is the last row of additions
    that is part of this (see ``states``).

    ``most`` and ``tags`` are bounds of the entries' weight and kinds, never too low: most groups can be seen to be far
    from their threshold without looking at all their entries.
    """

    rule: str
    version: str
    criticality: Criticality | None
    key: tuple[str, ...]
    entries: list[Entry] = []
    covered: list[Interval] = []
    total: int = 0
    added: int = 0
    most: int = 0
    tags: set[str] = set()
    name: str = ""

    @property
    def state_key(self) -> str:
        """Under which name the caller stores this group."""
        if not self.name:
            said = repr((self.rule, self.criticality, self.key)).encode("utf-8", "backslashreplace")
            self.name = hashlib.sha256(said).hexdigest()[:40]
        return self.name

    def add(self, arrivals: list[Entry]) -> Gained:
        """Put events in; one that is there already (same event, same tag) changes nothing but may now fire."""
        if len(arrivals) > 1:
            arrivals.sort(key=sort_key)
        entries = self.entries
        in_order = not entries or entries[-1].time < arrivals[0].time
        at = len(entries) if in_order else bisect_left(entries, arrivals[0].key, key=sort_key)
        known = {entry.key: entry for entry in entries[at:]}
        fresh, changed = [], False
        for entry in arrivals:
            key = entry.key
            if (old := known.get(key)) is None:
                known[key] = entry
                fresh.append(entry)
                self.most += entry.weight
                if len(self.tags) < _TAGS:
                    self.tags.add(entry.tag)
            elif entry.fires and not old.fires:
                old.fires = changed = True
        sorted_before = at == len(entries)
        entries += fresh
        if not sorted_before:
            entries.sort(key=sort_key)
        return Gained(fresh, changed)

    def judge(self, rule: Rule, chained: bool, feeds: bool) -> Told:
        """Find what is evidence now and was not before, mark it as told, and let go of what cannot matter any more.

        ``chained`` says that some of the correlated rules are correlations themselves; ``feeds`` that others correlate
        this one.
        """
        correlation = rule.correlation
        assert correlation is not None  # noqa: S101 - only correlations have groups
        tier = correlation.tier(self.criticality)
        if not self.covered and not self._may_be_met(correlation, tier.gte):
            return Told([], [], self._settle(correlation, tier.gte, thins=False))
        acting = [entry for entry in self.entries if entry.fires] if chained else self.entries
        if not self.covered and not _can_be_met(acting, correlation, tier.gte):
            self.most = sum(entry.weight for entry in self.entries)
            self.tags = set(islice({entry.tag for entry in self.entries}, _TAGS))
            return Told([], [], self._settle(correlation, tier.gte, thins=False))
        if correlation.kind == "temporal_ordered":
            found, fires = chains(acting, tier.timespan, correlation.rules)
        else:
            distinct = correlation.kind != "event_count"
            self.covered = _merged(self.covered + qualifying(acting, tier.timespan, tier.gte, distinct))
            found = _within(acting, self.covered)
            fires = firing(acting, tier.timespan, tier.gte, distinct) if feeds else []
        evidence = self._tell(found, chained)
        fired = [entry for entry in fires if not entry.fired]
        for entry in fired:
            entry.fired = True
        self._settle(correlation, tier.gte, thins=not feeds and not chained and correlation.kind != "temporal_ordered")
        return Told(evidence, fired, True)

    def _may_be_met(self, correlation: Correlation, least: int) -> bool:
        """Whether the bounds leave it open; ``_can_be_met`` is exact."""
        if correlation.kind == "event_count":
            return self.most >= least
        if correlation.kind == "temporal_ordered":
            return len(self.tags) >= min(len(correlation.rules), _TAGS)
        return len(self.entries) >= least

    def prune(self, latest: dict[str, int], received: int, reach: int) -> None:
        """Drop events that nothing within the lateness bound can reach any more: those that their own source's clock
        (``latest``) is past by more than ``reach``, and of those that came beyond the bound the ones received so long
        before ``received``.
        """
        oldest = self.entries[0] if self.entries else None
        if oldest and not oldest.late and oldest.time + reach >= latest.get(oldest.source, 0):
            return
        self.entries = [
            entry
            for entry in self.entries
            if (
                entry.late + reach >= received
                if entry.late
                else entry.time + reach >= latest.get(entry.source, entry.time)
            )
        ]
        first = self.entries[0].time if self.entries else 0
        self.covered = [stretch for stretch in self.covered if self.entries and stretch[1] >= first]

    def _tell(self, found: list[Entry], chained: bool) -> list[Entry]:
        if chained:
            found = found + _behind(self.entries, found)
        told = {(entry.shard, entry.position) for entry in self.entries if entry.told}
        evidence = []
        for entry in sorted(found, key=sort_key):
            if not entry.told:
                entry.told = True
                if (entry.shard, entry.position) not in told:
                    told.add((entry.shard, entry.position))
                    evidence.append(entry)
                    self.total += entry.weight
        return evidence

    def _settle(self, correlation: Correlation, least: int, *, thins: bool) -> bool:
        """Keep the group small; returns whether it was folded."""
        if thins and self.covered:
            self.entries = thin(self.entries, self.covered, least, correlation.kind != "event_count")
        folds = len(self.entries) > MOST_ENTRIES
        width = SECOND
        while len(self.entries) > MOST_ENTRIES:
            self.entries = fold(self.entries, width)
            width *= 4
        return folds


def _can_be_met(entries: list[Entry], correlation: Correlation, least: int) -> bool:
    """Whether it is worth looking at windows at all; most groups never get so far."""
    if correlation.kind == "event_count":
        return len(entries) >= least or sum(entry.weight for entry in entries) >= least
    if correlation.kind == "temporal_ordered":
        return len({entry.tag for entry in entries}) == len(correlation.rules)
    return len(entries) >= least


def _merged(stretches: list[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _within(entries: list[Entry], covered: list[Interval]) -> list[Entry]:
    found = []
    for start, end in covered:
        at = bisect_left(entries, (start, -1, -1, ""), key=sort_key)
        while at < len(entries) and entries[at].time <= end:
            found.append(entries[at])
            at += 1
    return found


def _behind(entries: list[Entry], found: list[Entry]) -> list[Entry]:
    """What inner correlations counted before they fired at events that are evidence here."""
    reach: dict[tuple[str, str], list[Interval]] = {}
    for entry in found:
        if entry.origin:
            reach.setdefault((entry.tag, entry.origin), []).append((entry.time - entry.span, entry.time))
    return [
        entry
        for entry in entries
        if any(start <= entry.time <= end for start, end in reach.get((entry.tag, entry.origin), ()))
    ]
