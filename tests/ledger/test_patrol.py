"""The patrol: everything that is altered, deleted or cut on disk is told by the next round, with its place."""

import base64
import os
import re
import shutil
import time
from dataclasses import replace

import pytest

from watchbill.core.clock import SECOND
from watchbill.ledger import Reader, anchors, patrol, tile_watch, tree
from watchbill.ledger import writer as writer_module
from watchbill.ledger.keys import open_private
from watchbill.ledger.note import Checkpoint, sign
from watchbill.ledger.patrol import Patrol

SHARD = "shard-0000"


@pytest.fixture(scope="module")
def written(new_place):
    """Several volumes, and a log of more than one full tile."""
    place = new_place()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "VOLUME_BYTES", 60_000)
        with place.writer() as writer:
            source = writer.source("web-01", "http")
            for number in range(270):
                writer.append(source, [b"record %d" % number] * 3, place.clock.now())
                place.clock.advance(SECOND)
                writer.tick()
    return place


@pytest.fixture
def watched(written, monkeypatch, tmp_path):
    """A copy of it, and a patrol that has seen all of it."""
    monkeypatch.setattr(writer_module, "VOLUME_BYTES", 60_000)
    monkeypatch.setattr(patrol.time, "sleep", lambda _: None)
    for folder in (written.ledger, written.keys):
        shutil.copytree(folder, tmp_path / folder.name)
    place = replace(written, ledger=tmp_path / "ledger", keys=tmp_path / "keys")
    made = patrol_of(place, tmp_path)
    assert settled(made) == []
    assert made.cycle.complete
    assert made.cycle.upto == {0: Reader(place.ledger, 0).head()}
    return place, made


def patrol_of(place, folder):
    return Patrol(place.ledger, place.keys, folder / "patrol.json", 86_400.0)


def settled(made):
    found = made.round()
    for _ in range(20):
        found += made.round() if not made.cycle.complete else []
    return found


def flip(path, at=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


def forge_checkpoint(place):
    path = place.ledger / SHARD / "log/checkpoint"
    origin, size, _, *rest = path.read_text().split("\n")
    path.write_text("\n".join([origin, size, base64.b64encode(bytes(32)).decode(), *rest]))


def go_back(place):
    path = place.ledger / SHARD / "log/checkpoint"
    text = re.sub(r"\n\d+\n", "\n100\n", path.read_text().partition("\n\n")[0] + "\n", count=1)
    path.write_text(sign(text, text.partition("\n")[0], open_private(place.keys / "log.key")))


def swap(place):
    one, other = place.events()[0], place.events()[1]
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)


