"""Packed volumes: what is packed reads back, verifies, and is placed when it is damaged; a kill at any step harms nothing."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError
from watchbill.ledger import Reader, frames, orders, packing, verify_ledger
from watchbill.ledger import writer as writer_module
from watchbill.ledger.compaction import compact, unpack
from watchbill.ledger.frames import Kind
from watchbill.ledger.packing import Block, Sealed, encode
from watchbill.ledger.salts import Seed
from watchbill.ledger.segment import Run


@pytest.fixture(scope="module")
def original(new_place):
    """Several closed volumes and an open one, with all kinds of bytes, and a loss."""
    place, chance = new_place(), random.Random(7)
    with pytest.MonkeyPatch.context() as small:
        small.setattr(writer_module, "VOLUME_BYTES", 150_000)
        with place.writer() as writer:
            for n in range(60):
                web, db = writer.source("web-01", "syslog-udp"), writer.source(f"db-{n // 20}", "http")
                writer.append(web, [b"line %d of %d\n" % (k, n) * 8 for k in range(60)], place.clock.now(), n)
                writer.append(db, [chance.randbytes(chance.randrange(60)) for _ in range(40)], place.clock.now())
                if n % 7 == 0:
                    writer.drop(web, 3, "queue full")
                writer.commit()
                place.clock.advance(SECOND // 2)
                writer.tick()
    assert len(place.events()) > 3
    return place


@pytest.fixture
def closed(original, new_place):
    """A copy of it for each test."""
    place = new_place()
    shutil.copytree(original.ledger.parent, place.ledger.parent, dirs_exist_ok=True)
    place.clock.at = original.clock.now()
    return place


def content(place):
    reader = Reader(place.ledger, 0)
    try:
        return reader.read(0, 1 << 20)
    finally:
        reader.close()


def headers_of(path):
    with path.open("rb") as file:
        return list(frames.headers(file.fileno(), 0, path.stat().st_size))


def test_packed_volumes_read_and_verify_as_before(closed):
    """Packing changes the files and nothing that they say; a second run has nothing to do; the writer goes on."""
    before = content(closed)
    packed = compact(closed.ledger, 0)
    assert [one.volume for one in packed] == list(range(len(closed.events()) - 1))
    assert all(one.after < one.before / 2 for one in packed)
    assert content(closed) == before
    assert compact(closed.ledger, 0) == []
    with closed.writer() as writer:
        writer.append(1, [b"after"], closed.clock.now())
    reader = Reader(closed.ledger, 0)
    assert [reader.get(n) for n in (0, 1, 255, 777, 2000)] == [before[n] for n in (0, 1, 255, 777, 2000)]
    assert [known.name for known in reader.sources()] == ["web-01", "db-0", "db-1", "db-2"]
    reader.close()
    report = verify_ledger(closed.ledger, keys=closed.keys, workers=2)
    assert report.ok, report.findings
    assert report.events == len(before) + 1


def test_a_reader_that_has_the_old_file_open_goes_on(closed):
    """A volume that is packed under a reader gives the same records, before and after it looks again."""
    reader = Reader(closed.ledger, 0)
    before = reader.read(10, 5)
    compact(closed.ledger, 0)
    assert reader.read(10, 5) == before
    reader._index._looked -= 2
    assert reader.read(10, 5) == before
    assert headers_of(reader._index.path)[1].kind in (Kind.PACKED, Kind.ENTRY)
    reader.close()


def test_what_cannot_be_checked_is_not_packed(closed):
    """A damaged volume is left as it is, byte for byte, and the place is said."""
    path = closed.events()[1]
    data = bytearray(path.read_bytes())
    data[data.index(b"line 7 of") + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="not those that were sealed") as error:
        compact(closed.ledger, 0)
    assert path.name in str(error.value.place)
    assert path.read_bytes() == data
    assert not list(path.parent.glob("*.packing"))


@pytest.mark.parametrize("seed", range(24))
def test_a_flipped_bit_in_a_packed_volume_is_found_and_placed(closed, seed):
    """Wherever the bit is: the volume's file, and the frame that holds it or the one behind."""
    compact(closed.ledger, 0)
    chance = random.Random(seed)
    path = chance.choice(closed.events()[:-1])
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    holding = next(header for header in headers_of(path) if header.offset <= at < header.end)
    path.write_bytes(data)
    report = verify_ledger(closed.ledger, keys=closed.keys)
    assert not report.ok
    assert path.name in report.findings[0].place
    if holding.kind == Kind.PACKED and at >= holding.offset + frames.HEADER_SIZE:
        assert f"{holding.offset}" in report.findings[0].place


