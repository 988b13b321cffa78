"""Bundles: a period of the ledger in one file, which can be checked on another machine with the public key alone.

A bundle is a zip file whose bytes follow from its contents. For each shard it holds the whole segments that touch the
period, their manifests as the log's entries, one proof that leads from them to the signed checkpoint, and the key
entries with a proof each.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from watchbill.core import canonical
from watchbill.core.errors import LedgerError, NotFoundError, Place
from watchbill.core.times import rfc3339
from watchbill.ledger import frames, packing, tree
from watchbill.ledger.check import FrameCheck
from watchbill.ledger.deletions import Deletions
from watchbill.ledger.frames import Kind
from watchbill.ledger.keys import NamedKeys, fingerprint, open_root_public
from watchbill.ledger.manifest import Manifest, open_key_entry
from watchbill.ledger.note import Checkpoint, Verifier, b64, unb64
from watchbill.ledger.packing import Block
from watchbill.ledger.reader import Reader
from watchbill.ledger.report import Report, ShardFacts
from watchbill.ledger.tiles import TileReader, pack_entry, split_bundle
from watchbill.ledger.verify import check_signatures, is_deletion, is_manifest, judge_root
from watchbill.ledger.volume import read_opening, shard_path, shards, volumes

_EPOCH = (1980, 1, 1, 0, 0, 0)
_README = """This is a part of a Watchbill ledger: the records of a period, and the proof that they are the ones that were
received, complete and in order.

Period asked for: {start} to {end} (receipt time; whole segments, so a second more at either end)
Root key fingerprint: {root}
{shards}
To check it, on any machine with Python and the package "cryptography":

    watchbill verify THIS-FILE --root-fpr FINGERPRINT

Take the fingerprint from somewhere else than this file: it is what ties the proof to the organisation.

