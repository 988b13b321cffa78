"""The arithmetic of correlations: pure functions over the matched events of one group, in order of time.

All are functions of the *set* of events. Those of this module also grow with it: an event more never takes evidence
away. So whatever the order in which events arrive, and wherever batches end, the union of what was said is what a batch
run over the sorted events says. A window holds events that are at most ``timespan`` apart, both ends included. What
does not grow is in ``settled``: it is asked only when nothing more can come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from watchbill.core.values import Criticality
from watchbill.engine.detect.correlation import Correlation, least_of, met_by
from watchbill.engine.detect.governance import Tier

Interval = tuple[int, int]
#: Values of the fields that say who and what is involved (``evidence.NAMES``), or already worked out by kind.
About = tuple[str | None, ...] | dict[str, tuple[str, ...]]
#: The label of numbers that are added up when they are folded.
SUMMED = "+"


class Entry(msgspec.Struct, array_like=True, gc=False):
    """A matched event within a group, or several that were folded into one (``weight``).

    ``source`` is "source NUL host". ``late`` says that it came beyond the lateness bound; ``skewed`` that it is judged
    by its time of receipt. ``about`` says who and what is involved (see ``evidence``). ``carried`` are the fields that
    correlations which follow will ask for. These are the same in all groups (``columns`` makes them); from here on they
    are of this group:

    ``tag`` is what is told apart: the counted value, the number, or the rule. ``told`` says that a detection has
    counted it, ``fired`` that the correlations which follow this one know that its threshold was met here. From an
    inner correlation come the events that it fired at and, with ``fires`` false, those that are only its evidence;
    ``origin`` names its group and ``span`` how far before this its evidence reaches. ``row`` is the row of the journal
    that holds this, 0 for none.
    """

    time: int
    shard: int
    position: int
    source: str = ""
    received: int = 0
    late: bool = False
    skewed: bool = False
    weight: int = 1
    message: str = ""
    criticality: Criticality = Criticality.MEDIUM
    about: About = ()
    carried: dict[str, str] = {}
    tag: str = ""
    fires: bool = True
    told: bool = False
    fired: bool = False
    origin: str = ""
    span: int = 0
    row: int = 0

    @property
    def host(self) -> str:
        return self.source.partition("\0")[2]

    @property
    def key(self) -> tuple[int, int, int, str]:
        return self.time, self.shard, self.position, self.tag


class Counted(Protocol):
    """An event as windows look at it."""

    @property
    def time(self) -> int: ...
    @property
    def tag(self) -> str: ...
    @property
    def weight(self) -> int: ...


class Measure(NamedTuple):
    """What of a window is held against the threshold. ``size`` is what an event adds to the total, ``distinct`` says
    that only different tags matter, and ``met`` judges the total and the tags.
    """

    size: Callable[[Counted], int]
    met: Callable[[int, Mapping[str, int]], bool]
    distinct: bool


def measure(correlation: Correlation, tier: Tier) -> Measure:
    """How windows of a correlation that is judged at once are judged."""
    least = least_of(correlation, tier)
    if correlation.kind == "event_count":
        return Measure(_weight, lambda total, _tags: total >= least, distinct=False)
    if correlation.kind == "value_sum":
        return Measure(_amount, lambda total, _tags: total >= least, distinct=False)
    if (expression := correlation.expression) is not None:
        return Measure(_weight, lambda _total, tags: met_by(expression, tags), distinct=True)
    return Measure(_weight, lambda _total, tags: len(tags) >= least, distinct=True)


def _weight(entry: Counted) -> int:
    return entry.weight


def _amount(entry: Counted) -> int:
    """What an event adds to a sum. A negative number adds nothing: a sum that is reached stays reached."""
    return max(0, int(entry.tag))


class _Window:
    """What lies in a window that moves over the events."""

    def __init__(self, how: Measure) -> None:
        self.size, self.distinct = how.size, how.distinct
        self.total = 0
        self.tags: dict[str, int] = {}

    def add(self, entry: Counted) -> None:
        self.total += self.size(entry)
        if self.distinct:
            self.tags[entry.tag] = self.tags.get(entry.tag, 0) + 1

    def remove(self, entry: Counted) -> None:
        self.total -= self.size(entry)
        if self.distinct:
            left = self.tags[entry.tag] - 1
            if left:
                self.tags[entry.tag] = left
            else:
                del self.tags[entry.tag]


def qualifying(entries: Sequence[Counted], timespan: int, how: Measure) -> list[Interval]:
    """The stretches of time that windows which meet the condition cover, merged."""
    found: list[Interval] = []
    window, end = _Window(how), 0
    for first in entries:
        while end < len(entries) and entries[end].time <= first.time + timespan:
            window.add(entries[end])
            end += 1
        if how.met(window.total, window.tags):
            last = entries[end - 1].time
            if found and first.time <= found[-1][1]:
                found[-1] = (found[-1][0], max(last, found[-1][1]))
            else:
                found.append((first.time, last))
        window.remove(first)
    return found


def firing(entries: Sequence[Entry], timespan: int, how: Measure) -> list[Entry]:
    """The events at which the threshold is met by what came within ``timespan`` up to them."""
    found: list[Entry] = []
    window = _Window(how)
    start = at = 0
    while at < len(entries):
        now = entries[at].time
        end = at
        while end < len(entries) and entries[end].time == now:  # what happened at once counts for each other
            window.add(entries[end])
            end += 1
        while entries[start].time < now - timespan:
            window.remove(entries[start])
            start += 1
        if how.met(window.total, window.tags):
            found += entries[at:end]
        at = end
    return found


def chains(entries: Sequence[Entry], timespan: int, rules: Sequence[str]) -> tuple[list[Entry], list[Entry]]:
    """Events that belong to a chain of all rules in their order within ``timespan``, and those that end one.

    Events of the same time are in order either way: clocks that tell whole seconds know no better.
    """
    if not {entry.tag for entry in entries}.issuperset(rules):
        return [], []  # as in most groups, which are judged again whenever something is added
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


def thin(entries: Sequence[Entry], covered: Sequence[Interval], how: Measure) -> list[Entry]:
    """Leave out told events that can no longer decide anything.

    Within a covered stretch every further event is evidence anyway. For windows that reach beyond its ends only the
    events next to each end that meet the condition can matter: a window that holds them holds enough.
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
        edges = {id(entry): entry for entry in _edge(stretch, how)}
        edges.update({id(entry): entry for entry in _edge(stretch[::-1], how)})
        kept += edges.values()
    kept.sort(key=sort_key)
    return kept


def _edge(entries: Sequence[Entry], how: Measure) -> list[Entry]:
    kept: list[Entry] = []
    window = _Window(how)
    for entry in entries:
        if how.met(window.total, window.tags):
            break
        if not how.distinct or entry.tag not in window.tags:
            window.add(entry)
            kept.append(entry)
    return kept


def fold(entries: Sequence[Entry], width: int, label: Callable[[Entry], str]) -> list[Entry]:
    """Fold events that differ in nothing but their time, within ``width`` nanoseconds, into one with their weight.

    ``label`` is what of their tag tells them apart; numbers that are folded are added up.
    """
    folded: dict[Any, Entry] = {}
    for entry in entries:
        flags = (entry.told, entry.fired, entry.fires, entry.late)
        name = label(entry)
        about = (entry.time // width, name, entry.source, entry.origin, flags)
        if first := folded.get(about):
            first.weight += entry.weight
            if name == SUMMED:
                first.tag = str(int(first.tag) + int(entry.tag))
        else:
            folded[about] = entry
    return sorted(folded.values(), key=sort_key)


def sort_key(entry: Entry) -> tuple[int, int, int, str]:
    return entry.time, entry.shard, entry.position, entry.tag
