"""RELP, frame by frame and over real sockets."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.engine.collect import Relp
from watchbill.engine.collect.relp import RelpError, RelpFramer


def spell(txnr, command, data=b""):
    return b"%d %b %d" % (txnr, command, len(data)) + (b" " + data if data else b"") + b"\n"


@given(st.lists(st.binary(max_size=60), max_size=20), st.lists(st.integers(1, 40), max_size=60))
def test_frames_do_not_depend_on_how_they_arrive(datas, cuts):
    """Whatever the pieces, the same frames come out."""
    stream = b"".join(spell(number, b"syslog", data) for number, data in enumerate(datas, 1))
    framer, frames, at = RelpFramer(), [], 0
    for size in [*cuts, len(stream)]:
        frames += framer.feed(stream[at : at + size])
        at += size
    assert [(frame.txnr, frame.data) for frame in frames] == list(enumerate(datas, 1))
    assert framer.pending == 0


@given(st.integers(0, 300), st.integers(1, 90))
def test_a_long_frame_is_cut_and_told(size, piece):
    """Of a frame beyond the limit the first part is kept, with length and digest of the whole."""
    data = b"x" * size
    stream = spell(7, b"syslog", data) + spell(8, b"close")
    framer, frames = RelpFramer(100), []
    for at in range(0, len(stream), piece):
        frames += framer.feed(stream[at : at + piece])
        assert framer.pending <= 100 + 53
    assert [frame.txnr for frame in frames] == [7, 8]
    assert frames[0].data == data[:100]
    assert frames[0].cut == ((size, 100, sha256(data).hexdigest()) if size > 100 else None)


@pytest.mark.parametrize(
    "bad", [b"<13>hello world\n", b"1 syslog x\n", b"9999999999 syslog 1 a\n", b"1 syslog 1 ab\n", b"\n"]
)
def test_what_is_no_relp_is_refused(bad):
    """Another protocol on this port is told apart at once."""
    with pytest.raises(RelpError):
        RelpFramer().feed(bad + b" " * 60)


async def session(server):
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(spell(1, b"open", b"relp_version=0\nrelp_software=test\ncommands=syslog"))
    assert (await asyncio.wait_for(reader.readuntil(b"syslog\n"), 60)).startswith(b"1 rsp 61 200 OK\nrelp_version=0")
    return reader, writer


async def serving(here, **more):
    server = Relp(here.sink, here.origins, "127.0.0.1", 0, **more)
    await server.start()
    return server


def test_an_answer_means_durable(collecting):
    """Every record is answered by its number, in order, and is in the ledger when that comes; the close comes last."""

    async def story():
        async with collecting() as here:
            server = await serving(here)
            reader, writer = await session(server)
            for number in range(2, 102):
                writer.write(spell(number, b"syslog", b"<13>line %d\n" % number))
            for number in range(2, 102):
                assert await asyncio.wait_for(reader.readline(), 60) == b"%d rsp 6 200 OK\n" % number
                assert here.reader.head() >= number
            writer.write(spell(102, b"close"))
            assert await asyncio.wait_for(reader.read(), 60) == b"102 rsp 6 200 OK\n0 serverclose 0\n"
            assert here.stored("relp") == [b"<13>line %d" % number for number in range(2, 102)]
            writer.close()
            await server.stop()

    asyncio.run(story())


def test_a_transaction_that_comes_again_is_refused(collecting):
    """Within a session a number is used once: the second is not stored, and the session ends."""

    async def story():
        async with collecting() as here:
            server = await serving(here)
            reader, writer = await session(server)
            writer.write(spell(2, b"syslog", b"<13>one"))
            assert await reader.readline() == b"2 rsp 6 200 OK\n"
            writer.write(spell(2, b"syslog", b"<13>one"))
            assert await asyncio.wait_for(reader.read(), 60) == b""
            assert here.stored("relp") == [b"<13>one"]
            await here.until(lambda: here.stored("internal"))
            assert orjson.loads(here.stored("internal")[0])["event"] == "source.refused"
            writer.close()
            await server.stop()

    asyncio.run(story())


def test_what_is_not_answered_is_not_kept_half(collecting):
    """A connection that breaks within a record leaves nothing of it: the sender sends it again."""

    async def story():
        async with collecting() as here:
            server = await serving(here)
            reader, writer = await session(server)
            writer.write(spell(2, b"syslog", b"<13>whole") + b"3 syslog 10 <13>ha")
            assert await reader.readline() == b"2 rsp 6 200 OK\n"
            writer.close()
            await here.until(lambda: not server.connections)
            assert here.stored() == [b"<13>whole"]
            await server.stop()

    asyncio.run(story())


def test_records_before_open_are_not_taken(collecting):
    """Without "open" there is no session; unknown commands are answered as such."""

    async def story():
        async with collecting() as here:
            server = await serving(here)
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(spell(1, b"syslog", b"<13>early"))
            assert b"500" in await asyncio.wait_for(reader.readline(), 60)
            assert not here.stored()
            writer.close()
            await server.stop()

    asyncio.run(story())


def test_a_full_queue_stops_the_reading(collecting):
    """Back-pressure: nothing is answered early, and in the end everything is there."""

    async def story():
        async with collecting(limit=64 << 10) as here:
            server = await serving(here)
            reader, writer = await session(server)
            stream = b"".join(spell(number, b"syslog", b"<13>" + b"x" * 200) for number in range(2, 5_002))
            writer.write(stream)
            answered = 0
            while answered < 5_000:
                answered += (await asyncio.wait_for(reader.readline(), 60)).endswith(b"200 OK\n")
            assert len(here.stored("relp")) == 5_000
            writer.close()
            await server.stop()

    asyncio.run(story())
