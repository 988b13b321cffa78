"""Every way to tamper is found and placed: in the ledger itself, and in a bundle of it."""

import base64
import json
import os
import re
import shutil
import zipfile

import pytest

from watchbill.cli.verify import main
from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError, NotFoundError
from watchbill.ledger import Reader, export_bundle, frames, verify_bundle, verify_ledger
from watchbill.ledger import writer as writer_module
from watchbill.ledger.frames import Kind
from watchbill.ledger.keys import fingerprint, open_root_public
from watchbill.ledger.note import Verifier

SHARD = "shard-0000"


def volume_frames(path):
    data = path.read_bytes()
    with path.open("rb") as file:
        return data, list(frames.headers(file.fileno(), 0, len(data)))


def flip(path, offset, mask=1):
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


def groups(place):
    data, headers = volume_frames(place.events()[0])
    return data, [header for header in headers if header.kind == Kind.GROUP]


def flip_raw(place):
    path = place.events()[0]
    flip(path, path.read_bytes().index(b"record 7 of group 1 of segment 2"))


def flip_header(place):
    flip(place.events()[0], groups(place)[1][4].offset + 20)


def flip_receipt_time(place):
    _, found = groups(place)
    flip(place.events()[0], found[4].offset + frames.HEADER_SIZE + 8 + 8 + 7)


def flip_seal(place):
    _, headers = volume_frames(place.events()[0])
    seal = [header for header in headers if header.kind == Kind.SEAL][2]
    flip(place.events()[0], seal.offset + frames.HEADER_SIZE + 100)


def flip_stored_node(place):
    _, headers = volume_frames(place.events()[0])
    seal = [header for header in headers if header.kind == Kind.SEAL][2]
    flip(place.events()[0], seal.end - frames.MAC_SIZE - 1)


def flip_log_entry(place):
    (path,) = (place.ledger / SHARD / "log/tile/entries/000.p").iterdir()
    flip(path, path.read_bytes().index(b'"segment":2') + 10)


def flip_log_hash(place):
    (path,) = (place.ledger / SHARD / "log/tile/0/000.p").iterdir()
    flip(path, 40)


def flip_checkpoint_root(place):
    path = place.ledger / SHARD / "log/checkpoint"
    origin, size, _, *rest = path.read_text().split("\n")
    path.write_text("\n".join([origin, size, base64.b64encode(bytes(32)).decode(), *rest]))


def lower_checkpoint_size(place):
    path = place.ledger / SHARD / "log/checkpoint"
    path.write_text(re.sub(r"\n\d+\n", "\n2\n", path.read_text(), count=1))


def delete_group(place):
    data, found = groups(place)
    place.events()[0].write_bytes(data[: found[4].offset] + data[found[4].end :])


def insert_group(place):
    data, found = groups(place)
    copy = data[found[4].offset : found[4].end]
    place.events()[0].write_bytes(data[: found[4].end] + copy + data[found[4].end :])


def swap_groups(place):
    data, found = groups(place)
    a, b = found[3], found[4]
    place.events()[0].write_bytes(data[: a.offset] + data[b.offset : b.end] + data[a.offset : a.end] + data[b.end :])


def swap_equal_records(place):
    """Two records of one group change places: lengths stay as they are."""
    path = place.events()[0]
    data = path.read_bytes()
    one, other = b"record 10 of group 1 of segment 2", b"record 11 of group 1 of segment 2"
    path.write_bytes(data.replace(one, b"\0" * len(one)).replace(other, one).replace(b"\0" * len(one), other))


def truncate_volume(place):
    os.truncate(place.events()[0], groups(place)[1][-1].offset)


def cut_volume_and_head(place):
    """The last segment is cut off and the head forged to fit: the signed log still knows it."""
    from watchbill.ledger.volume import Head

    _, found = groups(place)
    cut = found[-3].offset
    os.truncate(place.events()[0], cut)
    (place.ledger / SHARD / "head").write_bytes(Head(found[-3].position, 0, cut, 3).encode())


