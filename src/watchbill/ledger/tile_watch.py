"""Which of the log's full tiles changed on disk: at a hundred thousand of them, this is what a round of the patrol costs.

Of each tile a digest of its status is kept, eight bytes long. A status can be forged by whoever may set the clock; what is
in the tiles is hashed again by the patrol's cycle.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

from watchbill.ledger.tiles import ENTRIES, WIDTH

#: Every tile is looked at once in so many rounds, and all of them in each while there are no more than ``_AT_ONCE``.
_ROUNDS = 3
_AT_ONCE = 4096
_UNKNOWN = 0
_MISSING = -1


class TileWatch:
    """The full tiles of one log. Tiles of level 0 go with their bundles of entries."""

    def __init__(self, log: Path) -> None:
        self._path = str(log / "tile")
        self._known: list[array[int]] = []
        self._next = 0

    def begin(self, size: int) -> None:
        """Take what is there of a log of ``size`` entries for unchanged."""
        for level in range(_levels(size)):
            known = self._of(level, _full(level, size))
            for number in range(len(known)):
                known[number] = self.status(level, number)

    def changed(self, size: int) -> Iterator[tuple[int, int]]:
        """Give (level, number) of the full tiles that are not as they were noted, of those whose turn it is."""
        for level in range(1, _levels(size)):
            yield from self._changed(level, 0, _full(level, size))
        count = _full(0, size)
        step = max(_AT_ONCE, -(-count // _ROUNDS))
        first = self._next if self._next < count else 0
        self._next = first + step
        yield from self._changed(0, first, min(first + step, count))

    def _changed(self, level: int, first: int, end: int) -> Iterator[tuple[int, int]]:
        known = self._of(level, end)
        for number in range(first, end):
            status = self.status(level, number)
            if status == _MISSING or status != known[number]:
                yield level, number

    def status(self, level: int, number: int) -> int:
        """Return a digest of what tells that a tile was touched."""
        name = _name(number)
        try:
            parts = []
            for kind in (ENTRIES, "0") if level == 0 else (str(level),):
                found = os.stat(f"{self._path}/{kind}/{name}")  # noqa: PTH116 - a Path takes ten times as long to make
                parts += [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        except FileNotFoundError:
            return _MISSING
        return hash(tuple(parts)) or 1

    def note(self, level: int, number: int, status: int) -> None:
        """Remember a tile as it was before it was checked: found good, or told of."""
        self._of(level, number + 1)[number] = status

    def _of(self, level: int, count: int) -> array[int]:
        while len(self._known) <= level:
            self._known.append(array("q"))
        known = self._known[level]
        known.extend([_UNKNOWN] * (count - len(known)))
        return known


def _full(level: int, size: int) -> int:
    """Return how many full tiles a level has."""
    return int(size // WIDTH ** (level + 1))


def _levels(size: int) -> int:
    """Return how many levels have a full tile."""
    level = 0
    while _full(level, size):
        level += 1
    return level


def _name(number: int) -> str:
    name = f"{number % 1000:03}"
    while number := number // 1000:
        name = f"x{number % 1000:03}/{name}"
    return name
