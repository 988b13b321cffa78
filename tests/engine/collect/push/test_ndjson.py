"""NDJSON: lines, numbered streams, checkpoints."""

from __future__ import annotations

import asyncio
import time

import pytest

from watchbill.engine.collect.positions import Positions
from watchbill.engine.collect.push import ndjson
from watchbill.engine.collect.push.ndjson import RECENT, Streams
from watchbill.ledger import consistency
from watchbill.ledger.keys import open_private, open_root_public, origin
from watchbill.ledger.note import Checkpoint, Verifier, public_bytes, unb64

LINES = [b'{"n":%d}' % number for number in range(1, 10)]


def body(first, last):
    return b"\n".join(LINES[first - 1 : last]) + b"\n"


def test_lines_are_records(pushing):
    """The answer says where they stand, and how far the ledger was signed."""

    async def story():
        async with pushing() as push:
            answer = (await push.post("/ingest?format=json", b'{"a":1}\r\n\nnot json \xff\0\n{"b":2}')).json()
            assert push.stored("ndjson") == [b'{"a":1}', b"not json \xff\0", b'{"b":2}']
            assert (answer["accepted"], answer["duplicates"]) == (3, 0)
            assert push.here.reader.get(int(answer["last"].removeprefix("0-"))).raw == b'{"b":2}'
            numbered = (await push.post("/ingest?stream=a&sequence=1", b"one")).json()
            assert numbered["checkpoint"].startswith("watchbill/")
            assert (await push.post("/ingest")).json()["accepted"] == 0

    asyncio.run(story())


def test_each_delivery_three_times_is_one_copy(pushing):
    """A numbered stream: repeated, overlapping and parallel deliveries leave one copy, in order."""

    async def story():
        async with pushing() as push:
            for first, last in ((1, 3), (4, 4), (5, 9)):
                path = f"/ingest?stream=app&sequence={first}"
                answers = await asyncio.gather(*(push.post(path, body(first, last)) for _ in range(3)))
                assert sum(answer.json()["accepted"] for answer in answers) == last - first + 1
                assert {answer.json()["next"] for answer in answers} == {last + 1}
            assert push.stored("send") == LINES
            assert push.here.reader.source(1).name == "send:web-01/app"
            state = (await push.client.get("/ingest?stream=app")).json()
            assert state["next"] == 10

    asyncio.run(story())


def test_an_old_batch_is_refused_and_told(pushing):
    """A batch that was acknowledged long ago, and another content under used numbers: 409, and an event for the rules."""

    async def story():
        async with pushing() as push:
            await push.post("/ingest?stream=app&sequence=1", body(1, 3))
            await push.post("/ingest?stream=app&sequence=4", body(4, 6))
            await push.post("/ingest?stream=app&sequence=1", b"forged\nforged\nforged\n", status=409)
            await push.post("/ingest?stream=app&sequence=2", body(2, 3), status=409)
            await push.here.until(lambda: len(push.notes("source.replayed")) == 2)
            assert push.notes("source.replayed")[0]["expected"] == 7
            await push.post("/ingest?stream=app&sequence=5", body(5, 9), status=409)
            assert push.stored("send") == LINES[:6]

    asyncio.run(story())


def test_a_sender_with_several_batches_under_way_raises_no_alert(pushing, tmp_path, monkeypatch):
    """Batches overtake each other and are sent again, in the same run and over a restart: one copy, in order, no alert.

    Once they are answered and the sender has said so, each of them is a replay: refused, and told; over a restart, too.
    """
    batches = [(1, 2), (3, 3), (4, 6), (7, 9)]
    monkeypatch.setattr(ndjson, "TURN", 60.0)

    async def story():
        async with pushing() as push:
            kept = Positions(tmp_path / "collect.json")

            def send(first, last, answered, status=200):
                path = f"/ingest?stream=app&sequence={first}&answered={answered}"
                return push.post(path, body(first, last), status=status)

            push.server._answers._streams = Streams(push.here.sink, kept)
            for _ in range(3):
                await asyncio.gather(*(send(*one, 1) for one in reversed(batches)))
            push.server._answers._streams = Streams(push.here.sink, kept)
            await asyncio.gather(*(send(*one, 1) for one in batches))
            assert push.stored("send") == LINES
            await send(10, 9, 7)
            assert not push.notes("source.replayed")
            await send(7, 9, 7)
            await send(4, 5, 4, status=409)
            push.server._answers._streams = Streams(push.here.sink, kept)
            await send(4, 6, 1, status=409)
            await send(7, 9, 7)
            await push.here.until(lambda: len(push.notes("source.replayed")) == 2)
            assert [(note["first"], note["last"]) for note in push.notes("source.replayed")] == [(4, 5), (4, 6)]
            assert not push.notes("source.gap")
            assert push.stored("send") == LINES

    asyncio.run(story())


