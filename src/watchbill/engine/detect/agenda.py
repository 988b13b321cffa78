"""When to look at what again: a rough agenda, cheap however many keys stand in it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from watchbill.engine.detect.journal import Key


class Agenda:
    """Keys by the part of time (``part`` nanoseconds long) after which they are to be looked at."""

    def __init__(self, part: int) -> None:
        self.part = part
        self._days: dict[int, list[Key]] = {}
        self._order: list[int] = []

    def add(self, at: int, wheres: Iterable[Key]) -> None:
        """Look at these keys when the clock is past ``at``."""
        day = at // self.part + 1
        if day not in self._days:
            self._days[day] = []
            heapq.heappush(self._order, day)
        self._days[day].extend(wheres)

    def take(self, now: int) -> list[Key]:
        """The keys whose time has come; a key may stand there twice, and may be gone."""
        found: list[Key] = []
        while self._order and self._order[0] * self.part <= now:
            found += self._days.pop(heapq.heappop(self._order))
        return found
