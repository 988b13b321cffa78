"""Which records were judged already: one that comes again counts once, whatever became of the group that held it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from operator import lt

import msgspec

KEY = "seen"
#: So many stretches are remembered of a shard. A ledger is read in order: there are as few as its gaps.
_MOST_STRETCHES = 512


class Seen:
    """For each shard the positions that were judged, as stretches [start, end) in their order."""

    def __init__(self) -> None:
        self._starts: dict[int, list[int]] = {}
        self._ends: dict[int, list[int]] = {}

    def passes(self, shard: int, covers: range) -> bool:
        """Take notice of all positions of a stretch if none of them was there before; returns whether that is so."""
        ends = self._ends.get(shard)
        if ends and covers.start < ends[-1]:
            return False
        self._append(shard, covers.start, covers.stop)
        return True

    def add(self, shard: int, positions: Sequence[int]) -> set[int]:
        """Take notice of a batch; returns those of it that were there before, by their place in the batch."""
        if not positions:
            return set()
        one = range(positions[0], positions[-1] + 1)
        if (
            len(one) == len(positions)
            and all(map(lt, positions, islice(positions, 1, None)))
            and self.passes(shard, one)
        ):
            return set()
        ends = self._ends.get(shard)
        breaks = [at for at in range(1, len(positions)) if positions[at] != positions[at - 1] + 1]
        in_order = all(positions[at] > positions[at - 1] for at in breaks)
        if in_order and (not ends or positions[0] >= ends[-1]):
            for start, end in zip([0, *breaks], [*breaks, len(positions)], strict=True):
                self._append(shard, positions[start], positions[end - 1] + 1)
            return set()
        again = set()
        for place, position in enumerate(positions):
            if not self._insert(shard, position):
                again.add(place)
        return again

    def encode(self) -> bytes:
        stretches = {shard: list(zip(starts, self._ends[shard], strict=True)) for shard, starts in self._starts.items()}
        return msgspec.msgpack.encode(stretches)

    def restore(self, blob: bytes) -> None:
        """Take back what ``encode`` gave. Raises msgspec.MsgspecError."""
        for shard, stretches in msgspec.msgpack.decode(blob, type=dict[int, list[tuple[int, int]]]).items():
            self._starts[shard] = [start for start, _ in stretches]
            self._ends[shard] = [end for _, end in stretches]

    def _append(self, shard: int, start: int, end: int) -> None:
        starts, ends = self._starts.setdefault(shard, []), self._ends.setdefault(shard, [])
        if ends and ends[-1] == start:
            ends[-1] = end
        else:
            starts.append(start)
            ends.append(end)
            self._bound(starts, ends)

    def _insert(self, shard: int, position: int) -> bool:
        """Add one position; returns whether it is new."""
        starts, ends = self._starts.setdefault(shard, []), self._ends.setdefault(shard, [])
        at = bisect_right(starts, position) - 1
        if at >= 0 and position < ends[at]:
            return False
        before = at >= 0 and ends[at] == position
        after = at + 1 < len(starts) and starts[at + 1] == position + 1
        if before and after:
            ends[at] = ends.pop(at + 1)
            del starts[at + 1]
        elif before:
            ends[at] = position + 1
        elif after:
            starts[at + 1] = position
        else:
            starts.insert(at + 1, position)
            ends.insert(at + 1, position + 1)
            self._bound(starts, ends)
        return True

    @staticmethod
    def _bound(starts: list[int], ends: list[int]) -> None:
        """Forget the oldest stretches: what came long ago may be taken for new, but nothing new for what was there."""
        if len(starts) > _MOST_STRETCHES:
            del starts[: _MOST_STRETCHES // 2]
            del ends[: _MOST_STRETCHES // 2]
