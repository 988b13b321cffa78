"""Checks bundles: a period of the ledger in one file (see export.py), with the root's fingerprint alone."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import consistency, frames, tree
from watchbill.ledger.anchors import Anchor
from watchbill.ledger.check import FrameCheck
from watchbill.ledger.deletions import Deletions
from watchbill.ledger.keys import NamedKeys, fingerprint
from watchbill.ledger.manifest import open_key_entry
from watchbill.ledger.note import Checkpoint, Verifier, unb64
from watchbill.ledger.report import Report, ShardFacts
from watchbill.ledger.trusted import Shown, Trusted, judge
from watchbill.ledger.verify import check_signatures, is_deletion, judge_root

_LONGEST_MEMBER = 1 << 30


def verify_bundle(
    bundle: Path,
    root_fingerprint: str | None = None,
    trusted: Trusted | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check a bundle. What is wrong is in the report's findings; raises LedgerError if it cannot be read as a bundle.

    ``progress`` is called with (bytes checked, bytes in all).
    """
    report = Report()
    try:
        with zipfile.ZipFile(bundle) as archive:
            _refuse_doubles(archive, bundle)
            step = _steps(archive, progress)
            body = json.loads(archive.read("bundle.json"))
            if (body["kind"], body["v"]) != ("watchbill bundle", 1):
                raise LedgerError("this bundle is of a kind or version that is not known", place=Place(str(bundle)))
            root = Verifier.from_vkey(archive.read("root.pub").decode())
            for part in body["shards"]:
                _check_shard(archive, root, int(part["shard"]), int(part["first"]), report, trusted, step)
    except (zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError, NotImplementedError, EOFError) as error:
        if report.shards:
            report.wrong(bundle, f"cannot be read on: {error}")
            root = None
        else:
            raise LedgerError(f"this is no whole bundle: {error}", place=Place(str(bundle))) from error
    judge_root(report, root, root_fingerprint, trusted)
    report.open_points.append(
        "what was received before and after the positions shown, or by shards that are not in the bundle"
    )
    report.open_points.append(
        "the names of the sources are stated by the bundle; the numbers of the sources are proven"
    )
    return report


def _refuse_doubles(archive: zipfile.ZipFile, bundle: Path) -> None:
    """Two members of one name would be two bundles, for two readers."""
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise LedgerError("a name is there twice", place=Place(str(bundle)))


def _steps(archive: zipfile.ZipFile, progress: Callable[[int, int], None] | None) -> Callable[[int], None]:
    total = sum(info.file_size for info in archive.infolist() if info.filename.endswith("/frames"))
    done = 0

    def step(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(done, max(done, total))

    return step


def _check_shard(
    archive: zipfile.ZipFile,
    root: Verifier,
    shard: int,
    first: int,
    report: Report,
    trusted: Trusted | None,
    step: Callable[[int], None],
) -> None:
    name = f"shard-{shard:04}"
    facts = ShardFacts(shard)
    report.shards.append(facts)
    at = "checkpoint"
    try:
        note = _member(archive, f"{name}/checkpoint").decode()
        signed = Checkpoint.parse(note)
        facts.origin, facts.log_size, facts.log_root = signed.origin, signed.size, signed.root.hex()
        at = "keys.json"
        keys, deletions = check_keys(json.loads(_member(archive, f"{name}/{at}")), root, signed, shard)
        facts.key = fingerprint(keys[-1].key)
        at = "checkpoint"
        check_signatures(note, signed.origin, keys[-1], report)
        at = "entries"
        entries = _split_all(_member(archive, f"{name}/{at}"))
        _check_entries(first, entries, _member(archive, f"{name}/proof"), signed)
        at = "anchors.json"
        items = json.loads(_member(archive, f"{name}/{at}")) if f"{name}/{at}" in archive.namelist() else []
        shown = shown_by(note, keys, first + len(entries), items)
        at = "frames"
        found = _check_frames(archive, name, shard, first, entries, deletions, step)
        found.origin, found.log_size, found.log_root, found.key = (
            facts.origin,
            facts.log_size,
            facts.log_root,
            facts.key,
        )
        report.shards[-1] = found
        judge(report, found, shown, trusted)
    except LedgerError as error:
        report.wrong(error.place or f"{name}/{at}", error.what)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, EOFError, RecursionError) as error:
        report.wrong(f"{name}/{at}", error)