bundle.json            what this bundle holds
root.pub               the root's public key
shard-N/checkpoint     the signed head of the log (C2SP tlog-checkpoint)
shard-N/keys.json      the log's key entries and deletions, with inclusion proofs
shard-N/entries        the manifests of the segments (C2SP tlog-tiles entry bundle)
shard-N/proof          hashes that lead from the entries to the head (RFC 6962)
shard-N/frames         the records themselves
shard-N/sources.json   names of the sources, for reading; not part of the proof
"""


def export_bundle(path: Path, keys: Path, out: Path, start_ns: int, end_ns: int) -> dict[str, Any]:
    """Write the bundle of the records received in [start_ns, end_ns); return what its bundle.json says.

    Only what is sealed and signed is exported. Raises NotFoundError if nothing is there, LedgerError if it cannot be read.
    """
    root = open_root_public(keys)
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(aside, "w") as archive:
            parts = [_export_shard(path, shard, archive, start_ns, end_ns) for shard in shards(path)]
            held = [part for part in parts if part]
            if not held:
                raise NotFoundError(
                    f"nothing was received from {rfc3339(start_ns)} to {rfc3339(end_ns)}, or it is not signed yet"
                )
            body = {"v": 1, "kind": "watchbill bundle", "start": start_ns, "end": end_ns, "shards": held}
            lines = "".join("Shard {shard}: {events} records in {segments} segments\n".format(**part) for part in held)
            start, end = (rfc3339(min(max(at, 0), 1 << 62)) for at in (start_ns, end_ns))
            readme = _README.format(start=start, end=end, root=fingerprint(root.key), shards=lines)
            _add(archive, "README.txt", readme.encode())
            _add(archive, "bundle.json", canonical.dumps(body))
            _add(archive, "root.pub", f"{root.vkey()}\n".encode())
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)
    return body


def _export_shard(path: Path, shard: int, archive: zipfile.ZipFile, start: int, end: int) -> dict[str, Any] | None:
    folder = shard_path(path, shard)
    log = TileReader(folder / "log")
    note = log.checkpoint()
    if note is None:
        return None
    size = Checkpoint.parse(note).size
    wanted: dict[int, Manifest] = {}
    key_entries = []
    for index, entry in enumerate(log.entries(0, size)):
        if not is_manifest(entry):
            proof = tree.range_proof(index, index + 1, size, log.subtree)
            key_entries.append({"index": index, "entry": b64(entry), "proof": [b64(node) for node in proof]})
        else:
            manifest = Manifest.decode(entry)
            if manifest.received[0] < end and manifest.received[1] >= start:
                wanted[index] = manifest
    if not wanted:
        return None
    first, last = min(wanted), max(wanted) + 1
    entries = list(log.entries(first, last))
    low, high = wanted[first].segment, wanted[last - 1].segment
    name = f"shard-{shard:04}"
    _add(archive, f"{name}/checkpoint", note.encode())
    _add(archive, f"{name}/keys.json", canonical.dumps(key_entries))
    _add(archive, f"{name}/entries", b"".join(map(pack_entry, entries)))
    _add(archive, f"{name}/proof", b"".join(tree.range_proof(first, last, size, log.subtree)))
    known = {str(facts.number): [facts.name, facts.transport, facts.facts] for facts in Reader(path, shard).sources()}
    _add(archive, f"{name}/sources.json", canonical.dumps(known))
    with archive.open(_info(f"{name}/frames"), "w", force_zip64=True) as file:
        for data in _frames_between(folder, low, high, first, last):
            file.write(data)
    manifests = [Manifest.decode(entry) for entry in entries if is_manifest(entry)]
    events = sum(manifest.count for manifest in manifests)
    return {"shard": shard, "first": first, "end": last, "segments": len(manifests), "events": events}


def _frames_between(folder: Path, low: int, high: int, first: int, last: int) -> Iterator[bytes]:
    """Give the frames of the segments [low, high], and those of the log entries [first, last)."""
    found = volumes(folder)
    openings = [read_opening(volume.path) for volume in found]
    for volume, (opening, start), following in zip(found, openings, [*openings[1:], None], strict=True):
        upto = following[0].segment if following else high + 1
        if opening.segment > high or upto <= low:
            continue
        index = opening.log_size
        with volume.path.open("rb") as file:
            for header in frames.headers(file.fileno(), start, os.fstat(file.fileno()).st_size):
                if index >= last:
                    return
                if header.kind == Kind.PACKED:
                    block = Block(frames.read(file.fileno(), header))
                    index += len(block.parts)
                    yield from packing.cut(block, first, last)
                    continue
                if header.kind == Kind.GROUP:
                    inside = low <= header.segment <= min(high, upto - 1)
                else:
                    inside = first <= index
                    index += 1
                if inside:
                    frame = frames.read(file.fileno(), header)
                    yield frame.signed + frame.mac


def verify_bundle(bundle: Path, root_fingerprint: str | None = None) -> Report:
    """Check a bundle. What is wrong is in the report's findings; raises LedgerError if it cannot be read as a bundle."""
    report = Report()
    try:
        with zipfile.ZipFile(bundle) as archive:
            body = json.loads(archive.read("bundle.json"))
            if (body["kind"], body["v"]) != ("watchbill bundle", 1):
                raise LedgerError("this bundle is of a kind or version that is not known", place=Place(str(bundle)))
            root = Verifier.from_vkey(archive.read("root.pub").decode())
            for part in body["shards"]:
                _check_shard(archive, root, int(part["shard"]), int(part["first"]), report)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError, NotImplementedError, EOFError) as error:
        if report.shards:
            report.wrong(bundle, f"cannot be read on: {error}")
            root = None
        else:
            raise LedgerError(f"this is no whole bundle: {error}", place=Place(str(bundle))) from error
    judge_root(report, root, root_fingerprint)
    report.open_points.append(
        "what was received before and after the positions shown, or by shards that are not in the bundle"
    )
    report.open_points.append(
        "the names of the sources are stated by the bundle; the numbers of the sources are proven"
    )
    return report


