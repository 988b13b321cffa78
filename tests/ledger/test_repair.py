"""Repair: what is proven is kept, what is damaged is set aside and named in the log, and the ledger goes on."""

import json
import os

import pytest

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError
from watchbill.ledger import Reader, frames, verify_ledger
from watchbill.ledger import writer as writing
from watchbill.ledger.compaction import compact
from watchbill.ledger.frames import Kind
from watchbill.ledger.repair import examine, repair

SHARD = "shard-0000"


def line(n):
    return b"record %06d" % n


@pytest.fixture
def ledger(place, monkeypatch):
    """Four volumes and a tail that is acknowledged and not sealed: the writer was killed."""
    monkeypatch.setattr(writing, "VOLUME_BYTES", 9_000)
    writer = place.writer()
    source = writer.source("web-01", "syslog-tcp")
    position = 1
    while len(place.events()) < 4 or writer._volume.end < 4_000:
        for _ in range(2):
            writer.append(source, [line(position + n) for n in range(50)], place.clock.now())
            position += 50
            writer.commit()
        place.clock.advance(SECOND)
        writer.tick()
    for _ in range(6):
        writer.append(source, [line(position + n) for n in range(20)], place.clock.now())
        position += 20
        writer.commit()
    os.close(writer._lock)
    place.acknowledged = position
    return place


def headers(path, kind):
    with path.open("rb") as file:
        return [one for one in frames.headers(file.fileno(), 0, path.stat().st_size) if one.kind == kind]


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def kept(place):
    """The records of the first source by position."""
    reader = Reader(place.ledger, 0)
    try:
        return {one.position: one.raw for one in reader.read(0, 1 << 40) if one.source == 1}
    finally:
        reader.close()


def check(place, damages, lost, registrations=0):
    """All but what was declared lost is there, the verifier is content and tells of it, and writing goes on."""
    assert sum(one.sealed + one.unsealed for one in damages) == lost
    found = kept(place)
    assert all(raw == line(position) for position, raw in found.items())
    assert len(found) == place.acknowledged - 1 - lost + registrations
    report = verify_ledger(place.ledger, keys=place.keys, workers=1)
    assert report.ok, report.findings
    assert [point for point in report.open_points if "declares a loss" in point]
    assert examine(place.ledger, place.keys, 0) == []
    with place.writer() as writer:
        at = writer.append(writer.source("web-01", "syslog-tcp"), [b"goes on"], place.clock.now())
    assert Reader(place.ledger, 0).get(at).raw == b"goes on"
    assert verify_ledger(place.ledger, keys=place.keys, workers=1).ok
    notes = [json.loads(one.raw) for one in Reader(place.ledger, 0).read(0, 1 << 40) if b"ledger.repaired" in one.raw]
    assert len(notes) == len(damages)


def test_a_whole_ledger_is_left_alone(ledger):
    """Nothing to do: nothing is written."""
    assert repair(ledger.ledger, ledger.keys, 0, ledger.clock) == []
    assert not (ledger.ledger / SHARD / "damaged").exists()


@pytest.mark.parametrize("packed", [False, True], ids=["groups", "packed"])
def test_a_flipped_bit_in_a_closed_volume_costs_its_segment(ledger, packed):
    """Dry run changes nothing; repair keeps all other segments, and sets the damaged file aside as it was."""
    if packed:
        compact(ledger.ledger, 0)
    path = ledger.events()[1]
    kind = Kind.PACKED if packed else Kind.GROUP
    flip(path, headers(path, kind)[0].end - frames.MAC_SIZE - 5)
    damaged = path.read_bytes()
    (found,) = examine(ledger.ledger, ledger.keys, 0)
    assert path.read_bytes() == damaged
    assert "volume" in str(found.place) or ".vol" in found.place
    done = repair(ledger.ledger, ledger.keys, 0, ledger.clock)
    assert done == [found]
    assert (ledger.ledger / SHARD / found.aside).read_bytes() == damaged
    check(ledger, done, found.sealed)
    assert 0 < found.sealed <= 600


