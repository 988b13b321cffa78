"""One group of one correlation: the events that it holds, and what was told of them."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from watchbill.core.clock import SECOND
from watchbill.engine.detect.clocks import Clocks
from watchbill.engine.detect.correlation import Correlation
from watchbill.engine.detect.journal import Where
from watchbill.engine.detect.settled import consecutive, evidence, unanswered
from watchbill.engine.detect.windows import (
    SUMMED,
    Entry,
    Interval,
    chains,
    firing,
    fold,
    measure,
    qualifying,
    sort_key,
    thin,
)

#: Beyond this many entries a group folds those of the same second (or more) together, so a flood costs no more.
MOST_ENTRIES = 1_024


class Plan(NamedTuple):
    """What judging a group needs to know of its rule. ``delay`` is how much later than its events the correlations that
    it rests on may tell of them, ``reach`` how long after an event others can matter to it (the bound aside);
    ``chained`` says that it rests on correlations, ``feeds`` that others correlate this one.
    """

    correlation: Correlation
    delay: int
    reach: int
    chained: bool
    feeds: bool


class Told(NamedTuple):
    """What came of judging a group: events that are evidence from now on, all that inner correlations fired at, and
    whether anything of the group changed but that it has some entries more.
    """

    evidence: list[Entry]
    fired: list[Entry]
    changed: bool


class Group(msgspec.Struct, array_like=True):
    """``where`` is the criticality whose tier is applied (None without tiers) and the values of the group-by fields.
    ``covered`` are the stretches of time within which every event is evidence; ``total`` counts what was told.
    ``judged`` is the end of the last window that was over and judged. ``version`` is of the rule: what was kept for
    another version means nothing. ``added`` is the last frame of the journal that is part of this.
    """

    rule: str
    version: str
    where: Where
    entries: list[Entry] = []
    covered: list[Interval] = []
    total: int = 0
    judged: int = 0
    added: int = 0
    stored: bool = False

    @property
    def state_key(self) -> str:
        """Under which name the caller stores this group."""
        said = repr((self.rule, *self.where)).encode("utf-8", "backslashreplace")
        return hashlib.sha256(said).hexdigest()[:40]

    def add(self, arrivals: list[Entry]) -> tuple[list[Entry], bool]:
        """Put events in. Gives those that are new, and whether one that was there may fire now and could not before."""
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
            elif entry.fires and not old.fires:
                old.fires = changed = True
        sorted_before = at == len(entries)
        entries += fresh
        if not sorted_before:
            entries.sort(key=sort_key)
        return fresh, changed

    def judge(self, plan: Plan, clocks: Clocks, *, final: int | None = None) -> Told:
        """Find what is evidence now and was not before, mark it as told, and let go of what cannot matter any more.

        ``final`` says that nothing comes any more and that it is that late.
        """
        if plan.correlation.absence:
            return self._miss(plan, clocks, final)
        if plan.correlation.settles:
            return self._settle(plan, clocks, final)
        return self._grow(plan)

    def prune(self, clocks: Clocks, reach: int, release: Callable[[list[Entry]], None]) -> None:
        """Drop events that nothing within the lateness bound can reach any more."""
        over = [entry for entry in self.entries if clocks.is_over(entry, reach)]
        if over:
            release(over)
            gone = set(map(id, over))
            self.entries = [entry for entry in self.entries if id(entry) not in gone]
            first = self.entries[0].time if self.entries else 0
            self.covered = [stretch for stretch in self.covered if self.entries and stretch[1] >= first]

    def _grow(self, plan: Plan) -> Told:
        correlation = plan.correlation
        tier = correlation.tier(self.where[0])
        how = measure(correlation, tier)
        acting = [entry for entry in self.entries if entry.fires] if plan.chained else self.entries
        if correlation.kind == "temporal_ordered":
            found, fires = chains(acting, tier.timespan, correlation.rules)
        else:
            stretches = qualifying(acting, tier.timespan, how)
            if stretches or self.covered:
                self.covered = _merged(self.covered + stretches)
            found = _within(acting, self.covered)
            fires = firing(acting, tier.timespan, how) if plan.feeds and found else []
        told = self._tell(found, fires, plan)
        if self.covered and not plan.feeds and not plan.chained and correlation.kind != "temporal_ordered":
            self.entries = thin(self.entries, self.covered, how)
        folded = self._fold(correlation, tier.timespan)
        return Told(*told, bool(found) or folded)

    def _settle(self, plan: Plan, clocks: Clocks, final: int | None) -> Told:
        """Judge the windows that are over. What came too late for them has windows of its own."""
        correlation = plan.correlation
        timespan = correlation.tier(self.where[0]).timespan
        for entry in self.entries:
            entry.late = entry.late or entry.time <= self.judged
        found: list[Entry] = []
        fires: list[Entry] = []
        over: set[int] = set()
        for late in (False, True):
            acting = [entry for entry in self.entries if entry.late == late and (entry.fires or not plan.chained)]
            for window in consecutive(acting, timespan):
                end = window[0].time + timespan
                if final is None and not all(clocks.is_due(entry, end + plan.delay) for entry in window):
                    break
                met = evidence(window, correlation)
                found += met
                if met:
                    met[-1].span = met[-1].time - met[0].time
                    fires.append(met[-1])
                over.update(map(id, window))
                if not late:
                    self.judged = max(self.judged, end)
        told = self._tell(found, fires, plan)
        if over:
            passed = max((entry.time for entry in self.entries if id(entry) in over), default=0)
            self.entries = [
                entry for entry in self.entries if id(entry) not in over and (entry.fires or entry.time > passed)
            ]
        return Told(*told, bool(over) or self._fold(correlation, timespan))

    def _miss(self, plan: Plan, clocks: Clocks, final: int | None) -> Told:
        """Tell what began and was not followed in time by what is expected; let go of what was."""
        correlation = plan.correlation
        again = correlation.rules[0] == correlation.absence
        found: list[Entry] = []
        done: set[int] = set()
        kept = False
        for entry, answer in unanswered([entry for entry in self.entries if entry.fires], correlation):
            timespan = correlation.tier(entry.criticality).timespan
            end = entry.time + timespan
            if answer is not None and answer <= end:
                # What is expected again and again answers those before it: it stays while they do, or may still come.
                kept = kept or (again and not clocks.is_over(entry, plan.delay))
                if not kept:
                    done.add(id(entry))
            elif clocks.is_due(entry, end + plan.delay) if final is None else end <= final:
                found.append(entry)
                done.add(id(entry))
        if again and found:  # what came before the last of them was answered by it or by another, or is among them
            done.update(id(entry) for entry in self.entries if entry.time <= found[-1].time)
        told = self._tell(found, found, plan)
        reach = plan.reach
        before = len(self.entries)
        self.entries = [
            entry
            for entry in self.entries
            if id(entry) not in done and (entry.tag == correlation.rules[0] or not clocks.is_over(entry, reach))
        ]
        return Told(*told, len(self.entries) < before)

    def _tell(self, found: list[Entry], fires: list[Entry], plan: Plan) -> tuple[list[Entry], list[Entry]]:
        if not found and not fires:
            return [], []
        if plan.chained:
            found = found + _behind(self.entries, found)
        told = {(entry.shard, entry.position) for entry in self.entries if entry.told}
        news = []
        for entry in sorted(found, key=sort_key):
            if not entry.told:
                entry.told = True
                if (entry.shard, entry.position) not in told:
                    told.add((entry.shard, entry.position))
                    news.append(entry)
                    self.total += entry.weight
        fired = [entry for entry in fires if not entry.fired] if plan.feeds else []
        for entry in fired:
            entry.fired = True
        return news, fired

    def _fold(self, correlation: Correlation, timespan: int) -> bool:
        """Keep the group small; returns whether anything was folded."""
        before, width = len(self.entries), SECOND
        while len(self.entries) > MOST_ENTRIES and width <= timespan:
            self.entries = fold(self.entries, width, _label(correlation, width))
            width *= 4
        return len(self.entries) < before


def _label(correlation: Correlation, width: int) -> Callable[[Entry], str]:
    """What tells events apart that are folded. Of percentiles the numbers lose digits, the more the wider it goes."""
    if correlation.kind in {"value_sum", "value_avg"}:
        return lambda _entry: SUMMED
    digits = {SECOND: 0, 4 * SECOND: 3, 16 * SECOND: 2}.get(width, 1)
    if digits and (correlation.kind == "value_median" or correlation.percentile):
        return lambda entry: f"{int(entry.tag):.{digits}g}"
    return lambda entry: entry.tag


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
