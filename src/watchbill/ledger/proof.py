"""Makes the proof of one record (record.py checks it)."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from watchbill.core.errors import LedgerError, NotFoundError, Place
from watchbill.ledger import frames, salts, tree
from watchbill.ledger.deletions import Deletions
from watchbill.ledger.export import best_checkpoint, prove_anchors, prove_entries
from watchbill.ledger.frames import Header, Kind
from watchbill.ledger.keys import open_root_public
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.note import Checkpoint, b64
from watchbill.ledger.packing import Block, Sealed
from watchbill.ledger.reader import Reader
from watchbill.ledger.record import KIND
from watchbill.ledger.segment import Run, commitments, decode_group, leaves
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.verify import is_deletion, is_manifest
from watchbill.ledger.volume import read_opening, shard_path, volumes


def prove_record(path: Path, keys: Path, shard: int, position: int, held: Sequence[Checkpoint] = ()) -> dict[str, Any]:
    """Return a record with its proof, as plain JSON. ``held``: checkpoints that the auditor has.

    Raises NotFoundError if there is none, or it is not signed yet (a second or two after it came); LedgerError if the
    ledger is damaged there.
    """
    folder = shard_path(path, shard)
    log = TileReader(folder / "log")
    note = log.checkpoint()
    found = _segment_of(folder, position)
    if note is None or found is None or found[0] >= Checkpoint.parse(note).size:
        raise NotFoundError(f"there is no signed record {shard}-{position}", mend="wait a second or two, and ask again")
    index, segment = found
    note = best_checkpoint(folder, note, index + 1, max((one.size for one in held), default=0))
    size = Checkpoint.parse(note).size
    (manifest,) = log.entries(index, index + 1)
    if segment.gone:
        raise NotFoundError(
            f"the record {shard}-{position} was deleted with all of its segment", mend="export the period"
        )
    at = position - segment.first
    run = _run_of(segment, at)
    known = salts.expand(segment.seeds, segment.count)
    committed = [
        segment.erased[number] if body is None else commitments([body], [salt or b""])[0]
        for number, (body, salt) in enumerate(zip(segment.bodies, known, strict=True))
    ]
    hashes = leaves(shard, segment.first, segment.runs, committed)
    if tree.root(hashes).hex() != Manifest.decode(manifest).root:
        raise LedgerError(
            f"segment {segment.number} is damaged", place=Place(str(folder)), mend='run "watchbill verify"'
        )
    body, salt = segment.bodies[at], known[at]
    reader = Reader(path, shard)
    facts = reader.source(run.source) if run.source else None
    reader.close()
    entries = [
        (number, entry)
        for number, entry in enumerate(log.entries(0, size))
        if not is_manifest(entry) and (not is_deletion(entry) or _names(number, entry, shard, segment, position, run))
    ]
    return {
        "kind": KIND, "v": 1, "shard": shard, "position": position,
        "received": run.received, "source_time": run.source_time, "source": run.source, "sequence": run.sequence,
        "source_name": [facts.name, facts.transport] if facts else ["(ledger)", ""],
        "record": None if body is None else b64(body),
        "salt": None if body is None or salt is None else salt.hex(),
        "commitment": committed[at].hex(),
        "proof": [
            b64(node)
            for node in tree.range_proof(at, at + 1, segment.count, lambda low, high: tree.root(hashes[low:high]))
        ],
        "manifest": prove_entries(log, [(index, manifest)], size)[0],
        "checkpoint": note,
        "root": open_root_public(keys).vkey(),
        "entries": prove_entries(log, entries, size),
        "anchors": prove_anchors(folder, log, note, index + 1, held),
    }  # fmt: skip


def _names(number: int, entry: bytes, shard: int, segment: Sealed, position: int, run: Run) -> bool:
    deletions = Deletions()
    deletions.take(number, entry, shard)
    return deletions.of_segment(segment.number, segment.first, segment.count).of(run.source, position) is not None


def _run_of(segment: Sealed, at: int) -> Run:
    """Return what is said of the record at an index of a segment, as a run of one."""
    for run in segment.runs:
        if at < run.records:
            return run._replace(records=1, sequence=run.sequence + at)
        at -= run.records
    raise LedgerError(f"segment {segment.number} is damaged: it has no record at {at}")


def _segment_of(folder: Path, position: int) -> tuple[int, Sealed] | None:
    """Return the sealed segment that holds a position, and its log index; None if it is not sealed or not there."""
    found = volumes(folder)
    at = bisect_right(found, position, key=lambda volume: volume.position) - 1
    if position < 0 or at < 0:
        return None
    opening, start = read_opening(found[at].path)
    index, groups = opening.log_size, dict[int, list[Header]]()
    with found[at].path.open("rb") as file:
        fd = file.fileno()
        for header in frames.headers(fd, start, os.fstat(fd).st_size):
            match header.kind:
                case Kind.GROUP:
                    groups.setdefault(header.segment, []).append(header)
                case Kind.SEAL:
                    parts = groups.pop(header.segment, [])
                    if parts and parts[0].position <= position < header.position:
                        return index, _sealed(fd, parts, header)
                    index += 1
                case Kind.PACKED:
                    block = Block(frames.read(fd, header))
                    if header.position <= position < header.position + header.records:
                        for number, segment in enumerate(block.segments(), block.entry):
                            if segment.first <= position < segment.first + segment.count:
                                return number, segment
                    index = block.entry + len(block.parts)
                case _:
                    index += header.kind == Kind.ENTRY
    return None


def _sealed(fd: int, parts: Sequence[Header], header: Header) -> Sealed:
    seal = Seal.decode(frames.read(fd, header).payload)
    manifest = Manifest.decode(seal.manifest)
    runs: list[Run] = []
    bodies: list[bytes | None] = []
    for part in parts:
        group = decode_group(frames.read(fd, part).payload, part.records)
        runs += group.runs
        bodies += group.bodies(0, part.records)
    return Sealed(manifest.segment, manifest.first, manifest.count, runs, bodies, {}, seal.seeds, seal.nodes)