WAYS = {
    "a closed volume": (lambda place: flip(place.events()[0]), r"00000000-.*\.vol \(byte \d+\)"),
    "the last volume": (lambda place: flip(place.events()[-1]), r"\.vol"),
    "a volume is deleted": (lambda place: place.events()[1].unlink(), "events"),
    "a volume is cut": (lambda place: os.truncate(place.events()[1], 9_000), r"00000001-.*\.vol"),
    "the last volume is cut": (lambda place: os.truncate(place.events()[-1], 300), r"\.vol"),
    "volumes change places": (swap, r"\.vol"),
    "a volume grows": (lambda place: place.events()[0].write_bytes(place.events()[0].read_bytes() + b"x"), r"\.vol"),
    "a bundle of entries": (lambda place: flip(place.ledger / SHARD / "log/tile/entries/000"), "tile/entries/000"),
    "a tile of hashes": (lambda place: flip(place.ledger / SHARD / "log/tile/0/000", 40), "tile/entries/000"),
    "a tile is deleted": (lambda place: (place.ledger / SHARD / "log/tile/0/000").unlink(), "tile/0/000"),
    "the checkpoint is forged": (forge_checkpoint, "checkpoint"),
    "the checkpoint goes back": (go_back, "checkpoint"),
    "the checkpoint is deleted": (lambda place: (place.ledger / SHARD / "log/checkpoint").unlink(), "checkpoint"),
    "the head is deleted": (lambda place: (place.ledger / SHARD / "head").unlink(), "head"),
    "the shard is deleted": (lambda place: shutil.rmtree(place.ledger / SHARD), SHARD),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_was_altered_is_told_in_the_next_round(watched, way):
    """Once, with its place; the round after is quiet."""
    place, made = watched
    change, where = WAYS[way]
    change(place)
    found = made.round()
    assert found, way
    assert any(re.search(where, one.place) for one in found), found
    assert made.round() == []


def test_what_was_altered_while_nobody_watched_is_told_at_the_start(watched, tmp_path):
    """A new patrol has the statuses of before: the changed file is the first that it verifies."""
    place, _ = watched
    flip(place.events()[0])
    found = patrol_of(place, tmp_path).round()
    assert "00000000-" in found[0].place


def test_a_start_leaves_what_it_does_not_know_to_the_cycle(watched, tmp_path, monkeypatch):
    """Else the start of a large installation would verify all of it at once; what changes from then on is looked at."""
    place, _ = watched
    (tmp_path / "patrol.json").unlink()
    fresh = patrol_of(place, tmp_path)
    monkeypatch.setattr(fresh, "_allowed", lambda: -1.0)
    looked: list[int] = []
    check = patrol.check_volume
    monkeypatch.setattr(
        patrol,
        "check_volume",
        lambda shard, volume, *rest: (looked.append(volume.number), check(shard, volume, *rest))[1],
    )
    assert fresh.round() == []
    assert looked == []
    flip(place.events()[1])
    assert "00000001-" in fresh.round()[0].place
    assert set(looked) == {1}


def test_a_forged_status_is_found_by_the_cycle(watched, monkeypatch, tmp_path):
    """Somebody sets the times back, too: then it is the whole verification that finds it."""
    place, made = watched
    path = place.events()[0]
    monkeypatch.setattr(patrol.Status, "of", classmethod(lambda cls, _: cls(0, 0, 0, 0)))
    made._good[str(path)] = patrol.Status(0, 0, 0, 0)
    flip(path)
    for one in list(made._good):
        made._good[one] = patrol.Status(0, 0, 0, 0)
    assert made.round() == []
    made.cycle.started -= 4_000
    assert "00000000-" in settled(made)[0].place


def test_a_touched_or_rewritten_file_that_is_good_is_no_finding(watched):
    """Backups restore times, packing rewrites volumes: what counts is what is in them."""
    place, made = watched
    path = place.events()[0]
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    os.utime(place.events()[1])
    assert made.round() == []


def test_a_live_writer_is_followed(watched):
    """Records come, volumes are closed, heads are signed: nothing of it is a finding; a change among it is."""
    place, made = watched
    with place.writer() as writer:
        source = writer.source("web-01", "http")
        for number in range(40):
            writer.append(source, [b"later %d" % number] * 10, place.clock.now())
            writer.commit()
            if number % 3 == 0:
                place.clock.advance(SECOND)
                writer.tick()
            if number % 5 == 0:
                made._shards[0]._last_due = 0.0
                assert made.round() == []
        path = place.events()[-1]
        data = path.read_bytes()
        flip(path, data.index(b"later 38") if b"later 38" in data else len(data) // 2)
        made._shards[0]._last_due = 0.0
        assert ".vol" in made.round()[0].place
        path.write_bytes(data)


def test_what_others_said_may_not_be_deleted_or_exchanged(watched):
    """A kept time stamp that is gone, and a cosigned checkpoint of more entries than there are."""
    place, made = watched
    shard = place.ledger / SHARD
    note = (shard / "log/checkpoint").read_text()
    anchors.keep_stamp(shard, note, "tsa", b"token")
    anchors.keep_cosigned(shard, note)
    assert made.round() == []
    for path in anchors.folder(shard).glob("*.tsr"):
        path.unlink()
    assert "was deleted" in made.round()[0].what
    text = re.sub(r"\n\d+\n", "\n9999\n", note.partition("\n\n")[0] + "\n", count=1)
    anchors.keep_cosigned(shard, sign(text, text.partition("\n")[0], open_private(place.keys / "log.key")))
    assert any("cut back" in one.what for one in made.round())


def test_a_cycle_beside_damage_is_no_clean_one(watched):
    """A volume that is gone is in no cycle, and all the same nothing is proven."""
    place, made = watched
    place.events()[1].unlink()
    assert made.round()
    made.cycle.started -= 4_000
    settled(made)
    assert made.cycle.complete
    assert made.cycle.findings


def test_the_cycle_keeps_to_its_share(watched, monkeypatch):
    """What a round may spend grows with time, and with what is left to do in time."""
    _, made = watched
    now = time.monotonic()
    monkeypatch.setattr(patrol.time, "monotonic", lambda: now)
    made._begin(now)
    assert made._allowed() == pytest.approx(2.0, abs=0.05)
    made._began -= 1_000
    assert made._allowed() == pytest.approx(2.0 + 1_000 * patrol.SHARE, abs=0.5)
    made.cycle.total, made.cycle.done, made._spent = 1_000, 1, 100.0
    assert made._allowed() == pytest.approx(2.0 + 1_000 * patrol.LARGEST_SHARE, abs=0.5)


def test_a_damaged_memory_is_made_again(place, tmp_path):
    """It is a hint, nothing more."""
    (tmp_path / "patrol.json").write_text('{"a": 1}')
    with place.writer():
        pass
    assert settled(patrol_of(place, tmp_path)) == []


def test_every_full_tile_is_looked_at_within_three_rounds(tmp_path, monkeypatch):
    """Of very many a part each time; what was noted is not told again, what is missing is told each time."""
    monkeypatch.setattr(tile_watch, "_AT_ONCE", 2)
    for kind in ("entries", "0"):
        (tmp_path / "tile" / kind).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "tile" / kind / f"{number:03}").write_bytes(b"tile")
    watch, size = tile_watch.TileWatch(tmp_path), 10 * 256 + 7
    watch.begin(size)
    assert [list(watch.changed(size)) for _ in range(4)] == [[]] * 4
    os.utime(tmp_path / "tile" / "entries" / "004", ns=(1, 1))
    (tmp_path / "tile" / "0" / "009").unlink()
    told = [one for _ in range(3) for one in watch.changed(size)]
    assert sorted(told) == [(0, 4), (0, 9)]
    for level, number in told:
        watch.note(level, number, watch.status(level, number))
    assert [one for _ in range(3) for one in watch.changed(size)] == [(0, 9)]


def test_a_tile_above_the_lowest_is_looked_at_as_well(tmp_path):
    """A log of 65,536 entries has a full tile of level 1, which nothing but the tree's upper part reads."""
    tile = [tree.leaf_hash(b"{}")] * 256
    upper = [tree.root(tile)] * 256
    for number in range(256):
        for kind, data in ("entries", b""), ("0", b"".join(tile)):
            path = tmp_path / "log" / "tile" / kind / f"{number:03}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    (tmp_path / "log" / "tile" / "1").mkdir()
    (tmp_path / "log" / "tile" / "1" / "000").write_bytes(b"".join(upper))
    watch = patrol._Watch(tmp_path, 0, tmp_path / "keys", {})
    watch.signed = Checkpoint("x", 1 << 16, tree.root(upper))
    os.utime(
        tmp_path / "log" / "tile" / "1" / "000", ns=(1, 1)
    )  # a change within the same tick of a clock has no other time
    watch._tiles.begin(1 << 16)
    assert watch._look_at_tiles() == []
    flip(tmp_path / "log" / "tile" / "1" / "000", 32 * 100)
    (found,) = watch._look_at_tiles()
    assert found.place.endswith("log/tile/1/000")
    assert watch._look_at_tiles() == []
