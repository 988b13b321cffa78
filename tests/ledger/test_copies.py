"""Second copies: they grow with the ledger, become a ledger again, follow deletions, and take over no damage."""

import shutil

import pytest

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError
from watchbill.ledger import Reader, Writer, orders, verify_ledger
from watchbill.ledger.compaction import compact
from watchbill.ledger.copies import Copier, FolderStore, copy, restore


@pytest.fixture
def store(tmp_path):
    (tmp_path / "copy").mkdir()
    return FolderStore(tmp_path / "copy")


def content(ledger):
    reader = Reader(ledger, 0)
    try:
        return reader.read(0, 1 << 20)
    finally:
        reader.close()


def take(place, store):
    return copy(place.ledger, place.keys, store)


def append(place, count, text=b"more"):
    with place.writer() as writer:
        writer.append(1, [b"%s %d" % (text, n) for n in range(count)], place.clock.now())
        writer.commit()
        place.clock.advance(SECOND)


def close_volume(place):
    with place.writer() as writer:
        writer._begin_volume("full")


def restored(store, folder):
    restore(store, folder / "ledger")
    return folder / "ledger"


def test_a_copy_grows_with_the_ledger_and_becomes_one_again(filled, store, tmp_path):
    """Open volume, closed volumes, packed volumes: at each moment what was copied is a whole ledger that verifies."""
    with filled.writer(1) as other:
        other.append(other.source("what was done", "internal"), [b"one"], filled.clock.now())
    lasting = Copier(filled.ledger, filled.keys, store)
    for step in range(5):
        assert lasting.run().upto == {0: Reader(filled.ledger, 0).head(), 1: 2}
        assert lasting.run().size == take(filled, store).size == 0
        again = restored(store, tmp_path / str(step))
        assert content(again) == content(filled.ledger)
        report = verify_ledger(again)
        assert report.ok, report.findings
        append(filled, 50)
        if step in {1, 3}:
            close_volume(filled)
        if step == 2:
            compact(filled.ledger, 0)
    assert not [name for name in store.names("") if "shard-0000/tail/00000000" in name]
    only_root = tmp_path / "only root"
    only_root.mkdir()
    shutil.copy(filled.keys / "root.pub", only_root)
    report = verify_ledger(again, keys=only_root)
    assert report.ok, report.findings
    assert any("shard 1 was not checked" in point for point in report.open_points)
    assert not any("key" in name or "PRIVATE" in store.get(name).decode("latin-1") for name in store.names(""))


def test_a_restored_ledger_is_written_on_with_the_keys_of_a_backup(filled, store, tmp_path):
    """With the keys folder as it was (even older than the copy), the writer goes on behind the restored records."""
    backup = tmp_path / "keys"
    shutil.copytree(filled.keys, backup)
    append(filled, 30)
    writer = filled.writer()
    writer.append(1, [b"not sealed yet"], filled.clock.now())
    writer.commit()
    take(filled, store)
    again = restored(store, tmp_path)
    before = content(again)
    assert before[-1].raw == b"not sealed yet"
    with Writer.open(again, shard=0, keys=backup, clock=filled.clock) as other:
        other.append(1, [b"goes on"], filled.clock.now())
    writer.close()
    assert [record.raw for record in content(again)][-2:] == [b"not sealed yet", b"goes on"]
    report = verify_ledger(again, keys=backup)
    assert report.ok, report.findings


def test_what_was_deleted_goes_from_the_copy_too(filled, store, tmp_path):
    """After an erasure the volume replaces its parts: the bytes are nowhere in the copy."""
    append(filled, 3, b"secret of somebody")
    take(filled, store)
    held = [name for name in store.names("") if b"secret of somebody 1" in store.get(name)]
    assert held
    (position,) = [one.position for one in content(filled.ledger) if one.raw == b"secret of somebody 1"]
    orders.carry_out(
        filled.ledger, filled.keys, filled.clock, orders.erasure(0, "E-1", "unlawful", "1", "2", [(position, 1)])
    )
    compact(filled.ledger, 0)
    take(filled, store)
    assert not [name for name in store.names("") if b"secret of somebody 1" in store.get(name)]
    again = restored(store, tmp_path)
    assert content(again) == content(filled.ledger)
    assert verify_ledger(again).ok


def test_damage_is_not_taken_over(filled, store):
    """A volume that was altered after it was packed is refused, and the copy keeps the good one."""
    close_volume(filled)
    compact(filled.ledger, 0)
    take(filled, store)
    path = filled.events()[0]
    good, data = path.read_bytes(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LedgerError, match="not copied"):
        take(filled, store)
    assert store.get(f"shard-0000/events/{path.name}") == good


def test_a_ledger_that_was_cut_back_or_begun_anew_does_not_replace_the_copy(filled, store, tmp_path):
    """Whoever holds all keys and signs an earlier state or another history: the copy's head is not overwritten."""
    earlier = tmp_path / "earlier"
    shutil.copytree(filled.ledger.parent, earlier)
    append(filled, 20)
    take(filled, store)
    with pytest.raises(LedgerError, match="does not extend"):
        copy(earlier / "ledger", earlier / "keys", store)
    clock = filled.clock
    with Writer.open(earlier / "ledger", shard=0, keys=earlier / "keys", clock=clock) as writer:
        for n in range(4):
            writer.append(1, [b"forged %d" % n], clock.now())
            clock.advance(SECOND)
            writer.tick()
    with pytest.raises(LedgerError, match="does not extend"):
        copy(earlier / "ledger", earlier / "keys", store)
    assert b"forged" not in b"".join(map(store.get, [name for name in store.names("") if "/log/" in name]))


def test_a_place_that_is_gone_or_of_somebody_else_is_refused(filled, store, new_place, tmp_path):
    """A missing mount is no empty folder; two installations do not share a place."""
    with pytest.raises(FileNotFoundError):
        copy(filled.ledger, filled.keys, FolderStore(tmp_path / "not mounted"))
    take(filled, store)
    other = new_place()
    with other.writer() as writer:
        writer.source("a", "http")
    with pytest.raises(LedgerError, match="another"):
        take(other, store)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LedgerError, match="no copy"):
        restore(FolderStore(tmp_path / "empty"), tmp_path / "x")
    with pytest.raises(LedgerError, match="already"):
        restore(store, filled.ledger)


def test_names_that_lead_elsewhere_are_not_taken(filled, store, tmp_path):
    """A hostile store cannot write outside of the restored ledger."""
    take(filled, store)

    class Hostile(FolderStore):
        def names(self, prefix):
            bad = [
                "shard-0000/log/tile/../../../../evil",
                "shard-0000/events/../../evil.vol",
                "shard-0000/tail/../x/000000000000",
            ]
            return super().names(prefix) | dict.fromkeys(bad, 4)

        def get(self, name):
            return b"evil" if ".." in name else super().get(name)

    restore(Hostile(store.path), tmp_path / "a" / "b" / "ledger")
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
    assert verify_ledger(tmp_path / "a" / "b" / "ledger").ok
