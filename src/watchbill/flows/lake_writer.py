"""Events on their way to the lake: gathered for a second or two, written in a thread beside judging.

The lake has a position of its own for each shard, stored with the rows. What lies between it and what waits here (after a
crash, or when the lake could not be written for long) is read from the ledger again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from watchbill.core.errors import LakeError
from watchbill.lake import Lake
from watchbill.lake.columns import batch
from watchbill.sdk import Event

if TYPE_CHECKING:
    from arro3.core import RecordBatch

log = logging.getLogger(__name__)

ROWS = 20_000
SECONDS = 1.5
#: Rows that are held while the lake cannot be written; beyond them they are read from the ledger again.
_MOST_ROWS = 10 * ROWS
#: So many records are read again before judging goes on, when much is missing.
_READ_AGAIN = 50_000

Names = tuple[str, ...]
#: Gives, for (shard, start), a function that gives for an end the next events, their rules, and where they end.
ReadAgain = Callable[[int, int], Callable[[int], tuple[int, list[Event], list[Names]]]]


class _Rows(NamedTuple):
    """Rows of the records [start, end)."""

    start: int
    end: int
    rows: RecordBatch


class _Writing(NamedTuple):
    done: Future[int]
    parts: list[_Rows]


class _Shard:
    """What of a shard waits, and up to where it is at rest."""

    def __init__(self, in_lake: int) -> None:
        self.in_lake = in_lake
        self.parts: list[_Rows] = []
        self.writing: _Writing | None = None
        #: What is read again, and from where.
        self.gap: tuple[int, Callable[[int], tuple[int, list[Event], list[Names]]]] | None = None
        self.seen = 0

    @property
    def waiting(self) -> int:
        return sum(part.rows.num_rows for part in self.parts)


class LakeWriter:
    """Writes what it is given in order. A lake that refuses is tried again later; judging goes on meanwhile."""

    def __init__(self, lake: Lake, read_again: ReadAgain) -> None:
        self._lake = lake
        self._read_again = read_again
        # The lake belongs to this one thread. Most of what it does there needs no interpreter, and the disk makes it wait.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lake")
        self._shards: dict[int, _Shard] = {}
        self._due = time.monotonic() + SECONDS

    def add(self, shard: int, start: int, end: int, events: Sequence[Event], rules: Sequence[Names]) -> None:
        """Take the events of the records [start, end); they follow those that were taken before."""
        held = self.expect(shard, end)
        if end > held.in_lake:
            held.parts.append(_Rows(start, end, batch(events, rules)))

    def expect(self, shard: int, upto: int) -> _Shard:
        """Note that all before a position was judged once: what of it is not at rest is read again."""
        held = self._shards.get(shard)
        if held is None:
            held = self._shards[shard] = _Shard(self._thread.submit(self._lake.position, shard).result())
        held.seen = max(held.seen, upto)
        return held

    @property
    def seconds_left(self) -> float:
        """Until something should be written; ``tick`` is to be called then."""
        return max(0.0, self._due - time.monotonic())

    def tick(self) -> None:
        """Write what has waited long enough, or is enough."""
        waiting = sum(shard.waiting for shard in self._shards.values())
        if waiting >= ROWS or self._due <= time.monotonic():
            self._write(wait=waiting >= 2 * ROWS)

    def flush(self) -> None:
        """Write all that waits, and all that is missing before it, now."""
        self._write(wait=True, whole=True)

    def close(self) -> None:
        """End the thread; what waits and was not flushed is written by whoever comes next."""
        self._thread.shutdown()

    def _write(self, *, wait: bool, whole: bool = False) -> None:
        self._due = time.monotonic() + SECONDS
        for number, shard in self._shards.items():
            if shard.writing and not wait and not shard.writing.done.done():
                continue
            try:
                self._finish(shard)
                if self._fill(number, shard, whole=whole) and shard.parts:
                    parts, shard.parts = shard.parts, []
                    rows = [part.rows for part in parts]
                    shard.writing = _Writing(self._submit(number, rows, parts[-1].end), parts)
                    if whole:
                        self._finish(shard)
            except LakeError as error:
                if not error.retry:
                    raise
                shard.gap = None
                log.warning("events of shard %d wait for the lake: %s", number, error)
                if shard.waiting >= _MOST_ROWS:
                    shard.parts = []

    def _submit(self, number: int, rows: list[RecordBatch], upto: int) -> Future[int]:
        return self._thread.submit(self._lake.write, number, rows, upto)

    @staticmethod
    def _finish(shard: _Shard) -> None:
        """Wait for what is on its way to the lake; what did not arrive waits again. Raises LakeError."""
        writing, shard.writing = shard.writing, None
        if writing is None:
            return
        try:
            writing.done.result()
        except LakeError:
            shard.parts = writing.parts + shard.parts
            raise
        shard.in_lake = writing.parts[-1].end

    def _fill(self, number: int, shard: _Shard, *, whole: bool) -> bool:
        """Write what is missing before the rows that wait; returns whether that is all of it. Raises LakeError."""
        held_from = shard.parts[0].start if shard.parts else shard.seen
        if shard.in_lake >= held_from:
            shard.gap = None
            return True
        if shard.gap is None or shard.gap[0] != shard.in_lake:
            shard.gap = shard.in_lake, self._read_again(number, shard.in_lake)
        _, more = shard.gap
        upto = held_from if whole else min(held_from, shard.in_lake + _READ_AGAIN)
        while shard.in_lake < upto:
            end, events, rules = more(upto)
            self._submit(number, [batch(events, rules)], end).result()
            shard.in_lake = end
            shard.gap = end, more
        if shard.waiting >= _MOST_ROWS and shard.in_lake < held_from:
            shard.parts = []
        return shard.in_lake >= held_from
