"""Clocks are passed in, so that a month can be played in a minute and tests need no patching."""

from __future__ import annotations

import time
from typing import Protocol

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Tells the time as nanoseconds since 1970-01-01T00:00:00Z."""

    def now(self) -> int: ...

    def steady(self) -> int:
        """Nanoseconds since some moment, by a clock that nobody sets and that goes on while the machine sleeps."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns()

    def steady(self) -> int:
        return time.clock_gettime_ns(_STEADY)


class FixedClock:
    """A clock that stands where it was put, and moves when it is told to."""

    def __init__(self, at: int) -> None:
        self.at = at
        self._set = 0

    def now(self) -> int:
        return self.at

    def steady(self) -> int:
        return self.at - self._set

    def advance(self, nanoseconds: int) -> None:
        self.at += nanoseconds

    def set(self, nanoseconds: int) -> None:
        """Set it forward or back, as a person or a time server does."""
        self.at += nanoseconds
        self._set += nanoseconds


class ClockWatch:
    """Notices when a clock is set: it then goes otherwise than the steady one. A clock that is slewed is not set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.now() - clock.steady()

    def step(self) -> int:
        """Return by how many nanoseconds the clock was set since the last look, 0 for less than a second."""
        offset = self._clock.now() - self._clock.steady()
        step, self._offset = offset - self._offset, offset
        return step if abs(step) >= SECOND else 0
