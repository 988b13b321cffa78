"""Faults 5 and 6, and other disks that refuse: full, slow, without inodes, read-only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from watchbill.core.clock import SECOND, FixedClock
from watchbill.core.errors import LedgerError
from watchbill.ledger import Reader, Writer, verify_ledger

START = 1_772_618_400 * SECOND


def fill(folder: Path, size: int = 1 << 30) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while size > 0:
                size -= file.write(bytes(min(size, 4096)))
        except OSError:
            pass
    return filler


def append(writer, source, first, clock, count=100):
    writer.append(source, [b"%d " % (first + n) + b"x" * 500 for n in range(count)], clock.now())
    clock.advance(SECOND // 2)


def test_a_full_disk_is_refused_entered_and_resumed(mount, tmp_path):
    """4 MiB: the writer refuses, the entry "disk full" is durable on the full disk, and with room all goes on once."""
    folder, clock = mount("-t", "tmpfs", "-o", "size=4m", "tmpfs"), FixedClock(START)
    writer = Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock)
    source = writer.source("web-01", "syslog-tcp")
    append(writer, source, 0, clock)
    acknowledged = writer.commit()
    filler = fill(folder)
    append(writer, source, 100, clock, 300)
    for _ in range(3):
        with pytest.raises(LedgerError, match="make space"):
            writer.commit()
    assert Reader(folder / "ledger", 0).head() == acknowledged
    stored = b"".join(path.read_bytes() for path in (folder / "ledger").rglob("*.vol"))
    assert stored.count(b'"cause":"the disk is full"') == 1
    assert not writer.notices()
    filler.unlink()
    clock.advance(60 * SECOND)
    assert writer.commit() == acknowledged + 300
    (notice,) = writer.notices()
    assert (notice.event, notice.detail["seconds"] >= 60) == ("storage.full", True)
    writer.tick()
    fill(folder)
    append(writer, source, 400, clock, 300)
    with pytest.raises(LedgerError, match="make space"):
        writer.commit()
    (folder / "filler").unlink()
    writer.close()
    stored = b"".join(path.read_bytes() for path in (folder / "ledger").rglob("*.vol"))
    assert stored.count(b'"cause":"the disk is full"') == 2
    raws = [one.raw.split()[0] for one in Reader(folder / "ledger", 0).read(0, 1_000) if one.source]
    assert raws == [b"%d" % n for n in range(700)]
    report = verify_ledger(folder / "ledger", keys=tmp_path / "keys")
    assert report.ok, report.findings


def test_a_crash_on_a_full_disk(mount, tmp_path):
    """Killed while the disk is full: no start without room, with a mend; then what was acknowledged is there."""
    folder, clock = mount("-t", "tmpfs", "-o", "size=4m", "tmpfs"), FixedClock(START)
    writer = Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock)
    source = writer.source("web-01", "syslog-tcp")
    append(writer, source, 0, clock)
    acknowledged = writer.commit()
    filler = fill(folder)
    append(writer, source, 100, clock)
    with pytest.raises(LedgerError):
        writer.commit()
    os.close(writer._lock)
    fill(folder / "ledger")
    try:
        Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock).close()
    except LedgerError as error:
        assert error.retry, error
        assert "make space" in error.mend
    filler.unlink()
    (folder / "ledger" / "filler").unlink(missing_ok=True)
    with Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock) as again:
        assert again.commit() == acknowledged
    report = verify_ledger(folder / "ledger", keys=tmp_path / "keys")
    assert report.ok, report.findings


def test_no_inode_is_left(mount, tmp_path, monkeypatch):
    """A full inode table: what needs no new file goes on, what does is refused with a mend and done later."""
    from watchbill.ledger import writer as writing

    monkeypatch.setattr(writing, "VOLUME_BYTES", 50_000)
    folder, clock = mount("-t", "tmpfs", "-o", "size=8m,nr_inodes=60", "tmpfs"), FixedClock(START)
    writer = Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock)
    source = writer.source("web-01", "syslog-tcp")
    made = []
    try:
        while True:
            path = folder / f"inode-{len(made)}"
            path.touch()
            made.append(path)
    except OSError:
        pass
    refused = acknowledged = 0
    for n in range(6):
        append(writer, source, 100 * n, clock)
        acknowledged = writer.commit()
        try:
            writer.tick()
        except LedgerError as error:
            assert error.retry
            refused += 1
    assert refused
    assert acknowledged == 601
    for path in made:
        path.unlink()
    writer.close()
    assert Reader(folder / "ledger", 0).head() == 601
    report = verify_ledger(folder / "ledger", keys=tmp_path / "keys")
    assert report.ok, report.findings


def test_a_disk_that_becomes_read_only(mount, tmp_path):
    """As a kernel does it after an error: the writer refuses and says why; after a remount all is there once."""
    folder, clock = mount("-t", "tmpfs", "-o", "size=8m", "tmpfs"), FixedClock(START)
    writer = Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock)
    source = writer.source("web-01", "syslog-tcp")
    append(writer, source, 0, clock)
    acknowledged = writer.commit()
    os.close(writer._lock)
    writer._volume.close()
    writer._head.close()
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    with pytest.raises(LedgerError, match="Read-only file system"):
        Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock)
    assert len(Reader(folder / "ledger", 0).read(0, 1_000)) == acknowledged
    assert verify_ledger(folder / "ledger", keys=tmp_path / "keys").ok
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
    with Writer.open(folder / "ledger", shard=0, keys=tmp_path / "keys", clock=clock) as again:
        assert again.commit() == acknowledged


SLOW = """
import asyncio, json, resource, sys, time
from pathlib import Path
from watchbill.core.clock import SystemClock
from watchbill.engine.collect import Origin, Sink
from watchbill.ledger import Writer

async def main(folder):
    clock, origin = SystemClock(), Origin("web-01", "http")
    sink = Sink(Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=clock), clock, limit=256 << 10)
    sink.start()
    waits, order, most = [], [], 0
    for number in range(24):
        sent = time.monotonic()
        def done(head, number=number, sent=sent):
            waits.append(time.monotonic() - sent)
            order.append(number)
        await sink.put(origin, [b"%d" % number + b"x" * 1000] * 60, done)
        most = max(most, sink.queued)
    assert await sink.stop(60)
    await asyncio.sleep(0)
    print(json.dumps({"least": min(waits), "order": order, "most": most}))

asyncio.run(main(Path(sys.argv[1])))
"""


SLOWLY = "inject=fdatasync:delay_enter=100000"


def test_a_slow_disk_holds_senders_back_and_acknowledges_nothing_early(tmp_path):
    """Each fdatasync takes 100 ms: no sender is told sooner, the queue stays within its bound, the order is kept."""
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", SLOWLY, sys.executable, "-c", SLOW, tmp_path],
        capture_output=True, check=True, text=True, timeout=400,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["least"] >= 0.1
    assert found["order"] == list(range(24))
    assert found["most"] < (256 << 10) + (70 << 10)