def test_a_missing_volume_is_named(ledger):
    """Every segment of a volume that is gone is lost, and no other."""
    path = ledger.events()[1]
    count = sum(one.records for one in headers(path, Kind.GROUP))
    path.unlink()
    check(ledger, repair(ledger.ledger, ledger.keys, 0, ledger.clock), count)


def test_the_first_volume_with_its_registrations(ledger):
    """The registration of the source is lost with its segment: the source is known from later volumes."""
    path = ledger.events()[0]
    path.write_bytes(b"")
    lost = int(ledger.events()[1].name[9:25])
    check(ledger, repair(ledger.ledger, ledger.keys, 0, ledger.clock), lost, registrations=1)


def test_damage_in_the_last_volume_below_its_last_seal(ledger):
    """The writer refuses with a mend; after repair it goes on in a new volume, and what was not sealed is there."""
    path = ledger.events()[-1]
    flip(path, headers(path, Kind.GROUP)[0].offset + 40)
    with pytest.raises(LedgerError):
        verified(ledger)
    done = repair(ledger.ledger, ledger.keys, 0, ledger.clock)
    check(ledger, done, 100)
    assert done[0].unsealed == 0


def verified(place):
    report = verify_ledger(place.ledger, keys=place.keys, workers=1)
    if not report.ok:
        raise LedgerError(report.findings[0].what)


def test_damage_in_what_was_not_sealed(ledger):
    """One group of 20 is lost; those before and behind it keep their positions."""
    path = ledger.events()[-1]
    flip(path, headers(path, Kind.GROUP)[-3].offset + 100)
    with pytest.raises(LedgerError, match="ledger repair"):
        ledger.writer()
    done = repair(ledger.ledger, ledger.keys, 0, ledger.clock)
    assert (done[0].sealed, done[0].unsealed) == (0, 20)
    check(ledger, done, 20)


@pytest.mark.parametrize("keep", [0, 10, 200, 3_000])
def test_a_last_volume_that_was_truncated(ledger, keep):
    """Whatever is left of it is kept; what the signed log still counts is named."""
    os.truncate(ledger.events()[-1], keep)
    with pytest.raises(LedgerError, match="ledger repair"):
        ledger.writer()
    done = repair(ledger.ledger, ledger.keys, 0, ledger.clock)
    check(ledger, done, done[0].sealed + done[0].unsealed)
    assert done[0].unsealed == 120


@pytest.mark.parametrize("what", ["head", "tail", "last volume"])
def test_a_missing_head_or_tail_key_or_last_volume(ledger, what):
    """Without its head or its tail's key nothing is lost that can be read; a missing last volume is named."""
    gone = {
        "head": ledger.ledger / SHARD / "head",
        "tail": ledger.keys / "tail-0000.key",
        "last volume": ledger.events()[-1],
    }[what]
    gone.unlink()
    done = repair(ledger.ledger, ledger.keys, 0, ledger.clock)
    assert len(done) == 1
    check(ledger, done, done[0].sealed + done[0].unsealed)
    assert (done[0].sealed + done[0].unsealed == 0) == (what != "last volume")


def test_a_damaged_log_is_not_repaired(ledger):
    """The signed log says what is missing; without it there is no repair, and the error says what to do."""
    for path in (ledger.ledger / SHARD / "log/tile/entries/000.p").iterdir():
        flip(path, 300)
    with pytest.raises(LedgerError, match="restore the folder log/"):
        repair(ledger.ledger, ledger.keys, 0, ledger.clock)


def test_a_shard_that_is_written_is_not_repaired(ledger):
    """The writer has to be stopped first."""
    with ledger.writer(), pytest.raises(LedgerError, match="stop Watchbill first"):
        repair(ledger.ledger, ledger.keys, 0, ledger.clock)
