"""Crashes and failing disks: what was acknowledged stays, nothing is half-acknowledged, the writer goes on."""

import errno
import os
import resource
import subprocess
import sys

import pytest

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError
from watchbill.ledger import Reader, frames, verify_ledger

CHILD = """
import os, random, sys
from pathlib import Path
from watchbill.core.clock import SystemClock
from watchbill.ledger import Writer, writer
writer.VOLUME_BYTES = 300_000
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
chance, clock = random.Random(seed), SystemClock()
with Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=clock) as log:
    source = log.source("web-01", "syslog-tcp")
    while True:
        log.append(source, [b"%d " % seed + b"x" * chance.randrange(300) for _ in range(chance.randrange(1, 900))], clock.now())
        os.write(1, b"%d\\n" % log.commit())
        log._signed_at = 0
        log._open[-1].opened -= chance.randrange(2) * 2_000_000_000
        log.tick()
"""


def start(folder, seed):
    return subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(seed)], stdout=subprocess.PIPE)


def test_readers_and_the_verifier_work_while_another_process_writes(place):
    """A reader never sees beyond what is durable; the verifier finds nothing wrong at any moment."""
    with start(place.ledger.parent, 1) as child:
        child.stdout.readline()
        reader = Reader(place.ledger, 0)
        seen = rounds = 0
        while seen < 2_000 or rounds < 6:
            rounds += 1
            head = reader.head()
            records = reader.read(seen, 1 << 20)
            assert [record.position for record in records] == list(range(seen, seen + len(records)))
            seen += len(records)
            assert head <= seen <= reader.head()
            report = verify_ledger(place.ledger, keys=place.keys, workers=1)
            assert report.ok, report.findings
        child.kill()
        child.stdout.read()
    reader.close()


@pytest.mark.parametrize("keep", range(0, 400, 13))
def test_a_torn_end_is_cut_back(place, keep):
    """Whatever part of an unacknowledged group reached the disk, the acknowledged ones before it stay."""
    writer = place.writer()
    source = writer.source("web-01", "http")
    writer.append(source, [b"kept"], 1)
    writer.commit()
    path = place.events()[0]
    durable = path.stat().st_size
    head = (path.parents[1] / "head").read_bytes()
    writer.append(source, [b"torn" * 50], 2)
    writer.commit()
    os.close(writer._lock)  # the process is gone, as far as the lock tells
    (path.parents[1] / "head").write_bytes(head)
    os.truncate(path, min(path.stat().st_size, durable + keep))
    with place.writer() as after:
        assert after.commit() in (2, 3)
        after.append(source, [b"next"], 3)
    reader = Reader(place.ledger, 0)
    assert reader.get(1).raw == b"kept"
    assert reader.get(reader.head() - 1).raw == b"next"
    assert verify_ledger(place.ledger, keys=place.keys).ok
    reader.close()


@pytest.mark.parametrize("kind", list(frames.Kind)[1:4], ids=["group", "seal", "entry"])
def test_a_frame_that_is_torn_in_its_middle_is_cut_off(place, kind):
    """A crash may write the end of a frame and not its middle: nothing of it counts, and what stood before it is whole."""
    writer = place.writer()
    source = writer.source("web-01", "http")
    writer.append(source, [b"kept"], place.clock.now())
    writer.commit()
    path = place.events()[0]
    head, tail = (path.parents[1] / "head").read_bytes(), (place.keys / "tail-0000.key").read_bytes()
    if kind is frames.Kind.SEAL:
        place.clock.advance(SECOND)
        writer._seal(list(writer._open))
    elif kind is frames.Kind.ENTRY:
        writer.enter(writer._incidents.disk_is_full(0))
    else:
        writer.append(source, [b"torn" * 50], place.clock.now())
        writer.commit()
    with path.open("r+b") as file:
        last = [one for one in frames.headers(file.fileno(), 0, path.stat().st_size) if one.kind == kind][-1]
        file.seek(last.offset + 100)
        file.write(bytes(20))
    (path.parents[1] / "head").write_bytes(head)
    (place.keys / "tail-0000.key").write_bytes(tail)  # it may lag behind what is sealed
    os.close(writer._lock)  # the process is gone, as far as the lock tells
    with place.writer() as after:
        assert after.commit() == 2
        after.append(source, [b"next"], place.clock.now())
    assert [record.raw for record in Reader(place.ledger, 0).read(1, 10)] == [b"kept", b"next"]
    assert verify_ledger(place.ledger, keys=place.keys).ok


@pytest.mark.parametrize("failing", range(1, 12))
def test_after_an_io_error_the_volume_is_abandoned_and_nothing_is_lost(place, monkeypatch, failing):
    """The n-th fdatasync fails once: it is not tried again on that file; every record stands in the next volume."""
    calls, real = [], os.fdatasync

    def fdatasync(fd):
        calls.append(fd)
        if len(calls) == failing:
            raise OSError(errno.EIO, "injected")
        real(fd)

    writer = place.writer()
    source = writer.source("web-01", "http")
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    for n in range(8):
        writer.append(source, [b"%d" % n] * 40, place.clock.now())
        assert writer.commit() == 40 * n + 41
        place.clock.advance(SECOND // 2)
        writer.tick()
    writer.close()
    assert len(place.events()) == 2
    records = Reader(place.ledger, 0).read(1, 1000)
    assert [record.raw for record in records] == [b"%d" % (n // 40) for n in range(320)]
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings
    place.writer().close()


def fill_until_refused(place, writer, source):
    """Append and commit until the disk refuses; return the last head and what was acknowledged."""
    head, lines = 0, []
    for n in range(10_000):
        batch = [b"%d-%d " % (n, k) + os.urandom(500) for k in range(40)]
        lines += batch
        try:
            writer.append(source, batch, place.clock.now())
            head = writer.commit()
            place.clock.advance(SECOND // 2)
            writer.tick()
        except LedgerError as error:
            assert error.retry
            assert "make space" in error.mend
            return head, lines
    raise AssertionError("the disk never filled")


def check_resumed(place, writer, head, lines):
    """After space was made: the records that waited are there once, in order, and everything verifies."""
    assert Reader(place.ledger, 0).head() in (head, len(lines) + 1)
    assert writer.commit() == len(lines) + 1
    writer.tick()
    writer.close()
    assert [record.raw for record in Reader(place.ledger, 0).read(1, 1 << 20)] == lines
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings


def test_a_file_size_limit_refuses_and_resumes(place):
    """A write that the kernel refuses (RLIMIT_FSIZE) leaves nothing half-acknowledged; when it is lifted, all goes on."""
    writer = place.writer()
    source = writer.source("web-01", "http")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        head, lines = fill_until_refused(place, writer, source)
        with pytest.raises(LedgerError, match="cannot write"):
            writer.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check_resumed(place, writer, head, lines)


@pytest.mark.parametrize("size", ["1m", "1084k", "1200k"])
def test_a_full_disk_refuses_and_resumes(place, size):
    """A tmpfs that is full: a clear error, nothing half-acknowledged, and all goes on when there is space."""
    folder = place.ledger
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        assert os.environ.get("CI") != "true", "CI must be able to mount a tmpfs"
        pytest.skip(f"mounting a tmpfs needs root: {mounted.stderr.decode().strip()}")
    try:
        writer = place.writer()
        head, lines = fill_until_refused(place, writer, writer.source("web-01", "http"))
        subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
        check_resumed(place, writer, head, lines)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
