"""What befalls a writer: its clock is set, its disk is full. It stands in the ledger, and is told to the writer's owner."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from watchbill.core.clock import SECOND, Clock, ClockWatch
from watchbill.ledger import machine
from watchbill.ledger.deletions import DISK_FULL, Incident

RESERVE = 64 << 10


class Notice(NamedTuple):
    """An event's name and detail: "clock.stepped" with the seconds that the clock was set forward (or back, below 0), or
    "storage.full" with the seconds that it was.
    """

    event: str
    detail: dict[str, int]


class Incidents:
    """Those of one shard. A reserve, a file of some blocks, keeps room on the disk to say durably that it is full."""

    def __init__(self, shard: int, path: Path, clock: Clock) -> None:
        self._shard, self._reserve, self._clock = shard, path / "reserve", clock
        self._watch = ClockWatch(clock)
        self._stepped = False
        self._full_since = 0
        self._told: list[Notice] = []
        self._fill()

    def look_at_clock(self) -> None:
        """Notice whether the clock was set since the last look."""
        if step := self._watch.step():
            self._stepped = True
            self._told.append(Notice("clock.stepped", {"seconds": round(step / SECOND)}))

    def clock_state(self, *, last: bool) -> str:
        """Return what a manifest says of the clock: "stepped" if it was set while a segment was open. ``last``: no other
        segment is open.
        """
        state = "stepped" if self._stepped else machine.clock_state()
        self._stepped = self._stepped and not last
        return state

    def disk_is_full(self, volume: int) -> bytes | None:
        """Give the reserve back; return the log entry that is to be written in its place. None if that was done already."""
        if self._full_since:
            return None
        self._full_since = self._clock.now()
        with suppress(OSError):
            os.close(os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        return Incident(self._shard, self._full_since, volume, "", "", DISK_FULL, (), ()).encode()

    def disk_has_room(self) -> None:
        """Something was written: if the disk was full, it is no longer."""
        if self._full_since:
            self._told.append(Notice("storage.full", {"seconds": (self._clock.now() - self._full_since) // SECOND}))
            self._full_since = 0
            self._fill()

    def notices(self) -> list[Notice]:
        """Return what has befallen since the last call."""
        told, self._told = self._told, []
        return told

    def _fill(self) -> None:
        """Take the room, if there is some to take."""
        with suppress(OSError):
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, RESERVE)
            finally:
                os.close(fd)