def _check_shard(archive: zipfile.ZipFile, root: Verifier, shard: int, first: int, report: Report) -> None:
    name = f"shard-{shard:04}"
    facts = ShardFacts(shard)
    report.shards.append(facts)
    at = "checkpoint"
    try:
        note = archive.read(f"{name}/checkpoint").decode()
        signed = Checkpoint.parse(note)
        facts.origin, facts.log_size, facts.log_root = signed.origin, signed.size, signed.root.hex()
        at = "keys.json"
        key, deletions = _check_keys(json.loads(archive.read(f"{name}/{at}")), root, signed, shard)
        facts.key = fingerprint(key.key)
        at = "checkpoint"
        check_signatures(note, signed.origin, key, report)
        at = "entries"
        entries = list(_split_all(archive.read(f"{name}/{at}")))
        _check_entries(first, entries, archive.read(f"{name}/proof"), signed)
        at = "frames"
        report.shards[-1] = _check_frames(archive, name, shard, first, entries, facts, deletions)
    except LedgerError as error:
        report.wrong(error.place or f"{name}/{at}", error.what)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError, RecursionError) as error:
        report.wrong(f"{name}/{at}", error)


def _check_entries(first: int, entries: list[bytes], proof: bytes, signed: Checkpoint) -> None:
    """Follow the proof from the entries to the signed head. Raises ValueError."""
    nodes = [proof[low : low + 32] for low in range(0, len(proof), 32)]
    if tree.root_from_range(first, [tree.leaf_hash(entry) for entry in entries], signed.size, nodes) != signed.root:
        raise ValueError("the manifests are not those of the signed log")


def _check_keys(
    items: list[dict[str, Any]], root: Verifier, signed: Checkpoint, shard: int
) -> tuple[NamedKeys, Deletions]:
    """Return the keys that sign at the checkpoint, and what was deleted. Raises ValueError."""
    key: NamedKeys | None = None
    deletions = Deletions()
    for item in items:
        entry, proof = unb64(item["entry"]), [unb64(node) for node in item["proof"]]
        if key is None and item["index"] != 0:
            raise ValueError("the first key entry is not the log's first entry")
        if tree.root_from_range(item["index"], [tree.leaf_hash(entry)], signed.size, proof) != signed.root:
            raise ValueError(f"the entry {item['index']} is not in the signed log")
        if is_deletion(entry):
            deletions.take(item["index"], entry, shard)
            continue
        key = open_key_entry(entry, root, signed.origin, key.key if key else None)
    if key is None:
        raise ValueError("there is no key entry")
    return key, deletions


def _split_all(data: bytes) -> Iterator[bytes]:
    while data:
        (entry,) = split_bundle(data, 1)
        yield entry
        data = data[2 + len(entry) :]


def _check_frames(
    archive: zipfile.ZipFile,
    name: str,
    shard: int,
    first: int,
    entries: list[bytes],
    facts: ShardFacts,
    deletions: Deletions,
) -> ShardFacts:
    """Hash every record again. Raises LedgerError."""
    place = f"{name}/frames"
    check = FrameCheck(
        shard,
        place,
        lambda index: entries[index - first] if index < first + len(entries) else None,
        lambda _: None,
        deletions,
    )
    check.index = first
    with tempfile.TemporaryFile() as file:
        size = _spool(archive, place, file)
        for frame in frames.walk(file.fileno(), 0, size, place):
            if check.index >= first + len(entries):
                raise LedgerError("frames beyond the last manifest", place=Place(place, offset=frame.header.offset))
            check.take(frame)
    check.finish(tail=False)
    if check.index != first + len(entries):
        raise LedgerError(f"the records of the log's entry {check.index} are missing", place=Place(place, offset=size))
    found = check.facts
    found.origin, found.log_size, found.log_root, found.key = facts.origin, facts.log_size, facts.log_root, facts.key
    return found


def _spool(archive: zipfile.ZipFile, name: str, file: IO[bytes]) -> int:
    """Unpack a member into a file; return its size."""
    with archive.open(name) as member:
        while data := member.read(1 << 20):
            file.write(data)
    file.flush()
    return file.tell()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_info(name), data)
