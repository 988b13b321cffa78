"""The arithmetic of correlations: pure functions over the matched events of one group, in order of time.

All are functions of the *set* of events and grow with it: an event more never takes evidence away. So whatever the
order in which events arrive, and wherever batches end, the union of what was said is what a batch run over the
sorted events says. A window holds events that are at most ``timespan`` apart, both ends included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchbill.core.values import Criticality

Interval = tuple[int, int]


class Entry(msgspec.Struct, array_like=True, gc=False):
    """A matched event within a group, or several that were folded into one (``weight``).

    ``tag`` is what is told apart: the counted value, or the rule. ``told`` says that a detection has counted it,
    ``fired`` that the correlations which follow this one know that its threshold was met here. ``late`` is the time
    of receipt of an event beyond the lateness bound, else 0; ``skewed`` that it is judged by its time of receipt.

    From an inner correlation come the events that it fired at and, with ``fires`` false, those that are only its
    evidence; ``origin`` names its group and ``span`` its timespan. ``carried`` are the fields that correlations
    which follow will ask for.
    """

    time: int
    shard: int
    position: int
    tag: str = ""
    source: str = ""
    late: int = 0
    fires: bool = True
    told: bool = False
    fired: bool = False
    weight: int = 1
    origin: str = ""
    span: int = 0
    skewed: bool = False
    host: str = ""
    message: str = ""
    criticality: Criticality = Criticality.MEDIUM
    entities: dict[str, tuple[str, ...]] = {}
    carried: dict[str, str] = {}

    @property
    def key(self) -> tuple[int, int, int, str]:
        return self.time, self.shard, self.position, self.tag


def qualifying(entries: Sequence[Entry], timespan: int, least: int, distinct: bool) -> list[Interval]:
    """The stretches of time that windows with at least ``least`` events (or distinct tags) cover, merged."""
    found: list[Interval] = []
    weights: dict[str, int] = {}
    total = end = 0
    for start, first in enumerate(entries):
        while end < len(entries) and entries[end].time <= first.time + timespan:
            entry = entries[end]
            weights[entry.tag] = weights.get(entry.tag, 0) + entry.weight
            total += entry.weight
            end += 1
        if (len(weights) if distinct else total) >= least:
            last = entries[end - 1].time
            if found and first.time <= found[-1][1]:
                found[-1] = (found[-1][0], max(last, found[-1][1]))
            else:
                found.append((first.time, last))
        total -= first.weight
        weights[first.tag] -= first.weight
        if not weights[first.tag]:
            del weights[first.tag]
        end = max(end, start + 1)
    return found


def firing(entries: Sequence[Entry], timespan: int, least: int, distinct: bool) -> list[Entry]:
    """The events at which the threshold is met by what came within ``timespan`` up to them."""
    found: list[Entry] = []
    weights: dict[str, int] = {}
    total = start = at = 0
    while at < len(entries):
        now = entries[at].time
        end = at
        while end < len(entries) and entries[end].time == now:  # what happened at once counts for each other
            weights[entries[end].tag] = weights.get(entries[end].tag, 0) + entries[end].weight
            total += entries[end].weight
            end += 1
        while entries[start].time < now - timespan:
            old = entries[start]
            total -= old.weight
            weights[old.tag] -= old.weight
            if not weights[old.tag]:
                del weights[old.tag]
            start += 1
        if (len(weights) if distinct else total) >= least:
            found += entries[at:end]
        at = end
    return found


def chains(entries: Sequence[Entry], timespan: int, rules: Sequence[str]) -> tuple[list[Entry], list[Entry]]:
    """Events that belong to a chain of all rules in their order within ``timespan``, and those that end one.

    Events of the same time are in order either way: clocks that tell whole seconds know no better.
    """
    starts = _chain_ends(entries, {rule: place for place, rule in enumerate(rules)}, 1)
    ends = _chain_ends(entries[::-1], {rule: place for place, rule in enumerate(reversed(rules))}, -1)[::-1]
    parts, last = [], []
    for entry, start, end in zip(entries, starts, ends, strict=True):
        if start is not None and end is not None and end - start <= timespan:
            parts.append(entry)
        if start is not None and entry.tag == rules[-1] and entry.time - start <= timespan:
            last.append(entry)
    return parts, last


def _chain_ends(entries: Sequence[Entry], places: Mapping[str, int], sign: int) -> list[int | None]:
    """For each event the nearest time at which a chain of all rules before its own can begin, None if none can."""
    nearest: list[int | None] = [None] * len(places)
    found: list[int | None] = [None] * len(entries)
    at = 0
    while at < len(entries):
        end = at
        while end < len(entries) and entries[end].time == entries[at].time:
            end += 1
        for index in sorted(range(at, end), key=lambda index: places[entries[index].tag]):
            entry = entries[index]
            place = places[entry.tag]
            begin = entry.time if place == 0 else nearest[place - 1]
            found[index] = begin
            known = nearest[place]
            if begin is not None and (known is None or sign * begin > sign * known):
                nearest[place] = begin
        at = end
    return found


def thin(entries: Sequence[Entry], covered: Sequence[Interval], least: int, distinct: bool) -> list[Entry]:
    """Leave out told events that can no longer decide anything.

    Within a covered stretch every further event is evidence anyway. For windows that reach beyond its ends only the
    ``least`` events (of distinct tags) next to each end can matter: a window that holds them holds enough.
    """
    kept = []
    inside: list[list[Entry]] = [[] for _ in covered]
    at = 0
    for entry in entries:
        while at < len(covered) and covered[at][1] < entry.time:
            at += 1
        if entry.told and at < len(covered) and covered[at][0] <= entry.time:
            inside[at].append(entry)
        else:
            kept.append(entry)
    for stretch in inside:
        edges = {id(entry): entry for entry in _edge(stretch, least, distinct)}
        edges.update({id(entry): entry for entry in _edge(stretch[::-1], least, distinct)})
        kept += edges.values()
    kept.sort(key=sort_key)
    return kept


def _edge(entries: Sequence[Entry], least: int, distinct: bool) -> list[Entry]:
    kept: list[Entry] = []
    tags: set[str] = set()
    for entry in entries:
        if len(kept) >= least:
            break
        if not distinct or entry.tag not in tags:
            tags.add(entry.tag)
            kept.append(entry)
    return kept


def fold(entries: Sequence[Entry], width: int) -> list[Entry]:
    """Fold events that differ in nothing but their time, within ``width`` nanoseconds, into one with their weight."""
    folded: dict[Any, Entry] = {}
    for entry in entries:
        flags = (entry.told, entry.fired, entry.fires, entry.late > 0)
        about = (entry.time // width, entry.tag, entry.source, entry.origin, flags)
        if first := folded.get(about):
            first.weight += entry.weight
        else:
            folded[about] = entry
    return sorted(folded.values(), key=sort_key)


def sort_key(entry: Entry) -> tuple[int, int, int, str]:
    return entry.time, entry.shard, entry.position, entry.tag