def delete_volume(place):
    place.events()[0].unlink()


def delete_tile(place):
    shutil.rmtree(place.ledger / SHARD / "log/tile/entries")


def delete_checkpoint(place):
    (place.ledger / SHARD / "log/checkpoint").unlink()


def delete_head(place):
    (place.ledger / SHARD / "head").unlink()


TAMPERINGS = {
    flip_raw: r"\.vol \(byte \d+\)",
    flip_header: r"\.vol \(byte \d+\)",
    flip_receipt_time: r"\.vol \(byte \d+\)",
    flip_seal: r"\.vol \(byte \d+\)",
    flip_stored_node: r"\.vol \(byte \d+\)",
    flip_log_entry: r"tile/entries/000",
    flip_log_hash: r"tile/entries/000",
    flip_checkpoint_root: "checkpoint",
    lower_checkpoint_size: "checkpoint",
    delete_group: r"\.vol \(byte \d+\)",
    insert_group: r"\.vol \(byte \d+\)",
    swap_groups: r"\.vol \(byte \d+\)",
    swap_equal_records: r"\.vol \(byte \d+\)",
    truncate_volume: r"\.vol \(byte \d+\)",
    cut_volume_and_head: r"\.vol",
    delete_volume: "events",
    delete_tile: "tile/entries/000",
    delete_checkpoint: "checkpoint",
    delete_head: "head",
}


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_tampering_with_the_ledger_is_found_and_placed(filled, tamper):
    """The verifier names the file (and offset) that was touched."""
    assert verify_ledger(filled.ledger, keys=filled.keys).ok
    tamper(filled)
    report = verify_ledger(filled.ledger, keys=filled.keys)
    assert not report.ok
    assert re.search(TAMPERINGS[tamper], report.findings[0].place), report.findings


def test_every_flipped_byte_of_a_volume_is_found(filled):
    """One bit anywhere in the volume, other than in the tail's MACs, does not pass."""
    path = filled.events()[0]
    data = path.read_bytes()
    _, headers = volume_frames(path)
    macs = {at for header in headers for at in range(header.end - frames.MAC_SIZE, header.end)}
    checked = [at for at in range(0, len(data), 211) if at not in macs]
    for at in checked:
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert not verify_ledger(filled.ledger, keys=filled.keys).ok, at
    assert len(checked) > 100


def test_damage_is_placed_within_256_records(place):
    """In a segment of 4,096 records, the positions named are those of one stored node."""
    with place.writer() as writer:
        writer.append(writer.source("web-01", "replay"), [b"line %06d" % n for n in range(1, 4096)], 5)
    path = place.events()[0]
    flip(path, path.read_bytes().index(b"line 001234"))
    report = verify_ledger(place.ledger, keys=place.keys)
    assert "positions 1024 to 1279" in report.findings[0].what


def test_a_replaced_manifest_is_found_even_with_its_tiles(filled):
    """Who rewrites a manifest in the volume and in the log's tiles meets the signature."""
    log = filled.ledger / SHARD / "log"
    (entries,) = (log / "tile/entries/000.p").iterdir()
    (hashes,) = (log / "tile/0/000.p").iterdir()
    from watchbill.ledger.tiles import pack_entry, split_bundle
    from watchbill.ledger.tree import leaf_hash

    found = split_bundle(entries.read_bytes(), 5)
    found[2] = found[2].replace(b'"count":300', b'"count":299')
    entries.write_bytes(b"".join(map(pack_entry, found)))
    hashes.write_bytes(b"".join(map(leaf_hash, found)))
    path = filled.events()[0]
    path.write_bytes(path.read_bytes().replace(b'"count":300', b'"count":299'))
    report = verify_ledger(filled.ledger, keys=filled.keys)
    assert "not those that were signed" in report.findings[0].what


