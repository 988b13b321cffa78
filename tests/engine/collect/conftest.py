"""A sink over a real ledger, inside an event loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from watchbill.core.clock import SystemClock
from watchbill.core.paths import DataDir
from watchbill.engine.collect import Origins, Positions, Sink
from watchbill.ledger import Reader, Writer


class Collecting:
    """What receivers need, and what came of it."""

    def __init__(self, data: DataDir, sink: Sink) -> None:
        self.data = data
        self.sink = sink
        self.origins = Origins()
        self.positions = Positions(data.root / "collect.json")
        self.reader = Reader(data.ledger, 0)

    def stored(self, transport: str = "") -> list[bytes]:
        """The records in the ledger, of one transport or of all but Watchbill's own."""
        records = [record for record in self.reader.read(0, 1_000_000) if record.source]
        kinds = {number: self.reader.source(number).transport for number in {record.source for record in records}}
        return [
            record.raw
            for record in records
            if kinds[record.source] == transport or (not transport and kinds[record.source] != "internal")
        ]

    async def until(self, condition, seconds: float = 60.0):
        """Wait for something to come true; fails with what is stored."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"in vain; stored: {self.stored()[-5:]} {self.origins.statuses()}"
            await asyncio.sleep(0.02)

    def save(self) -> None:
        if content := self.positions.snapshot():
            self.positions.write(content)


@pytest.fixture
def collecting(tmp_path):
    """Call it for an async context: a sink that is committed and closed at its end."""
    data = DataDir(tmp_path / "data").create()

    @asynccontextmanager
    async def collect(limit: int = 32 << 20):
        clock = SystemClock()
        sink = Sink(Writer.open(data.ledger, shard=0, keys=data.keys, clock=clock), clock, limit=limit)
        sink.start()
        try:
            yield Collecting(data, sink)
        finally:
            assert await sink.stop()

    return collect
