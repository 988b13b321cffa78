"""Syslog over real sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import orjson
import pytest

from watchbill.core.errors import ConfigError
from watchbill.engine.collect import SyslogTcp, SyslogUdp, streams


async def listening(here, host="127.0.0.1", **more):
    server = SyslogTcp(here.sink, here.origins, host, 0, **more)
    await server.start()
    return server


async def send(server, *pieces, pause=0.0):
    _, writer = await asyncio.open_connection(*server.address)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_peer_is_a_source(collecting, host):
    """Both framings on one connection, the unfinished end kept, the source named by transport and address."""

    async def story():
        async with collecting() as here:
            server = await listening(here, host)
            await send(server, b"<13>one\n7 <13>two<1", b"3>three\r\n<13>end", pause=0.05)
            await here.until(lambda: len(here.stored()) == 4)
            assert here.stored() == [b"<13>one", b"<13>two", b"<13>three", b"<13>end"]
            facts = here.reader.source(1)
            assert (facts.name, facts.transport) == (f"syslog-tcp:{host}", "syslog-tcp")
            await server.stop()

    asyncio.run(story())


def test_what_was_sent_before_the_end_is_taken(collecting):
    """The listener stops before it could look at peers that connected, sent and left, or that go on sending."""

    async def story():
        async with collecting() as here:
            server = await listening(here)
            with socket.create_connection(server.address) as stays:
                stays.sendall(b"<13>first\n")
                await here.until(lambda: server.connections)
                for _ in range(3):
                    with socket.create_connection(server.address) as leaves:
                        leaves.sendall(b"<13>line\n" * 1_000)
                stays.sendall(b"<13>last\n" * 999)
                await server.stop()
        assert len(here.stored()) == 4_000

    asyncio.run(story())


def test_a_taken_port_is_told_with_its_mend(collecting):
    """Two listeners on one port: the second says how to mend it."""

    async def story():
        async with collecting() as here:
            server = await listening(here)
            with pytest.raises(ConfigError, match="set another port"):
                await SyslogTcp(here.sink, here.origins, *server.address).start()
            await server.stop()

    asyncio.run(story())


def test_one_mebibyte_and_more(collecting):
    """1 MiB is kept whole; of 3 MiB the first MiB, with length and digest in a note."""

    async def story():
        async with collecting() as here:
            server = await listening(here)
            whole = b"<13>" + b"x" * ((1 << 20) - 4)
            await send(server, whole + b"\n", b"<13>" + b"y" * (3 << 20) + b"\n<13>end\n")
            await here.until(lambda: here.stored()[-1:] == [b"<13>end"])
            assert [len(raw) for raw in here.stored()] == [1 << 20, 1 << 20, 7]
            (note,) = map(orjson.loads, here.stored("internal"))
            assert (note["event"], note["detail"]["length"], note["detail"]["kept"]) == (
                "source.cut", 4 + (3 << 20), 1 << 20,
            )  # fmt: skip
            await server.stop()

    asyncio.run(story())


def test_a_full_queue_stops_the_reading(collecting):
    """While the queue is full nothing more is read, and then everything arrives."""

    async def story():
        async with collecting(limit=64 << 10) as here:
            server = await listening(here)
            line = b"<13>" + b"x" * 200 + b"\n"
            await asyncio.gather(*(send(server, line * 5_000) for _ in range(3)))
            await here.until(lambda: here.reader.head() > 15_000)
            await server.stop()

    asyncio.run(story())


def test_idle_peers_are_cheap_and_bounded(collecting):
    """Beyond the limit newcomers are refused; those who are there go on."""

    async def story():
        async with collecting() as here:
            server = await listening(here, connections=200)
            peers = [await asyncio.open_connection(*server.address) for _ in range(220)]
            await here.until(lambda: server.refused == 20)
            peers[7][1].write(b"<13>still here\n")
            await here.until(lambda: here.stored() == [b"<13>still here"])
            for _, writer in peers:
                writer.close()
            await here.until(lambda: not server.connections)
            await server.stop()

    asyncio.run(story())


def test_a_record_that_never_ends_ends_the_connection(collecting, monkeypatch):
    """A peer that dribbles is sent away after the limit; what it sent is kept."""

    async def story():
        async with collecting() as here:
            server = await listening(here)
            reader, writer = await asyncio.open_connection(*server.address)
            for count in range(1, 6):
                writer.write(b"z")
                await here.until(lambda count=count: server.unfinished == count)
            monkeypatch.setattr(streams, "UNFINISHED_LIMIT", 0.3)
            sweep = asyncio.create_task(server.run())
            assert await asyncio.wait_for(reader.read(), 60) == b""
            await here.until(lambda: here.stored() == [b"zzzzz"])
            writer.close()
            sweep.cancel()
            await server.stop()

    asyncio.run(story())


def test_datagrams(collecting):
    """One datagram is one record, line feeds within included; peers are told apart by address."""

    async def story():
        async with collecting() as here:
            server = SyslogUdp(here.sink, here.origins, "127.0.0.1", 0)
            await server.start()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for data in (b"<13>one\n", b"<13>two\nlines\0", b"", b"<13>" + b"x" * 60_000):
                    sock.sendto(data, server.address)
            await here.until(lambda: len(here.stored()) == 3)
            assert here.stored() == [b"<13>one", b"<13>two\nlines", b"<13>" + b"x" * 60_000]
            assert here.reader.source(1).name == "syslog-udp:127.0.0.1"
            await server.stop()

    asyncio.run(story())


def test_a_flood_is_counted_to_the_last_datagram(collecting):
    """What the kernel drops and what we drop, with what is stored, is all that was sent."""

    async def story():
        async with collecting(limit=16 << 10) as here:
            server = SyslogUdp(here.sink, here.origins, "127.0.0.1", 0)
            await server.start()
            sent = 0
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                for _ in range(60):  # the loop cannot read within a burst, so the kernel's buffer runs over
                    for _ in range(1_000):
                        sock.sendto(b"<13>" + b"x" * 1_400, server.address)
                    sent += 1_000
                    if sent % 20_000 == 0:
                        await asyncio.sleep(0.2)

                def known():
                    return len(here.stored()) + sum(status["dropped"] for status in here.origins.statuses())

                deadline = time.monotonic() + 60
                while known() < sent and time.monotonic() < deadline:
                    sock.sendto(b"<13>last", server.address)  # the kernel tells its count with the next datagram
                    sent += 1
                    await asyncio.sleep(0.3)
            assert known() == sent > len(here.stored())
            await server.stop()

    asyncio.run(story())


def test_a_reset_connection_harms_nobody(collecting):
    """A peer that resets in the middle of a record loses its own tail at most."""

    async def story():
        async with collecting() as here:
            server = await listening(here)
            with socket.create_connection(server.address) as sock:
                sock.sendall(b"<13>before\n<13>hal")
                await here.until(lambda: here.stored()[:1] == [b"<13>before"])
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await here.until(lambda: not server.connections)
            await send(server, b"<13>after\n")
            await here.until(lambda: here.stored()[-1] == b"<13>after")
            await server.stop()

    asyncio.run(story())
