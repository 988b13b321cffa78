"""Checks one record with its proof (made by proof.py): JSON, because people mail it and look into it.

The way leads from the record's bytes and salt over its segment's tree to the manifest, from there over the log's tree to
the signed checkpoint, and from the checkpoint's key to the root.
"""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import tree
from watchbill.ledger.bundle import check_keys, shown_by
from watchbill.ledger.deletions import Deletions
from watchbill.ledger.keys import fingerprint
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.note import Checkpoint, Verifier, unb64
from watchbill.ledger.report import Report, ShardFacts
from watchbill.ledger.segment import Run, leaves
from watchbill.ledger.trusted import Trusted, judge
from watchbill.ledger.verify import check_signatures, judge_root

KIND = "watchbill record"
_LONGEST = 256 << 20
_WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error)


def verify_record(file: Path, root_fingerprint: str | None = None, trusted: Trusted | None = None) -> Report:
    """Check a record's proof. What is wrong is in the report's findings; raises LedgerError if it is none."""
    try:
        if file.stat().st_size > _LONGEST:
            raise LedgerError("this is too long for one record", place=Place(str(file)))
        body = json.loads(file.read_bytes())
        if (body["kind"], body["v"]) != (KIND, 1):
            raise LedgerError("this proof is of a kind or version that is not known", place=Place(str(file)))
        facts = ShardFacts(int(body["shard"]))
        root = Verifier.from_vkey(body["root"])
    except (OSError, *_WRONG) as error:
        raise LedgerError(f"this is no record with its proof: {error}", place=Place(str(file))) from error
    report = Report(shards=[facts])
    try:
        _check(body, root, facts, report, trusted)
    except LedgerError as error:
        report.wrong(error.place or file, error.what)
    except _WRONG as error:
        report.wrong(file, error)
    judge_root(report, root, root_fingerprint, trusted)
    report.open_points.append("what was received before and after this record")
    report.open_points.append("the name of its source is stated by the file; the number of the source is proven")
    return report


def _check(body: dict[str, Any], root: Verifier, facts: ShardFacts, report: Report, trusted: Trusted | None) -> None:
    """Follow the proof from the record to the root. Raises what ``_WRONG`` names, and LedgerError."""
    note = body["checkpoint"]
    signed = Checkpoint.parse(note)
    keys, deletions = check_keys(body["entries"], root, signed, facts.shard)
    check_signatures(note, signed.origin, keys[-1], report)
    index, entry = body["manifest"]["index"], unb64(body["manifest"]["entry"])
    proof = [unb64(node) for node in body["manifest"]["proof"]]
    if tree.root_from_range(index, [tree.leaf_hash(entry)], signed.size, proof) != signed.root:
        raise ValueError("the record's manifest is not in the signed log")
    manifest = Manifest.decode(entry)
    at = body["position"] - manifest.first
    if manifest.shard != facts.shard or not 0 <= at < manifest.count:
        raise ValueError("the record is not one of this manifest")
    if body["record"] is None:
        committed = bytes.fromhex(body["commitment"])
        _check_deleted(body, manifest, deletions, facts)
    else:
        committed = sha256(bytes.fromhex(body["salt"]) + unb64(body["record"])).digest()
    run = Run(body["source"], 1, body["received"], body["source_time"], body["sequence"])
    leaf = leaves(facts.shard, body["position"], [run], [committed])
    way = [unb64(node) for node in body["proof"]]
    if tree.root_from_range(at, leaf, manifest.count, way).hex() != manifest.root:
        raise ValueError(f"the record at position {body['position']} is not the one that was sealed")
    facts.origin, facts.log_size, facts.log_root = signed.origin, signed.size, signed.root.hex()
    facts.key, facts.events, facts.segments = fingerprint(keys[-1].key), 1, 1
    facts.first_position, facts.end_position = body["position"], body["position"] + 1
    facts.received = (body["received"], body["received"])
    judge(report, facts, shown_by(note, keys, index + 1, body["anchors"]), trusted)


def _check_deleted(body: dict[str, Any], manifest: Manifest, deletions: Deletions, facts: ShardFacts) -> None:
    """A record without its bytes must be named by an entry of the log. Raises ValueError."""
    named = deletions.of_segment(manifest.segment, manifest.first, manifest.count)
    by = named.of(body["source"], body["position"])
    if by is None:
        raise ValueError("the record has no bytes, and no entry of the log says that it was deleted")
    facts.deleted[by] = 1
