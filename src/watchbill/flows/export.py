"""Evidence is written: a bundle for a period, or one record with its proof; that it was written is on the trail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from watchbill.core.clock import Clock
from watchbill.core.errors import LedgerError, Place
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.flows.plain import plain
from watchbill.ledger import export_bundle, prove_record
from watchbill.ledger.note import Checkpoint, signature_lines
from watchbill.state.controls import queries as controls
from watchbill.state.trail import actions


def export(
    data: DataDir, out: Path, start: int, end: int, clock: Clock, *, by: str, named: Sequence[str] = (),
    held: Sequence[Checkpoint] = (),
) -> dict[str, Any]:  # fmt: skip
    """Write all records received in [start, end) with their proofs to ``out``; returns what the bundle says of itself.

    ``named`` are controls, whose state at the period's end, reasons and changes go along for reading: what they say is
    proven by the records of shard 1. ``held`` are checkpoints that the auditor has.

    Raises NotFoundError when nothing sealed lies in the period, or a control is not known.
    """
    extra = {"controls.json": _controls(named, min(end, clock.now()))} if named else None
    made = export_bundle(data.ledger, data.keys, out, start, end, held=held, extra=extra)
    detail = {"from": rfc3339(start), "to": rfc3339(min(end, clock.now()))} | (
        {"controls": list(named)} if named else {}
    )
    actions.record(by, "export.made", "bundle", out.name, detail, clock.now())
    return made


def prove(data: DataDir, shard: int, position: int, clock: Clock, *, by: str, held: Sequence[Checkpoint] = ()) -> bytes:
    """Return one record with its proof, as JSON. Raises NotFoundError if there is none, or it is not signed yet."""
    body = prove_record(data.ledger, data.keys, shard, position, held)
    actions.record(by, "export.made", "record", f"{shard}-{position}", {}, clock.now())
    return msgspec.json.format(msgspec.json.encode(body), indent=1) + b"\n"


def checkpoint_of(file: Path) -> Checkpoint:
    """Read a checkpoint that an auditor kept. Raises LedgerError."""
    try:
        return Checkpoint.parse(signature_lines(file.read_text("utf-8"))[0])
    except (OSError, ValueError) as error:
        raise LedgerError(f"this is no checkpoint: {error}", place=Place(str(file))) from error


def _controls(named: Sequence[str], at: int) -> bytes:
    body = [plain(controls.control(one, at)) for one in named]
    return msgspec.json.format(msgspec.json.encode(body), indent=1) + b"\n"
