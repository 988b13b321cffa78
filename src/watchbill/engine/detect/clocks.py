"""How late it is: for each source by the times of its own events, and for all by the times of receipt.

An event from the future moves no clock: what it says of its time counts up to its receipt. And no source moves the clock
of another: one that lags or replays is judged in its own time.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import msgspec

from watchbill.core.clock import DAY, MINUTE
from watchbill.engine.detect.windows import Entry

LATENESS = 10 * MINUTE
#: How far ahead of its receipt an event's own time may be, before it is judged by its receipt.
MOST_AHEAD = 5 * MINUTE
#: How long a group is kept of a source from which nothing comes any more, by receipt and beyond its timespan.
MOST_SILENT = DAY
_MOST_CLOCKS = 100_000
_PARTS = 64
_PARTS_AT_ONCE = 8
_PREFIX = "clocks-"


class _Part(msgspec.Struct, array_like=True):
    """Some of the sources, as they are stored together."""

    received: int
    latest: dict[str, int]


class Clocks:
    """``latest`` is the latest event time of each source and host ("source NUL host"), ``newest`` that of all;
    ``received`` the latest time of receipt, which the clock of the installation moves too. ``bounds`` are the lateness
    bounds of sources by name, where they differ from ``bound``. All are UTC nanoseconds.
    """

    def __init__(self, bound: int = LATENESS, bounds: Mapping[str, int] | None = None) -> None:
        self.bound = bound
        self.bounds = dict(bounds or {})
        self.most = max([bound, *self.bounds.values()])
        self.latest: dict[str, int] = {}
        self.newest = 0
        self.received = 0
        #: Events that came beyond the bound of their source.
        self.late = 0
        self._texts: dict[tuple[str, str], str] = {}
        self._changed: set[str] = set()
        self._parts: list[dict[str, int]] = [{} for _ in range(_PARTS)]
        self._waiting: dict[int, None] = {}

    def source(self, source: str, host: str) -> str:
        """One text for each source and host, however many entries hold it."""
        pair = source, host
        text = self._texts.get(pair)
        if text is None:
            if len(self._texts) >= _MOST_CLOCKS:
                self._texts.clear()
            text = self._texts[pair] = f"{source}\0{host}"
        return text

    def see(self, source: str, time: int, received: int) -> bool:
        """Take notice of an event; returns whether it came beyond the bound."""
        if received:
            self.received = max(self.received, received)
            time = min(time, received)
        latest = self.latest.get(source)
        if latest is None or time > latest:
            if latest is None and len(self.latest) >= _MOST_CLOCKS:
                self._forget()
            self.latest[source] = time
            self._changed.add(source)
            self.newest = max(self.newest, time)
            return False
        if time < latest - (self.bound_of(source) if self.bounds else self.bound):
            self.late += 1
            return True
        return False

    def bound_of(self, source: str) -> int:
        return self.bounds.get(source.partition("\0")[0], self.bound) if self.bounds else self.bound

    def is_over(self, entry: Entry, reach: int) -> bool:
        """Whether nothing within the bound can still come that lies less than ``reach`` after the event.

        One that came beyond the bound is kept for as long in time of receipt.
        """
        wait = reach + (self.bound_of(entry.source) if self.bounds else self.bound)
        if entry.late:
            return entry.received + wait < self.received
        if entry.time + wait < self.latest.get(entry.source, self.newest):
            return True
        return bool(entry.received) and entry.received + wait + MOST_SILENT < self.received

    def is_due(self, entry: Entry, end: int) -> bool:
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


def _part(source: str) -> int:
    return zlib.crc32(source.encode("utf-8", "surrogatepass")) % _PARTS
