"""Retention and erasure: the signed entry first, then the bytes; what no entry names is damage."""

import errno
import json
import signal
import subprocess
import sys

import pytest

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError, NotFoundError
from watchbill.ledger import Reader, export_bundle, frames, orders, verify_bundle, verify_ledger
from watchbill.ledger.compaction import _delete, compact, pending
from watchbill.ledger.deletions import Deletions, Part, decode
from watchbill.ledger.frames import Kind
from watchbill.ledger.packing import Block, blocks
from watchbill.ledger.tiles import TileReader


def carry_out(place, found):
    orders.carry_out(place.ledger, place.keys, place.clock, found)


def content(place):
    reader = Reader(place.ledger, 0)
    try:
        return reader.read(0, 1 << 20)
    finally:
        reader.close()


def report_of(place):
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings
    return report.shards[0].deleted


def stored(place):
    return b"".join(path.read_bytes() for path in place.events())


def retention(sources=(1,), first=0, end=3):
    return orders.retention(0, "web servers", 90, [Part(first, end, sources)])


def erasure(*positions, approved="2"):
    return orders.erasure(0, "E-1", "data subject", "1", approved, positions)


def test_retention_deletes_one_source_and_keeps_the_other(filled):
    """The entry is signed, the named records go, the others stay as they were, and the verifier counts what is missing."""
    before = content(filled)
    carry_out(filled, retention())
    assert (pending(filled.ledger, 0), content(filled)) == (1, before)
    assert sum(one.deleted for one in compact(filled.ledger, 0)) == 450
    gone = {record.position for record in before if record.source == 1 and record.position < 3 * 300}
    after = content(filled)
    assert after == [record for record in before if record.position not in gone]
    (index,) = report_of(filled)
    assert report_of(filled) == {index: len(gone)}
    assert pending(filled.ledger, 0) == 0
    with filled.writer() as writer:
        writer.append(1, [b"goes on"], filled.clock.now())
    assert report_of(filled) == {index: len(gone)}


def test_segments_of_which_all_is_deleted_leave_nothing_but_their_manifest(filled):
    """Both sources: no byte of the records, no header and no salt of the segment stays; readers go on behind it."""
    carry_out(filled, retention((1, 2), 1, 3))
    compact(filled.ledger, 0)
    with filled.events()[0].open("rb") as file:
        size = filled.events()[0].stat().st_size
        found = [frames.read(file.fileno(), header) for header in frames.headers(file.fileno(), 0, size)]
    parts = [part for frame in found if frame.header.kind == Kind.PACKED for part in Block(frame).parts]
    assert [part.gone for part in parts] == [False, True, True, False]
    reader = Reader(filled.ledger, 0)
    assert (reader.read(400, 10), [record.position for record in reader.read(890, 13)]) == ([], [902])
    with pytest.raises(NotFoundError, match="was deleted"):
        reader.get(500)
    reader.close()
    assert sum(report_of(filled).values()) == 600


def test_erasure_leaves_header_and_commitment_and_forgets_the_salt(filled):
    """The record's bytes are nowhere in the volumes, its salt cannot be computed, and the proof still verifies."""
    compact(filled.ledger, 0)
    before = content(filled)
    carry_out(filled, erasure((7, 2), (600, 1)))
    assert sum(one.deleted for one in compact(filled.ledger, 0)) == 3
    assert [record for record in before if record.position not in (7, 8, 600)] == content(filled)
    blocks_of = [Block(frame) for frame in packed(filled)]
    segments = [segment for block in blocks_of for segment in block.segments()]
    assert sorted(segments[0].erased) == [7, 8]
    assert len(segments[0].seeds) > 1
    assert sum(report_of(filled).values()) == 3


def packed(place):
    for path in place.events():
        with path.open("rb") as file:
            for header in frames.headers(file.fileno(), 0, path.stat().st_size):
                if header.kind == Kind.PACKED:
                    yield frames.read(file.fileno(), header)


def test_records_of_this_second_can_be_erased(place):
    """What is not even sealed is sealed, its volume closed, and then erased."""
    with place.writer() as writer:
        source = writer.source("web-01", "http")
        writer.append(source, [b"public", b"secret", b"public"], place.clock.now())
        writer.commit()
        orders.place(place.ledger, erasure((2, 1))[0])
        writer.tick()
    compact(place.ledger, 0)
    assert b"secret" not in stored(place)
    assert [record.raw for record in content(place)[1:]] == [b"public", b"public"]
    assert sum(report_of(place).values()) == 1


def test_a_record_without_bytes_that_no_entry_names_is_damage(filled):
    """The same rewriting without an entry is found; so is one that takes a neighbour of what the entry names."""
    carry_out(filled, erasure((7, 1)))
    compact(filled.ledger, 0)
    forged = Deletions(erasures=[(0, 7, 2)])
    path = filled.events()[0]
    with path.open("rb") as file:
        found = [frames.read(file.fileno(), h) for h in frames.headers(file.fileno(), 0, path.stat().st_size)]
    data = b""
    for frame in found:
        if frame.header.kind == Kind.PACKED:
            block = Block(frame)
            data += b"".join(blocks([_delete(segment, forged) for segment in block.segments()], block.entry))
        else:
            data += frame.signed + frame.mac
    path.write_bytes(data)
    report = verify_ledger(filled.ledger, keys=filled.keys)
    assert "position 8 has no bytes, and no entry of the log says that it was deleted" in report.findings[0].what
    assert path.name in report.findings[0].place


