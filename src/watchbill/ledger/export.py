"""Writes bundles: a period of the ledger in one file, which can be checked on another machine (bundle.py).

A bundle's bytes follow from its contents. For each shard it holds the whole segments that touch the period, their
manifests as the log's entries, one proof that leads from them to the signed checkpoint, the entries that are no manifests
with a proof each, and what witnesses and authorities said of the head.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from watchbill.core import canonical
from watchbill.core.errors import NotFoundError
from watchbill.core.times import rfc3339
from watchbill.ledger import anchors, consistency, frames, packing, tree
from watchbill.ledger.frames import Kind
from watchbill.ledger.keys import fingerprint, open_root_public
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.note import Checkpoint, b64
from watchbill.ledger.packing import Block
from watchbill.ledger.reader import Reader
from watchbill.ledger.tiles import TileReader, pack_entry
from watchbill.ledger.verify import is_manifest
from watchbill.ledger.volume import VolumePath, read_opening, shard_path, shards, volumes

#: Told of (bytes of volumes read, bytes in all); in all is 0 while the log is still searched for the period.
Progress = Callable[[int, int], None]
#: Every so many log entries, and so many bytes of a volume, progress is told.
_ENTRIES_A_STEP = 2048
_BYTES_A_STEP = 1 << 20
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
shard-N/anchors.json   checkpoints that witnesses cosigned and authorities stamped, and that the head extends them
shard-N/entries        the manifests of the segments (C2SP tlog-tiles entry bundle)
shard-N/proof          hashes that lead from the entries to the head (RFC 6962)
shard-N/frames         the records themselves
shard-N/sources.json   names of the sources, for reading; not part of the proof
"""


