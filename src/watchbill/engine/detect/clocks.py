"""How late it is: for each source by the times of its own events, and for all by the times of receipt.

An event from the future moves no clock: what it says of its time counts up to its receipt. And no source moves the clock
of another: one that lags or replays is judged in its own time.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from operator import attrgetter, getitem, itemgetter, le, lt, sub
from typing import NamedTuple, Protocol

import msgspec

from watchbill.core.clock import DAY, MINUTE

LATENESS = 10 * MINUTE
#: How far ahead of its receipt an event's own time may be, before it is judged by its receipt.
MOST_AHEAD = 5 * MINUTE
#: How long a group is kept of a source from which nothing comes any more, by receipt and beyond its timespan.
MOST_SILENT = DAY
_MOST_CLOCKS = 100_000
_PARTS = 64
_PARTS_AT_ONCE = 8
_PREFIX = "clocks-"
_TIME, _SOURCE, _RECEIVED, _LATE = map(attrgetter, ("time", "source", "received", "late"))


class _Part(msgspec.Struct, array_like=True):
    """Some of the sources, as they are stored together."""

    received: int
    latest: dict[str, int]


class Timed(Protocol):
    """An event as clocks look at it."""

    @property
    def time(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def late(self) -> bool: ...


class Seen(NamedTuple):
    """Columns of a batch: "source NUL host" as one text for each, the times that the events are judged by, which came
    beyond the bound, and which are judged by their time of receipt.
    """

    sources: list[str]
    times: Sequence[int]
    late: list[bool]
    skewed: list[bool]


class Clocks:
    """``latest`` is the latest event time of each source and host ("source NUL host"), ``newest`` that of all;
    ``received`` the latest time of receipt, which the clock of the installation moves too. ``bounds`` are the lateness
    bounds of sources by name (``*`` stands for anything), where they differ from ``bound``; the first that fits counts. All are UTC nanoseconds.
    """

    def __init__(self, bound: int = LATENESS, bounds: Mapping[str, int] | None = None) -> None:
        self.bound = bound
        self.bounds = dict(bounds or {})
        self.most = max([bound, *self.bounds.values()])
        self._names = [(_pattern(name), bound) for name, bound in self.bounds.items()]
        self._bounds: dict[str, int] = {}
        self.latest: dict[str, int] = {}
        self.newest = 0
        self.received = 0
        #: Events that came beyond the bound of their source.
        self.late = 0
        #: "source NUL host" by source and host.
        self._texts: dict[str, dict[str, str]] = {}
        self._changed: set[str] = set()
        self._parts: list[dict[str, int]] = [{} for _ in range(_PARTS)]
        self._waiting: dict[int, None] = {}

    def see_all(
        self, sources: Sequence[str], hosts: Sequence[str], times: Sequence[int], received: Sequence[int]
    ) -> Seen:
        """Take notice of a batch, in the order in which it came; ``received`` is 0 where that is not known."""
        texts = self._named(sources, hosts)
        skewed = [False] * len(times)
        shown = times
        first, last = min(received, default=0), max(received, default=0)
        self.received = max(self.received, last)
        ahead = max(map(sub, times, received), default=0) if first else MOST_AHEAD + 1
        if ahead > MOST_AHEAD:
            skewed = [0 < came < time - MOST_AHEAD for time, came in zip(times, received, strict=True)]
            times = [came if ahead else time for time, came, ahead in zip(times, received, skewed, strict=True)]
            shown = [min(time, came) if came else time for time, came in zip(times, received, strict=True)]
        elif ahead > 0:
            shown = list(map(min, times, received))
        return Seen(texts, times, self._late(texts, shown), skewed)

    def _named(self, sources: Sequence[str], hosts: Sequence[str]) -> list[str]:
        """One text for each source and host, however many events hold it."""
        known = self._texts
        try:
            return list(map(getitem, map(known.__getitem__, sources), hosts))
        except KeyError:
            pairs = set(zip(sources, hosts, strict=True))
        if sum(map(len, known.values())) + len(pairs) > _MOST_CLOCKS:
            known.clear()
        for source, host in pairs:
            known.setdefault(source, {}).setdefault(host, f"{source}\0{host}")
        return list(map(getitem, map(known.__getitem__, sources), hosts))

    def _late(self, sources: Sequence[str], times: Sequence[int]) -> list[bool]:
        """Which events came beyond the bound. ``times`` are not ahead of our own clock.

        Where all of a batch lies within the bounds before what its sources have come to, nothing is late.
        """
        pairs = zip(sources, times, strict=True)
        in_order = all(map(le, times, islice(times, 1, None)))
        latest = dict(pairs if in_order else sorted(pairs, key=itemgetter(1)))
        first = times[0] if in_order and times else min(times, default=0)
        late = [False] * len(times)
        old = {
            source
            for source, time in latest.items()
            if first < max(time, self.latest.get(source, time)) - self.bound_of(source)
        }
        if old:
            late = [source in old and self._see(source, time) for source, time in zip(sources, times, strict=True)]
        for source, time in latest.items():
            if source not in old:
                self._see(source, time)
        return late

    def _see(self, source: str, time: int) -> bool:
        latest = self.latest.get(source)
        if latest is None or time > latest:
            if latest is None and len(self.latest) >= _MOST_CLOCKS:
                self._forget()
            self.latest[source] = time
            self._changed.add(source)
            self.newest = max(self.newest, time)
            return False
        if time < latest - self.bound_of(source):
            self.late += 1
            return True
        return False

    def bound_of(self, source: str) -> int:
        """The bound of "source NUL host"."""
        if not self._names:
            return self.bound
        known = self._bounds.get(source)
        if known is None:
            if len(self._bounds) >= _MOST_CLOCKS:
                self._bounds.clear()
            name = source.partition("\0")[0]
            known = next((bound for fits, bound in self._names if fits(name)), self.bound)
            self._bounds[source] = known
        return known

    def is_over(self, entry: Timed, reach: int) -> bool:
        """Whether nothing within the bound can still come that lies less than ``reach`` after the event.

        One that came beyond the bound is kept for as long in time of receipt.
        """
        wait = reach + (self.bound_of(entry.source) if self.bounds else self.bound)
        if entry.late:
            return entry.received + wait < self.received
        if entry.time + wait < self.latest.get(entry.source, self.newest):
            return True
        return bool(entry.received) and entry.received + wait + MOST_SILENT < self.received

    def over(self, entries: Sequence[Timed], reach: int) -> list[bool]:
        """``is_over`` of each of many events."""
        limits, silent = _Limits(self, reach), self.received - reach - MOST_SILENT
        over = list(map(lt, map(_TIME, entries), map(limits.__getitem__, map(_SOURCE, entries))))
        if any(map(_LATE, entries)) or min(map(_RECEIVED, entries), default=silent) < silent:
            for at, entry in enumerate(entries):
                if entry.late or entry.received < silent:
                    over[at] = self.is_over(entry, reach)
        return over

    def is_due(self, entry: Timed, end: int) -> bool:
        """Whether a window that ends at ``end`` can be judged as far as this event's source goes.

        By the source's own clock; or by receipt, when so much time has gone by since this event came.
        """
        bound = self.bound_of(entry.source)
        if not entry.late and end + bound < self.latest.get(entry.source, self.newest):
            return True
        return bool(entry.received) and entry.received + (end - entry.time) + bound < self.received

    def take(self) -> list[tuple[str, bytes]]:
        """The rows to store of clocks that moved, some at a time.

        One that is stored late does no harm: restored, it lets go of events later than it might.
        """
        for source in self._changed:
            number = _part(source)
            self._parts[number][source] = self.latest[source]
            self._waiting[number] = None
        self._changed.clear()
        rows = []
        for number in list(self._waiting)[:_PARTS_AT_ONCE]:
            del self._waiting[number]
            part = _Part(self.received, self._parts[number])
            rows.append((f"{_PREFIX}{number}", msgspec.msgpack.encode(part)))
        return rows

    @staticmethod
    def holds(key: str) -> bool:
        """Whether a stored row is one of clocks."""
        return key.startswith(_PREFIX)

    def restore(self, blob: bytes) -> None:
        """Take back a row. Raises msgspec.MsgspecError."""
        part = msgspec.msgpack.decode(blob, type=_Part)
        self.received = max(self.received, part.received)
        for source, latest in part.latest.items():
            self._parts[_part(source)][source] = self.latest[source] = latest
            self.newest = max(self.newest, latest)

    def _forget(self) -> None:
        """Let go of the sources that stand still for longest, to keep memory bounded."""
        order = sorted(self.latest, key=self.latest.__getitem__)
        for source in order[: _MOST_CLOCKS // 8]:
            del self.latest[source]
            self._parts[_part(source)].pop(source, None)
        self._changed.intersection_update(self.latest)


class _Limits(dict[str, int]):
    """For each source the time before which events are over."""

    def __init__(self, clocks: Clocks, reach: int) -> None:
        super().__init__()
        self._clocks, self._reach = clocks, reach

    def __missing__(self, source: str) -> int:
        clocks = self._clocks
        limit = self[source] = clocks.latest.get(source, clocks.newest) - self._reach - clocks.bound_of(source)
        return limit


def _pattern(name: str) -> Callable[[str], object]:
    """What tells whether a source has this name, in which ``*`` stands for anything."""
    return re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL).fullmatch


def _part(source: str) -> int:
    return zlib.crc32(source.encode("utf-8", "surrogatepass")) % _PARTS