def test_a_record_that_was_changed_in_a_block_is_placed_within_256(new_place, monkeypatch):
    """Somebody unpacks, changes a record and packs again: the verifier names the 256 records that hold it."""
    monkeypatch.setattr(writer_module, "VOLUME_BYTES", 1)
    place = new_place()
    with place.writer() as writer:
        source = writer.source("web-01", "http")
        writer.append(source, [b"%d" % n for n in range(3000)], place.clock.now())
        place.clock.advance(SECOND)
        writer.tick()
        place.clock.advance(SECOND)
        writer.tick()
    compact(place.ledger, 0)
    path = place.events()[0]
    with path.open("rb") as file:
        found = [frames.read(file.fileno(), header) for header in headers_of(path)]
    block = Block(found[-1])
    segments = list(block.segments())
    segments[0].bodies[1000] = b"forged"
    before = b"".join(frame.signed + frame.mac for frame in found[:-1])
    path.write_bytes(before + encode(block.entry, segments))
    report = verify_ledger(place.ledger, keys=place.keys)
    assert "positions 768 to 1023" in report.findings[0].what


@given(
    st.lists(st.lists(st.binary(max_size=12), max_size=40), min_size=1, max_size=6),
    st.sets(st.integers(0, 30)),
    st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_any_block_reads_back(lists, erased, gone):
    """Any bytes (also ones that hold every separator), gone segments and erased records come back as they were."""
    segments, first = [], 50
    for number, bodies in enumerate(lists):
        here = {at: bytes([at]) * 32 for at in sorted(erased) if at < len(bodies)}
        left = [None if at in here else body for at, body in enumerate(bodies)]
        half = len(bodies) // 2
        runs = [run for run in (Run(1, half, 5, 0, 9), Run(2, len(bodies) - half, 7, 3, 1)) if run.records]
        seeds = [Seed(1, 2, b"0123456789abcdef")]
        if number == gone:
            segments.append(Sealed(9 + number, first, len(bodies), gone=True))
        else:
            segments.append(Sealed(9 + number, first, len(bodies), runs, left, here, seeds, []))
        first += len(bodies)
    data = encode(33, segments)
    header = frames.decode_header(data, 0)
    frame = frames.Frame(header, data)
    block = Block(frame)
    assert (block.entry, list(block.segments()), packing.digest_is_right(frame)) == (33, segments, True)


def test_bytes_of_every_value_are_kept_by_lengths():
    """Where no byte is free to stand between the records, their lengths do."""
    bodies = [bytes(range(256)), b"", b"\n"]
    data = encode(0, [Sealed(0, 0, 3, [Run(1, 3, 1, 1, 1)], list(bodies), {}, [], [])])
    block = Block(frames.Frame(frames.decode_header(data, 0), data))
    assert (block.pieces[0].separator, block.piece(0)) == (None, bodies)


@given(st.binary(max_size=200))
def test_hostile_bytes_are_no_block(payload):
    """Whatever stands in a frame of that kind: a ValueError at most."""
    header = frames.Header(Kind.PACKED, len(payload), 0, 0, 3, 0)
    with pytest.raises(ValueError):
        Block(frames.Frame(header, bytes(frames.HEADER_SIZE) + payload))


STEPS = """
import os, signal, sys
from pathlib import Path
from watchbill.ledger import durable
from watchbill.ledger.compaction import compact, unpack
step = int(sys.argv[2])
def count(name, real):
    def called(*args, **kwargs):
        global step
        step -= 1
        if step == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return called
os.fsync = count("fsync", os.fsync)
os.fchmod = count("fchmod", os.fchmod)
Path.replace = count("replace", Path.replace)
durable.sync_directory = count("directory", durable.sync_directory)
compact(Path(sys.argv[1]), 0)
"""


def test_a_kill_at_any_step_of_packing_leaves_every_record(closed):
    """SIGKILL before each fsync, rename and sync in turn: always the old file or the new one, and the next run ends it."""
    before = content(closed)
    for step in range(1, 200):
        done = subprocess.run([sys.executable, "-c", STEPS, closed.ledger, str(step)], check=False)
        assert content(closed) == before
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert step > 5
    assert compact(closed.ledger, 0) == []
    assert not list(closed.events()[0].parent.glob("*.packing"))
    report = verify_ledger(closed.ledger, keys=closed.keys)
    assert report.ok, report.findings


def test_two_at_once_are_refused(closed):
    """While one process packs a shard, another is told to try again."""
    from watchbill.ledger import compaction

    with compaction._locked(closed.ledger / "shard-0000", 0), pytest.raises(LedgerError) as error:
        compact(closed.ledger, 0, patience=0.1)
    assert error.value.retry


def test_only_what_is_signed_is_packed(closed):
    """A checkpoint that does not reach the end of a closed volume keeps it as it is."""
    path = closed.ledger / "shard-0000/log/checkpoint"
    whole = path.read_text()
    origin, _, *rest = whole.split("\n")
    path.write_text("\n".join([origin, "3", *rest]))
    assert compact(closed.ledger, 0) == []
    path.write_text(whole)
    assert compact(closed.ledger, 0) != []
    assert closed.events()[0].stat().st_mode & 0o777 == 0o600


def test_after_an_upgrade_packing_waits_for_a_day_and_deleting_does_not(closed):
    """One can go back to the version before: nothing that it cannot read is written on the first day."""
    now, before = closed.clock.now(), [path.read_bytes() for path in closed.events()]
    assert compact(closed.ledger, 0, now=now) == []
    assert compact(closed.ledger, 0, now=now + 23 * 3600 * SECOND) == []
    assert [path.read_bytes() for path in closed.events()] == before
    assert len(compact(closed.ledger, 0, now=now + 24 * 3600 * SECOND)) == len(closed.events()) - 1


def test_a_new_installation_packs_from_its_first_closed_volume_on(place, monkeypatch):
    """No older version ever wrote there."""
    with place.writer() as writer:
        writer.source("a", "http")
        assert compact(place.ledger, 0, now=place.clock.now()) == []
        place.clock.advance(SECOND)
        monkeypatch.setattr(writer_module, "VOLUME_BYTES", 1)
        writer.tick()
        place.clock.advance(SECOND)
        writer.tick()
    assert len(compact(place.ledger, 0, now=place.clock.now())) == 1


def test_unpacked_volumes_are_what_the_version_before_reads(closed):
    """Groups and seals as they were, read by code that knows no blocks; packing rests, then does the same again."""
    before = content(closed)
    compact(closed.ledger, 0)
    with closed.writer(), pytest.raises(LedgerError, match="stop it first"):
        unpack(closed.ledger, 0, closed.clock.now(), closed.keys)
    assert unpack(closed.ledger, 0, closed.clock.now(), closed.keys)[1] == []
    kinds = {header.kind for path in closed.events() for header in headers_of(path)}
    assert kinds == {Kind.VOLUME, Kind.GROUP, Kind.SEAL, Kind.ENTRY}
    assert (closed.keys / "tail-0000.key").stat().st_size == 44  # one copy, as the first version has it
    assert content(closed) == before
    report = verify_ledger(closed.ledger, keys=closed.keys)
    assert report.ok, report.findings
    assert compact(closed.ledger, 0, now=closed.clock.now() + SECOND) == []
    assert compact(closed.ledger, 0) != []
    assert content(closed) == before


def test_what_was_deleted_stays_packed(closed):
    """A volume with a deleted record cannot be written in the older form: it is named, and left as it is."""
    orders.carry_out(
        closed.ledger, closed.keys, closed.clock, orders.erasure(0, "E-1", "court order", "1", "2", [(5, 1)])
    )
    compact(closed.ledger, 0)
    assert unpack(closed.ledger, 0, closed.clock.now(), closed.keys)[1] == [0]
    assert verify_ledger(closed.ledger, keys=closed.keys).ok


def test_a_frame_of_a_later_version_is_named_as_such(closed):
    """A reader that meets a kind or version that it does not know says where, and reads nothing into it."""
    path = closed.events()[0]
    header = headers_of(path)[2]
    data = bytearray(path.read_bytes())
    data[header.offset + 3] = 2
    check = zlib.crc32(data[header.offset : header.offset + 28]).to_bytes(4, "big")
    data[header.offset + 28 : header.offset + 32] = check
    path.write_bytes(data)
    report = verify_ledger(closed.ledger, keys=closed.keys)
    assert "written by a later version" in report.findings[0].what
    assert str(header.offset) in report.findings[0].place


@pytest.mark.parametrize("what", ["frame", "kind", "opening"])
@pytest.mark.parametrize("told", [True, False], ids=["below the head", "behind the head"])
def test_a_start_over_what_a_later_version_wrote_changes_nothing(place, what, told):
    """The version before refuses with a sentence: it cuts nothing off and sets nothing aside, also behind the head."""
    with place.writer() as writer:
        source = writer.source("web-01", "http")
        head = (place.ledger / "shard-0000" / "head").read_bytes()
        tail = (place.keys / "tail-0000.key").read_bytes()
        writer.append(source, [b"new"], place.clock.now())
        if what == "opening":
            writer._begin_volume("full")
    path = place.events()[-1]
    data = bytearray(path.read_bytes())
    if what == "opening":
        data = data.replace(b'"v":1', b'"v":2')
    else:
        last = headers_of(path)[-1].offset
        data[last + 2 : last + 4] = b"Y\x01" if what == "kind" else bytes([data[last + 2], 2])
        data[last + 28 : last + 32] = zlib.crc32(data[last : last + 28]).to_bytes(4, "big")
    path.write_bytes(data)
    if not told:
        (place.ledger / "shard-0000" / "head").write_bytes(head)
        (place.keys / "tail-0000.key").write_bytes(tail)
    before = {file: file.read_bytes() for file in (place.ledger / "shard-0000" / "events").iterdir()}
    with pytest.raises(LedgerError, match="later version") as refused:
        place.writer()
    assert "that version or a later one" in refused.value.mend
    assert {file: file.read_bytes() for file in (place.ledger / "shard-0000" / "events").iterdir()} == before


def test_a_start_behind_100_gigabytes_reads_the_newest_volume_alone(place, monkeypatch):
    """60 closed volumes of two gigabytes each (sparse): the writer is there in less than 5 seconds."""
    monkeypatch.setattr(writer_module, "VOLUME_BYTES", 1)
    with place.writer() as writer:
        source = writer.source("web-01", "http")
        for n in range(60):
            writer.append(source, [b"%d" % n], place.clock.now())
            place.clock.advance(SECOND)
            writer.tick()
        monkeypatch.undo()
        writer.append(source, [b"last"] * 5000, place.clock.now())
        writer.commit()
    for path in place.events()[:-1]:
        os.truncate(path, 2 << 30)
    assert sum(path.stat().st_size for path in place.events()) > 100 << 30
    began = time.monotonic()
    with place.writer() as writer:
        assert writer.commit() == 5061
    assert time.monotonic() - began < 5
    reader = Reader(place.ledger, 0)
    assert [record.raw for record in reader.read(5059, 10)] == [b"last"] * 2
    reader.close()