def export_bundle(
    path: Path,
    keys: Path,
    out: Path,
    start_ns: int,
    end_ns: int,
    *,
    held: Sequence[Checkpoint] = (),
    extra: Mapping[str, bytes] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the bundle of the records received in [start_ns, end_ns); return what its bundle.json says.

    ``held`` are checkpoints that the auditor has: the bundle then proves that it extends them. ``extra`` are further
    members, for reading. Only what is sealed and signed is exported. What ``progress`` raises ends the export, and
    leaves no file. Raises NotFoundError if nothing is there, LedgerError if it cannot be read or does not extend a
    checkpoint that is held.
    """
    root = open_root_public(keys)
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    told = _Told(progress)
    try:
        with zipfile.ZipFile(aside, "w") as archive:
            every = [_find(path, shard, start_ns, end_ns, told) for shard in shards(path)]
            found = [part for part in every if part]
            if not found:
                raise NotFoundError(
                    f"nothing was received from {rfc3339(start_ns)} to {rfc3339(end_ns)}, or it is not signed yet"
                )
            told.total = sum(part.bytes for part in found)
            parts = [_export_shard(part, archive, held, told) for part in found]
            body = {"v": 1, "kind": "watchbill bundle", "start": start_ns, "end": end_ns, "shards": parts}
            lines = "".join("Shard {shard}: {events} records in {segments} segments\n".format(**part) for part in parts)
            start, end = (rfc3339(min(max(at, 0), 1 << 62)) for at in (start_ns, end_ns))
            readme = _README.format(start=start, end=end, root=fingerprint(root.key), shards=lines)
            _add(archive, "README.txt", readme.encode())
            _add(archive, "bundle.json", canonical.dumps(body))
            _add(archive, "root.pub", f"{root.vkey()}\n".encode())
            for name, data in (extra or {}).items():
                _add(archive, name, data)
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)
    return body


class _Part(NamedTuple):
    """What of a shard belongs to a period: log entries [first, end), and volumes of so many ``bytes``."""

    path: Path
    shard: int
    log: TileReader
    note: str
    first: int
    end: int
    low: int
    high: int
    others: list[tuple[int, bytes]]
    bytes: int

    @property
    def folder(self) -> Path:
        return shard_path(self.path, self.shard)


class _Told:
    """Counts what was read, and tells of it now and then."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self.done = self.total = 0

    def add(self, size: int) -> None:
        self.done += size
        if self._progress:
            self._progress(min(self.done, self.total), self.total)


def _find(path: Path, shard: int, start: int, end: int, told: _Told) -> _Part | None:
    """Search a shard's signed log for the period; None if nothing of it lies there."""
    log = TileReader(shard_path(path, shard) / "log")
    note = log.checkpoint()
    if note is None:
        return None
    first, last = -1, -1
    low = high = 0
    others: list[tuple[int, bytes]] = []
    for index, entry in enumerate(log.entries(0, Checkpoint.parse(note).size)):
        if index % _ENTRIES_A_STEP == 0:
            told.add(0)
        if not is_manifest(entry):
            others.append((index, entry))
            continue
        manifest = Manifest.decode(entry)
        if manifest.received[0] < end and manifest.received[1] >= start:
            if first < 0:
                first, low = index, manifest.segment
            last, high = index, manifest.segment
    if first < 0:
        return None
    size = sum(volume.path.stat().st_size for volume in _touched(shard_path(path, shard), low, high))
    return _Part(path, shard, log, note, first, last + 1, low, high, others, size)


def _touched(folder: Path, low: int, high: int) -> list[VolumePath]:
    """Return the volumes that hold something of the segments [low, high]."""
    found = volumes(folder)
    begins = [read_opening(volume.path)[0].segment for volume in found]
    ends = [*begins[1:], high + 1]
    return [volume for volume, begin, end in zip(found, begins, ends, strict=True) if begin <= high and end > low]


def _export_shard(part: _Part, archive: zipfile.ZipFile, held: Sequence[Checkpoint], told: _Told) -> dict[str, Any]:
    folder, log, first, last = part.folder, part.log, part.first, part.end
    note = best_checkpoint(
        folder, part.note, last, max((one.size for one in held if one.origin == _origin(part.note)), default=0)
    )
    size = Checkpoint.parse(note).size
    entries = list(log.entries(first, last))
    name = f"shard-{part.shard:04}"
    _add(archive, f"{name}/checkpoint", note.encode())
    _add(archive, f"{name}/keys.json", canonical.dumps(prove_entries(log, part.others, size)))
    _add(archive, f"{name}/anchors.json", canonical.dumps(prove_anchors(folder, log, note, last, held)))
    _add(archive, f"{name}/entries", b"".join(map(pack_entry, entries)))
    _add(archive, f"{name}/proof", b"".join(tree.range_proof(first, last, size, log.subtree)))
    reader = Reader(part.path, part.shard)
    known = {str(facts.number): [facts.name, facts.transport, facts.facts] for facts in reader.sources()}
    _add(archive, f"{name}/sources.json", canonical.dumps(known))
    with archive.open(_info(f"{name}/frames"), "w", force_zip64=True) as file:
        for data in _frames_between(folder, part.low, part.high, first, last, told):
            file.write(data)
    manifests = [Manifest.decode(entry) for entry in entries if is_manifest(entry)]
    events = sum(manifest.count for manifest in manifests)
    return {"shard": part.shard, "first": first, "end": last, "segments": len(manifests), "events": events}


def _frames_between(folder: Path, low: int, high: int, first: int, last: int, told: _Told) -> Iterator[bytes]:
    """Give the frames of the segments [low, high], and those of the log entries [first, last)."""
    found = volumes(folder)
    openings = [read_opening(volume.path) for volume in found]
    for volume, (opening, start), following in zip(found, openings, [*openings[1:], None], strict=True):
        upto = following[0].segment if following else high + 1
        if opening.segment > high or upto <= low:
            continue
        index, read = opening.log_size, 0
        with volume.path.open("rb") as file:
            for header in frames.headers(file.fileno(), start, os.fstat(file.fileno()).st_size):
                if header.end - read >= _BYTES_A_STEP:
                    told.add(header.end - read)
                    read = header.end
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
            told.add(os.fstat(file.fileno()).st_size - read)


def best_checkpoint(folder: Path, note: str, last: int, least: int = 0) -> str:
    """Return the checkpoint to prove the entries before ``last`` by: the one that witnesses cosigned, if it covers them."""
    seen = anchors.cosigned(folder)
    if seen and max(last, least) <= Checkpoint.parse(seen).size <= Checkpoint.parse(note).size:
        return seen
    return note


def prove_entries(log: TileReader, entries: Sequence[tuple[int, bytes]], size: int) -> list[dict[str, Any]]:
    """Return entries by index with an inclusion proof each."""
    return [
        {
            "index": index,
            "entry": b64(entry),
            "proof": [b64(node) for node in tree.range_proof(index, index + 1, size, log.subtree)],
        }
        for index, entry in entries
    ]


def prove_anchors(
    folder: Path, log: TileReader, note: str, last: int, held: Sequence[Checkpoint] = ()
) -> list[dict[str, Any]]:
    """Return what others said of the log, each with the proof that the checkpoint ``note`` extends it: the newest
    cosigned one, the first time stamp that covers the entries before ``last``, the newest one, and what is ``held``.
    """
    size = Checkpoint.parse(note).size
    found: dict[int, tuple[str, dict[str, bytes]]] = {}
    seen = anchors.cosigned(folder)
    if seen and seen != note and Checkpoint.parse(seen).size <= size:
        found[Checkpoint.parse(seen).size] = (seen, {})
    stamped = [one for one in anchors.sizes(folder) if one <= size]
    covering = [one for one in stamped if one >= last]
    for one in {*covering[:1], *stamped[-1:]}:
        anchor = anchors.anchor(folder, one)
        merged = anchors.merged(anchor.note, found[one][0]) if one in found else anchor.note
        found[one] = (merged, anchor.tokens)
    made = [
        {
            "note": text,
            "proof": [b64(node) for node in consistency.prove(log, one, size)],
            "tokens": {name: b64(token) for name, token in tokens.items()},
        }
        for one, (text, tokens) in sorted(found.items())
    ]
    for head in held:
        if head.origin == _origin(note) and 0 < head.size <= size:
            proof = [b64(node) for node in consistency.prove(log, head.size, size)]
            made.append({"note": head.text(), "proof": proof, "tokens": {}})
    return made


def _origin(note: str) -> str:
    return note.partition("\n")[0]


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_info(name), data)
