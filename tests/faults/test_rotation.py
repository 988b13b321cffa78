"""Fault 9: rotation of a followed file at 10,000 lines a second, by rename, by copy and truncation, with compression."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import shutil
import time
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from waiting import until

from watchbill.core.clock import SystemClock
from watchbill.core.paths import DataDir
from watchbill.engine.collect import Follower, Origin, Positions, Sink
from watchbill.ledger import Reader, Writer, verify_ledger
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path

RATE = 10_000
BATCH = 100
LINES = 12_000
BETWEEN = 7


@asynccontextmanager
async def following(data, path, last):
    """Follow a file into a real ledger, to the line numbered ``last``."""
    clock = SystemClock()
    sink = Sink(Writer.open(data.ledger, shard=0, keys=data.keys, clock=clock), clock)
    sink.start()
    positions = Positions(data.root / "collect.json")
    positions.set(str(path), {}, 0)
    follower = Follower(path, Origin("app", "file", path=str(path)), sink, positions, Counter(), grace=1.0)
    following = asyncio.create_task(follower.run())
    try:
        yield sink, follower
        await until(lambda: any(one.raw.startswith(b"%07d " % last) for one in records(data)), "the last line")
        await asyncio.sleep(0.5)  # for what should not come any more
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert await sink.stop()


def records(data):
    return Reader(data.ledger, 0).read(0, 1 << 40)


def stored(data):
    """The lines of the file in the ledger, and how many records manifests declare as lost."""
    reader = Reader(data.ledger, 0)
    source = next(one.number for one in reader.sources() if one.transport == "file")
    lines = [int(one.raw[:7]) for one in reader.read(0, 1 << 40) if one.source == source]
    log = TileReader(shard_path(data.ledger, 0) / "log")
    size = int((log.path / "checkpoint").read_text().split("\n")[1])
    manifests = [Manifest.decode(entry) for entry in log.entries(0, size) if b'"kind":"segment"' in entry]
    notes = [one.raw for one in reader.read(0, 1 << 40) if b"source.gap" in one.raw]
    report = verify_ledger(data.ledger, keys=data.keys, workers=1)
    assert report.ok, report.findings
    return lines, sum(drop.lost for manifest in manifests for drop in manifest.drops), notes


async def write(path, rotate, every, sink):
    """Write lines at the rate, as a program that opens its log anew after a rotation.

    It makes up for pauses of the machine's slowly, and a file that was not looked at yet is not rotated: so often no
    logrotate runs, and nobody could follow that.
    """
    began, file = time.monotonic(), path.open("ab", buffering=0)
    for first in range(0, LINES, BATCH):
        file.write(b"".join(b"%07d a line of a log that is being rotated\n" % n for n in range(first, first + BATCH)))
        if first and first % every == 0:
            await until(lambda upto=first - every + BATCH: sink.head > upto, "the file to be looked at")
            if rotate():
                file.close()
                file = path.open("ab", buffering=0)
        await asyncio.sleep(max(0.8 * BATCH / RATE, began + first / RATE - time.monotonic()))
    file.close()


def shift(path):
    """Move the rotated files on by one number."""
    for number in range(8, 0, -1):
        old = path.with_name(f"{path.name}.{number}")
        if old.exists():
            old.rename(path.with_name(f"{path.name}.{number + 1}"))


def renamed(path):
    def rotate() -> bool:
        shift(path)
        path.rename(path.with_name(f"{path.name}.1"))
        return True

    return rotate


def compressed(path):
    """Rename, and compress the one before (logrotate's delaycompress)."""
    numbers = itertools.count()

    def rotate() -> bool:
        old = path.with_name(f"{path.name}.1")
        if old.exists():
            with old.open("rb") as plain, gzip.open(f"{path}.{next(numbers) + 2}.gz", "wb", 1) as packed:
                shutil.copyfileobj(plain, packed)
            old.unlink()  # its inode is free: the next file may get it
        path.rename(old)
        return True

    return rotate


def copied(path):
    def rotate() -> bool:
        shift(path)
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        with path.open("ab") as file:  # what every rotation by copy loses: nobody but the truncated file has it
            file.write(b"-000001 written between copy and truncation\n" * BETWEEN)
        os.truncate(path, 0)
        return False

    return rotate


@pytest.mark.parametrize("way", [renamed, compressed], ids=["rename", "gzip and inode reuse"])
def test_rotation_by_rename_loses_nothing(way, tmp_path):
    """Every line once and in order, whatever is renamed, compressed and given an old inode's number meanwhile."""
    data, path = DataDir(tmp_path / "data").create(), tmp_path / "app.log"

    async def run() -> None:
        async with following(data, path, LINES - 1) as (sink, _):
            await write(path, way(path), 3_000, sink)

    asyncio.run(run())
    lines, lost, notes = stored(data)
    assert lines == list(range(LINES))
    assert (lost, notes) == (0, [])


def test_what_copy_and_truncation_lose_is_declared(tmp_path):
    """No line but those between copy and truncation is lost, none comes twice; a loss that could be seen is declared."""
    data, path = DataDir(tmp_path / "data").create(), tmp_path / "app.log"

    async def run() -> None:
        async with following(data, path, LINES - 1) as (sink, _):
            await write(path, copied(path), 3_000, sink)

    asyncio.run(run())
    lines, lost, notes = stored(data)
    between = [line for line in lines if line < 0]
    assert [line for line in lines if line >= 0] == list(range(LINES))
    rotations = LINES // 3_000 - 1
    assert len(between) <= rotations * BETWEEN
    assert lost == len(notes)


def test_a_loss_by_copy_and_truncation_that_was_seen_is_declared(tmp_path):
    """The file was seen longer than its copy is: so much at least is lost, and a manifest and an event say so."""
    data, path = DataDir(tmp_path / "data").create(), tmp_path / "app.log"
    path.write_bytes(b"".join(b"%07d first\n" % n for n in range(100)))

    async def run() -> None:
        async with following(data, path, 100) as (sink, follower):
            await until(lambda: sink.head > 100, "the first lines")
            shutil.copyfile(path, f"{path}.1")
            with path.open("ab") as file:
                file.write(b"-000001 without its end")  # seen at the next look, and not a whole line yet
            await until(lambda: follower._tails[-1].size == path.stat().st_size, "the follower to see it")
            os.truncate(path, 0)
            with path.open("ab") as file:
                file.write(b"0000100 after\n")

    asyncio.run(run())
    lines, lost, notes = stored(data)
    assert lines == list(range(101))
    assert (lost, len(notes)) == (1, 1)
    assert b'"bytes_at_least":23' in notes[0]
