"""A second verifier, in Go and written from docs/ledger-format.md alone, agrees with ours on what is proven and what is not.

It has no keys folder, so ours gets none either. What others said of the log: test_second_anchors.py.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from test_deletions import carry_out, erasure, retention
from test_tampering import BUNDLE_TAMPERINGS, SHARD, TAMPERINGS, flip, rewrite

from watchbill.core.clock import SECOND
from watchbill.ledger import export_bundle, frames, rotation, verify_bundle, verify_ledger
from watchbill.ledger import writer as writer_module
from watchbill.ledger.compaction import compact
from watchbill.ledger.frames import Kind
from watchbill.ledger.keys import fingerprint, open_private, open_root_public
from watchbill.ledger.repair import repair


def agree(second, ledger: Path) -> dict:
    ours, theirs = verify_ledger(ledger), second(ledger)
    assert ours.ok == theirs["ok"], (ours.findings, theirs["findings"])
    if ours.ok:
        assert theirs["segments"] == sum(one.segments for one in ours.shards)
        assert theirs["deleted"] == sum(sum(one.deleted.values()) for one in ours.shards)
    return theirs


def test_both_prove_the_same_of_a_ledger(filled, second):
    """Segments, events and the root's fingerprint; a wrong fingerprint does not pass."""
    report = agree(second, filled.ledger)
    root = fingerprint(open_root_public(filled.keys).key)
    assert (report["ok"], report["segments"], report["events"], report["root"]) == (True, 4, 1202, root)
    assert second(filled.ledger, "-root-fpr", root)["ok"]
    assert not second(filled.ledger, "-root-fpr", "00" * 32)["ok"]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_both_find_the_same_tamperings(filled, second, tamper):
    tamper(filled)
    assert not agree(second, filled.ledger)["ok"]


def test_both_find_flipped_bits_in_the_same_places(filled, second):
    """Bits of the volume (but for MACs, which need the tail's key) and of every file of the log."""
    chance = random.Random(5)
    (volume,) = filled.events()
    data, headers = volume.read_bytes(), _frames(volume)
    macs = {at for header in headers for at in range(header.end - frames.MAC_SIZE, header.end)}
    places = [(volume, at) for at in chance.sample([at for at in range(len(data)) if at not in macs], 40)]
    for path in (one for one in (filled.ledger / SHARD / "log").rglob("*") if one.is_file()):
        places += [(path, at) for at in chance.sample(range(path.stat().st_size), 6)]
    for path, at in places:
        flip(path, at, 4)
        agree(second, filled.ledger)
        flip(path, at, 4)
    assert agree(second, filled.ledger)["ok"]


def _frames(path: Path) -> list[frames.Header]:
    with path.open("rb") as file:
        return list(frames.headers(file.fileno(), 0, path.stat().st_size))


@pytest.fixture
def packed(place, monkeypatch):
    """Several volumes, of which all but the newest are packed; a source's records and some single ones are deleted."""
    monkeypatch.setattr(writer_module, "VOLUME_BYTES", 20_000)
    with place.writer() as writer:
        web, db = writer.source("web-01", "syslog-udp"), writer.source("db-01", "http")
        for number in range(12):
            writer.append(web, [b"line %d of %d" % (n, number) for n in range(130)], place.clock.now())
            writer.append(db, [bytes([n]) * n for n in range(130)], place.clock.now(), 7)
            if number == 3:
                writer.drop(db, 9, "kernel buffer full")
            place.clock.advance(SECOND)
            writer.tick()
    return place


def test_both_read_packed_volumes_and_deletions(packed, second):
    """A source's retention and an erasure of single records are read in what is packed."""
    compact(packed.ledger, 0)
    assert agree(second, packed.ledger)["deleted"] == 0
    carry_out(packed, retention(first=0, end=2))
    carry_out(packed, erasure((700, 3), (900, 1)))
    compact(packed.ledger, 0)
    report = agree(second, packed.ledger)
    assert report["ok"], report["findings"]
    assert report["deleted"] > 250


def test_both_find_damage_in_what_is_packed(packed, second):
    """One bit anywhere in a packed block."""
    compact(packed.ledger, 0)
    volume = packed.events()[0]
    for at in random.Random(6).sample(range(volume.stat().st_size), 30):
        flip(volume, at, 16)
        agree(second, packed.ledger)
        flip(volume, at, 16)
    assert agree(second, packed.ledger)["ok"]


def test_both_read_what_a_repair_declared_as_lost(packed, second):
    """A damaged volume is set aside, its loss signed; the ledger is proven again, with the gap."""
    volume = packed.events()[1]
    group = next(one for one in _frames(volume) if one.kind == Kind.GROUP)
    flip(volume, group.offset + frames.HEADER_SIZE + 40)
    assert not agree(second, packed.ledger)["ok"]
    assert sum(one.sealed for one in repair(packed.ledger, packed.keys, 0, packed.clock)) > 0
    report = agree(second, packed.ledger)
    assert report["ok"], report["findings"]


def test_both_follow_keys_that_were_rotated(filled, second):
    """The new key is named by the old one and by the root; the head is the new key's."""
    rotation.apply(
        filled.ledger, filled.keys,
        rotation.sign_request(rotation.request(filled.ledger, filled.keys), open_private(filled.keys / "root.key", create=False)),
    )  # fmt: skip
    with filled.writer() as writer:
        writer.append(writer.source("web-01", "syslog-udp"), [b"after"], filled.clock.now())
        filled.clock.advance(SECOND)
        writer.tick()
    assert agree(second, filled.ledger)["ok"]


@pytest.fixture
def bundle(filled, tmp_path):
    out = tmp_path / "bundle.zip"
    export_bundle(filled.ledger, filled.keys, out, filled.clock.now() - 3 * SECOND, filled.clock.now() - 1)
    return out


def test_both_prove_the_same_of_a_bundle(bundle, second):
    ours, theirs = verify_bundle(bundle), second(bundle)
    assert (ours.ok, ours.events) == (theirs["ok"], theirs["events"]) == (True, 900)


@pytest.mark.parametrize("name", BUNDLE_TAMPERINGS)
def test_both_find_the_same_tamperings_of_a_bundle(bundle, second, name):
    member, change = BUNDLE_TAMPERINGS[name]
    rewrite(bundle, f"{SHARD}/{member}", change)
    assert not verify_bundle(bundle).ok
    assert not second(bundle)["ok"]


def test_both_miss_the_logs_own_signature(bundle, second):
    """A bundle whose head the log's Ed25519 key did not sign; other signatures stay."""

    def without(note: bytes) -> bytes:
        text, _, signatures = note.partition(b"\n\n")
        return text + b"\n\n" + b"".join(line + b"\n" for line in signatures.splitlines()[1:])

    rewrite(bundle, f"{SHARD}/checkpoint", without)
    assert not verify_bundle(bundle).ok
    assert not second(bundle)["ok"]


def test_both_read_a_bundle_of_what_is_packed(packed, second, tmp_path):
    """Deletions of elsewhere in the log come along with their proofs."""
    carry_out(packed, retention(first=0, end=2))
    carry_out(packed, erasure((700, 3), (900, 1)))
    compact(packed.ledger, 0)
    out = tmp_path / "bundle.zip"
    export_bundle(packed.ledger, packed.keys, out, packed.clock.now() - 11 * SECOND, packed.clock.now() - 5 * SECOND)
    ours, theirs = verify_bundle(out), second(out)
    assert ours.ok, ours.findings
    assert theirs["ok"], theirs["findings"]
    assert ours.events == theirs["events"]