def _check_entries(first: int, entries: list[bytes], proof: bytes, signed: Checkpoint) -> None:
    """Follow the proof from the entries to the signed head. Raises ValueError."""
    nodes = [proof[low : low + 32] for low in range(0, len(proof), 32)]
    if tree.root_from_range(first, [tree.leaf_hash(entry) for entry in entries], signed.size, nodes) != signed.root:
        raise ValueError("the manifests are not those of the signed log")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member that is held in memory. Raises ValueError, KeyError."""
    if archive.getinfo(name).file_size > _LONGEST_MEMBER:
        raise ValueError("this part of the bundle is too long")
    return archive.read(name)


def check_keys(
    items: list[dict[str, Any]], root: Verifier, signed: Checkpoint, shard: int
) -> tuple[list[NamedKeys], Deletions]:
    """Return the log's keys one after the other, and what was deleted. Raises ValueError."""
    keys: list[NamedKeys] = []
    deletions = Deletions()
    for item in items:
        entry, proof = unb64(item["entry"]), [unb64(node) for node in item["proof"]]
        if not keys and item["index"] != 0:
            raise ValueError("the first key entry is not the log's first entry")
        if tree.root_from_range(item["index"], [tree.leaf_hash(entry)], signed.size, proof) != signed.root:
            raise ValueError(f"the entry {item['index']} is not in the signed log")
        if is_deletion(entry):
            deletions.take(item["index"], entry, shard)
            continue
        keys.append(open_key_entry(entry, root, signed.origin, keys[-1].key if keys else None))
    if not keys:
        raise ValueError("there is no key entry")
    return keys, deletions


def shown_by(note: str, keys: list[NamedKeys], end: int, items: list[dict[str, Any]]) -> Shown:
    """Return what is shown of the log beside its head: other checkpoints that the head provably extends. Raises ValueError."""
    signed = Checkpoint.parse(note)
    roots, found = {0: tree.EMPTY, signed.size: signed.root}, []
    for item in items:
        head = Checkpoint.parse(item["note"])
        if head.origin != signed.origin:
            raise ValueError(f"a checkpoint of {head.origin}")
        consistency.check(head.size, head.root, signed.size, signed.root, [unb64(node) for node in item["proof"]])
        roots[head.size] = head.root
        if "\n\n" in item["note"]:
            tokens = {str(name): unb64(token) for name, token in item["tokens"].items()}
            found.append(Anchor(head, item["note"], tokens))
    return Shown(signed, note, [each.key for each in keys], end, found, roots.get)


def _split_all(data: bytes) -> list[bytes]:
    entries, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise ValueError("this bundle of entries is too short")
        entries.append(data[at + 2 : end])
        at = end
    return entries


def _check_frames(
    archive: zipfile.ZipFile,
    name: str,
    shard: int,
    first: int,
    entries: list[bytes],
    deletions: Deletions,
    step: Callable[[int], None],
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
            step(frame.header.end - frame.header.offset)
    check.finish(tail=False)
    if check.index != first + len(entries):
        raise LedgerError(f"the records of the log's entry {check.index} are missing", place=Place(place, offset=size))
    return check.facts


def _spool(archive: zipfile.ZipFile, name: str, file: IO[bytes]) -> int:
    """Unpack a member into a file; return its size."""
    with archive.open(name) as member:
        while data := member.read(1 << 20):
            file.write(data)
    file.flush()
    return file.tell()