def test_the_unsealed_tail_is_checked_with_the_keys(place):
    """A record that was acknowledged a moment ago cannot be changed without the tail's key."""
    writer = place.writer()
    writer.append(writer.source("web-01", "http"), [b"just now"], 1)
    writer.commit()
    path = place.events()[0]
    flip(path, path.read_bytes().index(b"just now"))
    report = verify_ledger(place.ledger, keys=place.keys)
    assert "not yet sealed" in report.findings[0].what
    assert verify_ledger(place.ledger).ok  # without the keys folder nobody can tell, and the report says so
    writer.close()  # reads back before it signs, and writes what it still holds to another volume
    assert Reader(place.ledger, 0).get(1).raw == b"just now"
    assert len(place.events()) == 2
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings


def test_a_missing_volume_in_the_middle_is_found(place, monkeypatch):
    """Volumes are numbered without gaps."""
    monkeypatch.setattr(writer_module, "VOLUME_BYTES", 5_000)
    with place.writer() as writer:
        source = writer.source("web-01", "http")
        for _ in range(6):
            writer.append(source, [b"x" * 100] * 60, place.clock.now())
            place.clock.advance(SECOND)
            writer.tick()
    place.events()[2].unlink()
    assert "volume 2 is missing" in verify_ledger(place.ledger, keys=place.keys).findings[0].what


def test_everything_in_an_opening_means_something(place):
    """The first frame of a volume says what was before it; no byte of that can be another one, and no bit of a number."""
    writer = place.writer()
    writer.source("web-01", "http")
    writer._begin_volume("full")
    writer.close()
    path = place.events()[1]
    data, (opening, *_) = volume_frames(path)
    for at in range(opening.length):
        is_number = chr(data[frames.HEADER_SIZE + at]).isdigit()
        for bit in range(8) if is_number else [at % 8]:
            changed = bytearray(data[: opening.end])
            changed[frames.HEADER_SIZE + at] ^= 1 << bit
            path.write_bytes(changed + data[opening.end :])
            report = verify_ledger(place.ledger, keys=place.keys)
            assert not report.ok, (bytes(changed), bit)


def test_a_writer_refuses_to_go_on_over_damage(filled):
    """Acknowledged records that are gone stop the writer with a place and a mend; nothing is cut off."""
    truncate_volume(filled)
    size = filled.events()[0].stat().st_size
    with pytest.raises(LedgerError, match="acknowledged"):
        filled.writer()
    assert filled.events()[0].stat().st_size == size


def test_a_ledger_that_is_gone_is_not_begun_anew_unasked(filled):
    """An emptied ledger folder is noticed by the key of its tail."""
    shutil.rmtree(filled.ledger)
    with pytest.raises(LedgerError, match="the ledger is gone"):
        filled.writer()
    assert not verify_ledger(filled.ledger, keys=filled.keys).ok


@pytest.fixture
def bundle(filled, tmp_path):
    out = tmp_path / "bundle.zip"
    export_bundle(filled.ledger, filled.keys, out, filled.clock.now() - 3 * SECOND, filled.clock.now() - 1)
    return out


def test_a_bundle_is_the_same_bytes_each_time_and_verifies_with_the_fingerprint(filled, bundle, tmp_path):
    """Exporting again gives the same file; it is proven against the root's fingerprint, and against no other."""
    again = tmp_path / "again.zip"
    export_bundle(filled.ledger, filled.keys, again, filled.clock.now() - 3 * SECOND, filled.clock.now() - 1)
    assert again.read_bytes() == bundle.read_bytes()
    root = fingerprint(open_root_public(filled.keys).key)
    report = verify_bundle(bundle, root)
    assert (report.ok, report.shards[0].segments, report.events) == (True, 3, 900)
    assert report.shards[0].first_position == 302
    assert not verify_bundle(bundle, "00" * 32).ok


