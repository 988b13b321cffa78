"""The local door."""

from __future__ import annotations

import asyncio
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect import Cut, Door, DoorClient
from watchbill.engine.collect.door import pack, unpack


@given(st.lists(st.binary(max_size=50), max_size=30))
def test_batches_are_spelled_and_read(raws):
    """Any records, empty ones too, come out as they went in."""
    assert unpack(pack(raws)) == raws


@given(st.binary(max_size=60))
def test_rubbish_is_refused(payload):
    """A payload either reads as exactly what would be spelled so, or is a ValueError."""
    try:
        raws = unpack(payload)
    except ValueError:
        return
    assert pack(raws) == payload


def test_acknowledged_is_durable(collecting, tmp_path):
    """Whatever ``flush`` counts is below the ledger's published head; sources may change on the way."""

    def client(path, reader):
        with DoorClient.connect(path) as door:
            door.hello("web-01", "replay", format="nginx")
            for number in range(40):
                door.send([b"%d-%d" % (number, index) for index in range(100)])
            assert door.flush() == 4_000
            assert reader.head() >= door.head > 4_000
            door.hello("db-01", "replay")
            door.send([b"other"], [Cut(9, 5, "00")])
            assert door.flush() == 4_001

    async def story():
        async with collecting() as here:
            path = here.data.run / "door.sock"
            door = Door(path, here.sink, here.origins)
            await door.start()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            await asyncio.to_thread(client, path, here.reader)
            assert len(here.stored()) == 4_001
            assert here.reader.source(1).facts == {"format": "nginx"}
            assert b"source.cut" in here.stored("internal")[0]
            await door.stop()
            assert not path.exists()

    asyncio.run(story())


def test_what_is_not_understood_is_answered(collecting):
    """A client of another kind gets an error with its mend, and the others go on."""

    def client(path):
        with DoorClient.connect(path) as door:
            door._send(b"B", pack([b"before any hello"]))
            with pytest.raises(WatchbillError, match="same release"):
                door._answer(b"A")

    async def story():
        async with collecting() as here:
            door = Door(here.data.run / "door.sock", here.sink, here.origins)
            await door.start()
            await asyncio.to_thread(client, here.data.run / "door.sock")
            assert here.stored() == []
            await door.stop()

    asyncio.run(story())


def test_a_very_long_path(tmp_path, collecting):
    """Socket addresses end at 107 bytes; folders do not."""

    async def story():
        async with collecting() as here:
            folder = tmp_path / ("deep" * 30)
            folder.mkdir()
            door = Door(folder / "door.sock", here.sink, here.origins)
            await door.start()
            client = await asyncio.to_thread(DoorClient.connect, folder / "door.sock")
            await asyncio.to_thread(client.hello, "client", "replay")
            client.close()
            await here.until(lambda: here.origins.statuses()[0]["state"] == "finished")
            await door.stop()

    asyncio.run(story())