def test_a_sender_that_says_nothing_and_sends_again_over_a_restart_raises_no_alert(pushing, tmp_path):
    """Batches that may have been under way are refused at most; one from long before is told of, over a restart, too."""

    async def story():
        async with pushing() as push:
            kept = Positions(tmp_path / "collect.json")
            push.server._answers._streams = Streams(push.here.sink, kept)
            for number in range(1, RECENT + 3):
                await push.post(f"/ingest?stream=app&sequence={number}", b"%d" % number)
            push.server._answers._streams = Streams(push.here.sink, kept)
            await push.post(f"/ingest?stream=app&sequence={RECENT}", b"%d" % RECENT, status=409)
            assert not push.notes("source.replayed")
            await push.post("/ingest?stream=app&sequence=1", b"1", status=409)
            await push.here.until(lambda: push.notes("source.replayed"))
            assert [note["first"] for note in push.notes("source.replayed")] == [1]
            assert len(push.stored("send")) == RECENT + 2

    asyncio.run(story())


def test_what_is_under_way_is_bounded(pushing, monkeypatch):
    """A batch whose predecessor never comes is refused for now, and one too many; nothing of either is stored."""
    monkeypatch.setattr(ndjson, "TURN", 0.1)

    async def story():
        async with pushing() as push:
            answer = await push.post("/ingest?stream=app&sequence=3&answered=1", body(3, 4), status=503)
            assert answer.headers["Retry-After"] == "1"
            for number in range(1, RECENT + 1):
                await push.post(f"/ingest?stream=app&sequence={number}&answered=1", b"%d" % number)
            await push.post(f"/ingest?stream=app&sequence={RECENT + 1}&answered=1", b"x", status=429)
            await push.post(f"/ingest?stream=app&sequence={RECENT + 1}&answered=2", b"x")
            assert len(push.stored("send")) == RECENT + 1
            assert not push.notes("source.gap")

    asyncio.run(story())


def test_skipped_numbers_are_a_declared_gap(pushing):
    """The ledger counts them as dropped, and the stream goes on behind them."""

    async def story():
        async with pushing() as push:
            await push.post("/ingest?stream=app&sequence=1", body(1, 2))
            answer = (await push.post("/ingest?stream=app&sequence=6", body(6, 7))).json()
            assert answer["next"] == 8
            await push.here.until(lambda: push.notes("source.gap"))
            assert push.notes("source.gap")[0]["missing"] == 3
            sequences = [record.sequence for record in push.here.reader.read(0, 100) if record.raw in LINES]
            assert sequences == [1, 2, 6, 7]

    asyncio.run(story())


def test_a_new_process_asks_the_ledger(pushing, tmp_path):
    """What the receiver remembers is not needed: the ledger's own numbers say what came before."""

    async def story():
        async with pushing() as push:
            await push.post("/ingest?stream=app&sequence=1", body(1, 6))
            push.server._answers._streams = Streams(push.here.sink)
            answer = (await push.post("/ingest?stream=app&sequence=5", body(5, 8))).json()
            assert (answer["accepted"], answer["duplicates"]) == (2, 2)
            push.server._answers._streams = Streams(push.here.sink)
            assert (await push.post("/ingest?stream=app&sequence=7", body(7, 8))).json()["duplicates"] == 2
            push.server._answers._streams = Streams(push.here.sink)
            await push.post("/ingest?stream=app&sequence=1", body(1, 6), status=409)
            assert push.stored("send") == LINES[:8]

    asyncio.run(story())


@pytest.mark.parametrize("query", ["stream=a", "sequence=1", "stream=a&sequence=0", "stream=a&sequence=x", "stream=../a&sequence=1", "stream=a&sequence=99999999999999999999", "stream=a&sequence=3&answered=4", "stream=a&sequence=3&answered=0"])  # fmt: skip
def test_what_does_not_count_is_refused(pushing, query):
    """A stream needs a name and a number."""

    async def story():
        async with pushing() as push:
            await push.post(f"/ingest?{query}", b"x", status=400)
            assert not push.stored()

    asyncio.run(story())


def test_a_sender_notices_a_rollback(pushing):
    """The checkpoint is signed by the ledger's key, and the proof from an older one holds; a wrong size has none."""

    async def story():
        async with pushing() as push:
            root = open_root_public(push.here.data.keys)
            log = Verifier(origin(root, 0), public_bytes(open_private(push.here.data.keys / "log.key")))
            held, sizes, deadline = None, [], time.monotonic() + 60
            while len(sizes) < 2 or (sizes[-1] <= 1 and time.monotonic() < deadline):
                await push.post("/ingest", body(1, 3))
                note = (await push.client.get("/checkpoint")).text
                size = held.size if held else 0
                answer = (await push.client.get(f"/consistency?from={size}")).json()
                held = consistency.follow(held, answer["checkpoint"], [unb64(node) for node in answer["proof"]], log)
                assert held.size >= Checkpoint.parse(note).size >= size
                sizes.append(held.size)
                await asyncio.sleep(0.3)
            assert held.size > 1
            assert (await push.client.get("/consistency?from=9999")).status_code == 404
            assert (await push.client.get("/consistency?from=x")).status_code == 400

    asyncio.run(story())


def test_following_counts_what_is_under_way(collecting):
    """The sink's answer is behind everything that was offered before it was asked."""

    async def story():
        async with collecting() as here:
            source = here.origins.declared("send:a/b", "send")
            assert await here.sink.following(source) == 1
            here.sink.offer(source, [b"one", b"two"])
            assert await here.sink.following(source) == 3

    asyncio.run(story())