@pytest.mark.parametrize("wrong", ["one person", "other shard", "unknown kind", "not canonical", "source 0"])
def test_orders_that_are_none_are_put_aside(place, wrong):
    """The writer enters nothing that the verifier would not accept."""
    good = json.loads(erasure((7, 1))[0].encode())
    if wrong == "one person":
        good["approved"] = "1"
    elif wrong == "other shard":
        good["shard"] = 1
    elif wrong == "unknown kind":
        good["kind"] = "amnesty"
    elif wrong == "source 0":
        good = json.loads(retention()[0].encode()) | {"parts": [[0, 1, [0]]]}
    folder = place.ledger / "shard-0000/orders"
    with place.writer() as writer:
        folder.mkdir()
        text = json.dumps(good, indent=None if wrong != "not canonical" else 1, sort_keys=True, separators=(",", ":"))
        file = folder / f"{good['order']}.json"
        file.write_text(text)
        writer.take_orders()
    assert [path.suffix for path in folder.iterdir()] == [".refused"]
    assert TileReader(place.ledger / "shard-0000/log").checkpoint().split("\n")[1] == "1"


KILLED = """
import os, signal, sys
from pathlib import Path
from watchbill.core.clock import SystemClock
from watchbill.ledger import Writer, orders
from watchbill.ledger.compaction import compact
step = int(sys.argv[2])
def count(real):
    def called(*args, **kwargs):
        global step
        step -= 1
        if step == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return called
os.fsync, os.fdatasync, Path.replace, Path.unlink = map(count, (os.fsync, os.fdatasync, Path.replace, Path.unlink))
folder = Path(sys.argv[1])
with Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=SystemClock()) as writer:
    writer.take_orders()
compact(folder / "ledger", 0)
"""


def test_a_kill_at_any_step_of_a_deletion_is_taken_up_again(filled):
    """From the order to the last rename: one entry in the log, everything named is gone, nothing else is."""
    before = content(filled)
    orders.place(filled.ledger, retention()[0])
    for step in range(1, 60):
        done = subprocess.run([sys.executable, "-c", KILLED, filled.ledger.parent, str(step)], check=False)
        assert {record.position for record in before if record.source != 1} <= {r.position for r in content(filled)}
        verified = verify_ledger(filled.ledger, keys=filled.keys)
        assert verified.ok, verified.findings
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert step > 5
    log = TileReader(filled.ledger / "shard-0000/log")
    entries = list(log.entries(0, int(log.checkpoint().split("\n")[1])))
    assert sum(b'"kind":"retention"' in entry for entry in entries) == 1
    assert sum(report_of(filled).values()) == 450


@pytest.mark.parametrize("failing", ["_begin_volume", "_sign"])
def test_an_order_that_fails_half_way_is_entered_once(filled, monkeypatch, failing):
    """The disk refuses after the entry was made: the next attempt knows it."""
    orders.place(filled.ledger, retention()[0])
    with filled.writer() as writer:

        def refuse(*_, **__):
            raise OSError(errno.ENOSPC, "injected")

        for _ in range(3):
            with monkeypatch.context() as patched:
                patched.setattr(writer, failing, refuse)
                with pytest.raises(LedgerError):
                    writer.take_orders()
        writer.take_orders()
    assert not list((filled.ledger / "shard-0000/orders").iterdir())
    log = TileReader(filled.ledger / "shard-0000/log")
    entries = list(log.entries(0, int(log.checkpoint().split("\n")[1])))
    assert sum(b'"kind":"retention"' in entry for entry in entries) == 1


def test_a_bundle_shows_what_was_deleted_and_by_which_entry(filled, tmp_path):
    """Blocks are cut to the period; the deletions come with their proofs; without them the bundle does not pass."""
    start = filled.clock.now() - 4 * SECOND
    carry_out(filled, [*retention((1,), 1, 2), *erasure((950, 1))])
    compact(filled.ledger, 0)
    out = tmp_path / "bundle.zip"
    export_bundle(filled.ledger, filled.keys, out, start + SECOND, start + 2 * SECOND)
    report = verify_bundle(out)
    assert report.ok, report.findings
    assert (report.events, sum(report.shards[0].deleted.values())) == (300, 150)
    export_bundle(filled.ledger, filled.keys, out, 0, 1 << 62)
    report = verify_bundle(out)
    assert report.ok, report.findings
    assert sorted(report.shards[0].deleted.values()) == [1, 150]


def test_an_order_waits_for_a_writer_that_does_not_answer(filled):
    """While another process writes the shard, the order stays and who ordered is told so."""
    with filled.writer() as writer:
        with pytest.raises(LedgerError, match="did not enter the order yet") as error:
            orders.carry_out(filled.ledger, filled.keys, filled.clock, erasure((7, 1)), patience=0.3)
        assert error.value.retry
        writer.tick()
    compact(filled.ledger, 0)
    assert sum(report_of(filled).values()) == 1


def test_many_positions_are_said_in_several_entries():
    """A log entry is never longer than the log allows."""
    found = orders.erasure(0, "E-1", "data subject", "1", "2", [(n << 40, 1) for n in range(5000)])
    assert len(found) == 4
    assert all(len(one.encode()) < 65_535 for one in found)
    assert [decode(one.encode()) for one in found] == found
    parts = [Part(n << 40, (n << 40) + 1, tuple(range(1, 300))) for n in range(200)]
    found = orders.retention(0, "all", 30, parts)
    assert len(found) > 1
    assert [part for one in found for part in one.parts] == parts
    assert all(len(one.encode()) <= 60_000 for one in found)