def test_a_bundle_of_several_volumes_verifies(place, monkeypatch, tmp_path):
    """A period may span volumes and shards."""
    monkeypatch.setattr(writer_module, "VOLUME_BYTES", 5_000)
    for shard in (0, 1):
        with place.writer(shard) as writer:
            source = writer.source("web-01", "http")
            for _ in range(6):
                writer.append(source, [b"x" * 100] * 60, place.clock.now())
                place.clock.advance(SECOND)
                writer.tick()
    export_bundle(place.ledger, place.keys, tmp_path / "b.zip", 0, 1 << 62)
    report = verify_bundle(tmp_path / "b.zip")
    assert report.ok, report.findings
    assert report.events == sum(Reader(place.ledger, shard).head() for shard in (0, 1))
    with pytest.raises(NotFoundError):
        export_bundle(place.ledger, place.keys, tmp_path / "none.zip", 0, 1)


def rewrite(bundle, name, change):
    with zipfile.ZipFile(bundle) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    members[name] = change(members[name])
    with zipfile.ZipFile(bundle, "w") as archive:
        for item, data in members.items():
            if data is not None:
                archive.writestr(item, data)


def cut_first_group(data):
    header = frames.decode_header(data[: frames.HEADER_SIZE], 0)
    return data[header.end :]


BUNDLE_TAMPERINGS = {
    "raw": ("frames", lambda data: data.replace(b"record 7 of", b"record 8 of", 1)),
    "cut": ("frames", lambda data: data[:-5000]),
    "frames gone": ("frames", lambda _: b""),
    "group gone": ("frames", cut_first_group),
    "extra": ("frames", lambda data: data + data),
    "manifest": ("entries", lambda data: data.replace(b'"count":300', b'"count":299', 1)),
    "entries gone": ("entries", lambda _: b""),
    "proof": ("proof", lambda data: bytes(32) + data[32:]),
    "short proof": ("proof", lambda data: data[:-32]),
    "size": ("checkpoint", lambda data: data.replace(b"\n5\n", b"\n6\n")),
    "signature": ("checkpoint", lambda data: data[:-1020] + b"AAAA" + data[-1016:]),
    "keys": ("keys.json", lambda _: b"[]"),
    "key": ("keys.json", lambda data: json.dumps([{**json.loads(data)[0], "index": 1}]).encode()),
    "member gone": ("proof", lambda _: None),
}


@pytest.mark.parametrize("what", BUNDLE_TAMPERINGS)
def test_tampering_with_a_bundle_is_found_and_placed(bundle, what):
    """Each part of a bundle is bound to the signature."""
    name, change = BUNDLE_TAMPERINGS[what]
    rewrite(bundle, f"{SHARD}/{name}", change)
    report = verify_bundle(bundle)
    assert not report.ok
    assert SHARD in report.findings[0].place


def test_a_bundle_signed_by_another_root_is_refused(bundle):
    """A forged key file does not fit the log's first entry."""
    rewrite(bundle, "root.pub", lambda _: Verifier("watchbill-root", bytes(32)).vkey().encode())
    assert not verify_bundle(bundle).ok


def test_the_command_tells_by_its_exit_code(filled, bundle, tmp_path, capsys):
    """0 proven, 1 wrong, 2 not usable; --json prints one object."""
    root = fingerprint(open_root_public(filled.keys).key)
    assert main([str(bundle), "--root-fpr", root]) == 0
    assert "PROVEN: 900 records" in capsys.readouterr().out
    assert main([str(bundle), "--root-fpr", "ab", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert main(["--data", str(filled.ledger.parent), "--root-fpr", root, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == 1202
    (tmp_path / "not.zip").write_bytes(b"no zip")
    assert main([str(tmp_path / "not.zip")]) == 2
    assert main(["--data", str(tmp_path / "nowhere")]) == 2
    with pytest.raises(SystemExit) as stopped:
        main(["--unknown"])
    assert stopped.value.code == 2
