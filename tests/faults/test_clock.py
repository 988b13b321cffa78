"""Fault 7: the clock is set by a day, forward and back, while records come in."""

from __future__ import annotations

import asyncio
import json

from waiting import until

from watchbill.core.clock import DAY, SECOND, FixedClock
from watchbill.core.paths import DataDir
from watchbill.engine.collect import Origin, Sink
from watchbill.ledger import Reader, Writer, verify_ledger
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path


def steps_told(data) -> list[int]:
    """The seconds of each step of the clock that stands in the ledger."""
    records = Reader(data.ledger, 0).read(0, 100)
    return [json.loads(one.raw)["detail"]["seconds"] for one in records if b"clock.stepped" in one.raw]


def test_a_clock_that_is_set_by_a_day_is_told_and_the_order_stays(tmp_path):
    """Each step is an event (of which a rule alerts) and stands in the manifest; positions go on as ever."""
    data, clock = DataDir(tmp_path).create(), FixedClock(1_772_618_400 * SECOND)

    async def receive() -> None:
        sink, origin = Sink(Writer.open(data.ledger, shard=0, keys=data.keys, clock=clock), clock), Origin("a", "http")
        sink.start()
        for number, step in enumerate((0, DAY, -2 * DAY, DAY)):
            clock.advance(SECOND // 3)
            clock.set(step)
            await sink.store(origin, [b"%d" % number])
            # The ledger's thread looks at the clock when it is idle.
            await until(lambda number=number: len(steps_told(data)) >= number, "the step to be told")
        assert await sink.stop()

    asyncio.run(receive())
    records = [one for one in Reader(data.ledger, 0).read(0, 100) if one.source]
    assert steps_told(data) == [86_400, -172_800, 86_400]
    assert [one.raw for one in records if one.raw.isdigit()] == [b"0", b"1", b"2", b"3"]
    log = TileReader(shard_path(data.ledger, 0) / "log")
    size = int((log.path / "checkpoint").read_text().split("\n")[1])
    states = [Manifest.decode(entry).clock for entry in log.entries(0, size) if b'"kind":"segment"' in entry]
    assert 3 <= states.count("stepped") < len(states)
    report = verify_ledger(data.ledger, keys=data.keys)
    assert report.ok, report.findings


def test_a_clock_that_is_slewed_is_not_told(tmp_path):
    """A time server that corrects by fractions of a second a minute sets nothing."""
    clock = FixedClock(1_772_618_400 * SECOND)
    with Writer.open(tmp_path / "ledger", shard=0, keys=tmp_path / "keys", clock=clock) as writer:
        for _ in range(100):
            clock.advance(SECOND)
            clock.set(SECOND // 20)
            writer.tick()
        assert writer.notices() == []
