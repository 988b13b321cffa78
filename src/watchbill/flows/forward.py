"""What people and Watchbill itself do goes from the trail's outbox into the ledger, in order and once.

Each entry was written in the transaction of its action. This flow appends it to the ledger's second shard and then
notes where it stands. A crash between the two is mended at the next start, by looking at the end of the shard.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Self

from watchbill.core.clock import Clock
from watchbill.core.paths import DataDir
from watchbill.ledger import Reader, Writer
from watchbill.state.trail import actions, queries

#: Shard 0 holds what was received, shard 1 what was done.
SHARD = 1
SOURCE = "watchbill"
BATCH = 500


class Forwarder:
    """Owns the second shard's writer. Use it as a context, in one process."""

    def __init__(self, data: DataDir, clock: Clock) -> None:
        self.data = data
        self.clock = clock
        self.writer = Writer.open(data.ledger, shard=SHARD, keys=data.keys, clock=clock)
        self.source = self.writer.source(SOURCE, "internal", format="watchbill")
        self.writer.commit()
        #: Entries that were appended and are not noted as forwarded yet, and where the first of them stands.
        self._under_way: tuple[list[int], int] | None = None
        self._mend()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.writer.close()

    def forward(self) -> int:
        """Append what waits; returns the number of entries. Raises LedgerError when the disk is full: call it again."""
        total = 0
        while under_way := self._under_way or self._take():
            self._under_way = under_way
            entries, first = under_way
            self.writer.commit()
            actions.mark_forwarded(entries, SHARD, first)
            total += len(entries)
            self._under_way = None
        self.writer.tick()
        return total

    def _take(self) -> tuple[list[int], int] | None:
        """Append the next entries. The writer keeps them from here on, so they are appended once, however often the
        disk then refuses.
        """
        entries = queries.pending(BATCH)
        if not entries:
            return None
        first = self.writer.append(self.source, [entry.record() for entry in entries], self.clock.now())
        return [entry.id for entry in entries], first

    def _mend(self) -> None:
        """Note as forwarded what a crash left in the ledger without a note."""
        waiting = {entry.id for entry in queries.pending(BATCH)}
        if not waiting:
            return
        reader = Reader(self.data.ledger, SHARD)
        start = max(0, reader.head() - BATCH - 16)
        for record in reader.read(start, BATCH + 16):
            if record.source == self.source and (entry := json.loads(record.raw)["entry"]) in waiting:
                actions.mark_forwarded([entry], SHARD, record.position)
