"""Peers that are slow, silent, greedy or wrong."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import tracemalloc
import zlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.core.clock import SystemClock
from watchbill.engine.collect import Tls, TlsFiles
from watchbill.engine.collect.certificates import Authority
from watchbill.engine.collect.push import PushToken, digest_of, http, write_tokens
from watchbill.engine.collect.push.bodies import Body, Budget
from watchbill.engine.collect.push.messages import RefusedError
from watchbill.engine.zstd import library as zstd

HEAD = b"POST /ingest HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wbp_test\r\n"


def test_without_a_good_token_nothing_is_read(pushing, tmp_path):
    """No token 401, a wrong one 403, a revoked one 403 at once; the file going away shuts everybody out."""

    async def story():
        async with pushing() as push:
            for value, status in (("", 401), ("Bearer", 401), ("Bearer wrong", 403), ("Basic eDp3cm9uZw==", 403)):
                await push.post("/ingest", b"x", status=status, Authorization=value)
            await push.post("/ingest", b"good", Authorization="Basic eDp3YnBfdGVzdA==")
            write_tokens(tmp_path / "tokens.json", [PushToken(2, "db-01", digest_of("wbp_other"))])
            await push.post("/ingest", b"x", status=403)
            await push.post("/ingest", b"other", Authorization="Bearer wbp_other")
            (tmp_path / "tokens.json").write_text("{broken")
            await push.post("/ingest", b"x", status=403, Authorization="Bearer wbp_other")
            assert push.stored() == [b"good", b"other"]
            answer = await push.raw(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 401 ")

    asyncio.run(story())


def bomb_of(pack: str, size: int) -> bytes:
    """Zeros, packed as hard as it goes."""
    if pack == "zstd":
        return zstd.compress(bytes(size), options={zstd.CompressionParameter.window_log: 20})
    one = zlib.compressobj(9, wbits=31)
    zeros = bytes(1 << 20)
    return b"".join(one.compress(zeros) for _ in range(size >> 20)) + one.flush()


@pytest.mark.parametrize(("pack", "times"), [("gzip", 1), ("gzip", 16), ("zstd", 1), ("zstd", 64)])
def test_a_bomb_is_refused_in_little_memory(pushing, pack, times):
    """A body that unpacks to 256 MiB, as a whole or in many members, is refused while it is unpacked."""
    bomb = bomb_of(pack, (256 << 20) // times) * times

    async def story():
        async with pushing(max_body=8 << 20) as push:
            tracemalloc.start()
            answer = await push.post("/ingest", bomb, status=413, **{"Content-Encoding": pack})
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert "unpacks to more than" in answer.text or "bytes back" in answer.text
            assert peak < 64 << 20
            assert push.server._budget.held == 0
            answer = await push.post("/ingest", b"x", status=415, **{"Content-Encoding": "br"})
            assert answer.headers["accept-encoding"] == "gzip, zstd, identity"
            assert not push.stored()

    asyncio.run(story())


def test_gzip_in_parts(pushing):
    """Several members are one body; a torn or false one is refused whole."""

    async def story():
        async with pushing() as push:
            packed = {"Content-Encoding": "gzip"}
            await push.post("/ingest", gzip.compress(b"one\n") + gzip.compress(b"two\n"), **packed)
            await push.post("/ingest", gzip.compress(b"x" * 1000)[:-6], status=400, **packed)
            await push.post("/ingest", b"plain", status=400, **packed)
            assert push.stored() == [b"one", b"two"]

    asyncio.run(story())


def test_zstd_in_parts(pushing):
    """Frames with and without their length, streamed and whole, are one body; torn, false and hungry ones are refused."""

    async def story():
        async with pushing(max_body=1 << 20) as push:
            packed = {"Content-Encoding": "zstd"}
            stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 17})
            streamed = stream.compress(b"two\n" * 300, stream.FLUSH_BLOCK) + stream.flush()
            many = b"three\n" * 30_000
            whole = zstd.compress(b"one\n") + streamed + zstd.compress(b"") + zstd.compress(many)
            await push.post("/ingest", whole, **packed)
            assert push.stored() == [b"one", *[b"two"] * 300, *[b"three"] * 30_000]
            for wrong in (
                zstd.compress(b"x" * 1000)[:-3],
                b"(\xb5/",
                b"plain text",
                whole + b"more",
                gzip.compress(b"x"),
            ):
                await push.post("/ingest", wrong, status=400, **packed)
            hungry = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
            far = hungry.compress(b"x", hungry.FLUSH_BLOCK) + hungry.flush()
            assert "bytes back" in (await push.post("/ingest", far, status=413, **packed)).text
            assert push.server._budget.held == 0
            assert len(push.stored()) == 30_301

    asyncio.run(story())


@given(st.lists(st.binary(max_size=3000), max_size=4), st.integers(1, 700), st.sampled_from(["gzip", "zstd"]))
def test_however_a_body_is_cut_it_is_the_same(parts, width, encoding):
    """Pieces of the network's, members or frames of the sender's."""
    pack = gzip.compress if encoding == "gzip" else zstd.compress
    whole = b"".join(map(pack, parts))
    budget = Budget()
    body = Body(encoding, 1 << 20, budget)
    for at in range(0, len(whole), width):
        body.feed(whole[at : at + width])
    assert body.finish() == b"".join(parts)
    body.release()
    assert budget.held == 0


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x28\xb5\x2f\xfd"]), st.sampled_from(["gzip", "zstd"]))
def test_whatever_comes_as_packed_is_read_or_refused(data, magic, encoding):
    """No other error, and all memory is given back."""
    budget = Budget()
    body = Body(encoding, 1 << 20, budget)
    try:
        body.feed(magic + data)
        body.finish()
    except RefusedError as refused:
        assert refused.status in {400, 413, 503}
    body.release()
    assert budget.held == 0


def test_long_bodies_and_long_records(pushing):
    """A body beyond the bound is refused before it is read; a record of 3 MiB is cut, flagged, its digest told."""

    async def story():
        async with pushing(max_body=4 << 20) as push:
            announced = await push.raw(HEAD + b"Content-Length: 99999999999\r\n\r\n")
            assert announced.startswith(b"HTTP/1.1 413 ")
            chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
            grown = await push.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5)
            assert grown.startswith(b"HTTP/1.1 413 ") or grown == b""
            await push.post("/ingest", b"y" * (3 << 20) + b"\nshort\n")
            assert [len(raw) for raw in push.stored()] == [1 << 20, 5]
            (note,) = push.notes("source.cut")
            assert (note["length"], note["kept"]) == (3 << 20, 1 << 20)

    asyncio.run(story())


def test_slow_peers_are_sent_away(pushing, monkeypatch):
    """Slowloris: silence, a head and a body that dribble; others are served meanwhile."""
    monkeypatch.setattr(http, "IDLE_LIMIT", 0.6)
    monkeypatch.setattr(http, "HEAD_LIMIT", 0.5)
    monkeypatch.setattr(http, "PIECE_LIMIT", 0.5)

    async def story():
        async with pushing() as push:
            slow = [
                push.raw(),
                push.raw(*[bytes([byte]) for byte in HEAD[:9]], pause=0.15),
                push.raw(HEAD + b"Content-Length: 10\r\n\r\nabc"),
                push.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
            ]
            tasks = [asyncio.create_task(one) for one in slow for _ in range(1)]
            await push.post("/ingest", b"served")
            silent, dribble, short, chunked = await asyncio.gather(*tasks)
            assert silent == b""
            assert dribble == b""
            assert short.startswith(b"HTTP/1.1 408 ")
            assert chunked.startswith(b"HTTP/1.1 408 ")
            assert push.stored() == [b"served"]
            await push.here.until(lambda: not [one for one in push.server.connections if not one.idle])

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"<13>this is syslog\n\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"PUT /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
    ],
    ids=["syslog", "no host", "two lengths", "smuggling", "long head", "nowhere", "method"],
)
def test_what_is_no_request_is_answered_and_ended(pushing, sent, status):
    """Bad requests are told apart; nothing of them is stored."""

    async def story():
        async with pushing() as push:
            answer = await push.raw(sent.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n"))
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            assert b"server:" not in answer.lower()
            assert not push.stored()

    asyncio.run(story())


def test_a_connection_serves_many_requests(pushing):
    """Keep-alive, 100-continue and a peer that asks the next before it has the answer."""

    async def story():
        async with pushing() as push:
            one = HEAD + b"Content-Length: 2\r\n\r\na\n"
            last = HEAD + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
            reader, writer = await asyncio.open_connection(*push.server.address)
            writer.write(one + one + last)
            answer = await asyncio.wait_for(reader.readuntil(b" 100 "), 60)
            writer.write(b"b\n")
            answer += await asyncio.wait_for(reader.read(), 60)
            writer.close()
            assert answer.count(b"HTTP/1.1 200 ") == 3
            assert answer.count(b"HTTP/1.1 100 ") == 1
            assert push.stored() == [b"a", b"a", b"b"]

    asyncio.run(story())


def test_a_full_queue_is_said_not_waited_out(pushing, monkeypatch):
    """While the disk refuses, senders are told to come back; what was refused is not stored, what was taken is."""
    from watchbill.engine.collect.push import answers

    monkeypatch.setattr(answers, "ROOM_LIMIT", 0.2)

    async def story():
        async with pushing(limit=1_000) as push:
            sink = push.here.sink
            commit = sink._writer.commit
            monkeypatch.setattr(sink._writer, "commit", lambda: (_ for _ in ()).throw(OSError(28, "no space")))
            waiting = asyncio.create_task(push.post("/ingest", b"x" * 2_000))
            await push.here.until(lambda: sink.full)
            for path, content_type in (("/ingest", ""), ("/services/collector", ""), ("/v1/logs", "application/json")):
                answer = await push.post(path, b'{"event":1}', status=503, **{"Content-Type": content_type})
                assert int(answer.headers["retry-after"]) > 0
            assert (await push.client.get("/health")).status_code == 503
            monkeypatch.setattr(sink._writer, "commit", commit)
            await waiting
            assert push.stored() == [b"x" * 2_000]
            assert (await push.client.get("/health")).status_code == 200

    asyncio.run(story())


def test_too_many_peers(pushing):
    """Beyond the limit newcomers are refused, and those who are there are served."""

    async def story():
        async with pushing(connections=50) as push:
            await push.post("/ingest", b"first")
            idle = [await asyncio.open_connection(*push.server.address) for _ in range(60)]
            await push.here.until(lambda: push.server.refused == 11)
            await push.post("/ingest", b"second")
            for _, writer in idle:
                writer.close()
            await push.here.until(lambda: len(push.server.connections) == 1)

    asyncio.run(story())


def test_over_tls(pushing, tmp_path):
    """The certificate that was made here serves; a peer that does not trust it, and plain HTTP, get nothing."""
    now = SystemClock().now()
    authority = Authority(tmp_path / "keys")
    authority.create(now)
    authority.server(["localhost"], now)
    tls = Tls(TlsFiles(authority.folder / "server.pem", authority.folder / "server.key"))

    async def story():
        async with pushing(tls=tls) as push:
            url = f"https://localhost:{push.server.address[1]}/ingest"
            good = {"Authorization": "Bearer wbp_test"}
            context = ssl.create_default_context(cafile=authority.folder / "ca.pem")
            async with httpx.AsyncClient(verify=context, trust_env=False) as client:
                assert (await client.post(url, content=b"over TLS", headers=good)).status_code == 200
            async with httpx.AsyncClient(trust_env=False) as client:
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await client.post(url, content=b"x", headers=good)
            assert await push.raw(HEAD + b"\r\n") == b""
            assert push.stored() == [b"over TLS"]

    asyncio.run(story())
