"""Clocks are passed in, so that a month can be played in a minute and tests need no patching."""

from __future__ import annotations

import time
from typing import Protocol

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Clock(Protocol):
    """Tells the time as nanoseconds since 1970-01-01T00:00:00Z."""

    def now(self) -> int: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns()


class FixedClock:
    """A clock that stands where it was put, and moves when it is told to."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def advance(self, nanoseconds: int) -> None:
        self.at += nanoseconds
