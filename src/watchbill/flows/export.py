"""Evidence is written: a bundle for a period, or one record with its proof; that it was written is on the trail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from watchbill.core.clock import Clock
from watchbill.core.errors import Place, QueryError
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.flows.plain import plain
from watchbill.ledger import export_bundle, prove_record
from watchbill.ledger.note import Checkpoint, signature_lines
from watchbill.state.controls import queries as controls
from watchbill.state.trail import actions


def export(
    data: DataDir, out: Path, start: int, end: int, clock: Clock, *, by: str, named: Sequence[str] = (),
    held: Sequence[Checkpoint] = (), progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write all records received in [start, end) with their proofs to ``out``; returns what the bundle says of itself.

    ``named`` are controls, whose state at the period's end, reasons and changes go along for reading: what they say is
    proven by the records of shard 1. ``held`` are checkpoints that the auditor has. ``progress`` is told (bytes read,
    bytes in all).

    Raises NotFoundError when nothing sealed lies in the period, or a control is not known.
    """
    extra = companions(named, min(end, clock.now()))
    made = export_bundle(data.ledger, data.keys, out, start, end, held=held, extra=extra, progress=progress)
    record_export(by, out.name, start, end, named, clock.now())
    return made


def companions(named: Sequence[str], at: int) -> dict[str, bytes]:
    """Return what goes along with a bundle for reading: the controls ``named`` as they stood. Raises NotFoundError."""
    if not named:
        return {}
    body = [plain(controls.control(one, at)) for one in named]
    return {"controls.json": msgspec.json.format(msgspec.json.encode(body), indent=1) + b"\n"}


def record_export(by: str, name: str, start: int, end: int, named: Sequence[str], now: int) -> None:
    """Put on the trail that ``by`` got a bundle."""
    detail: dict[str, Any] = {"from": rfc3339(max(start, 0)), "to": rfc3339(min(end, now))}
    if named:
        detail["controls"] = list(named)
    actions.record(by, "export.made", "bundle", name, detail, now)


def prove(data: DataDir, shard: int, position: int, clock: Clock, *, by: str, held: Sequence[Checkpoint] = ()) -> bytes:
    """Return one record with its proof, as JSON. Raises NotFoundError if there is none, or it is not signed yet."""
    body = prove_record(data.ledger, data.keys, shard, position, held)
    actions.record(by, "export.made", "record", f"{shard}-{position}", {}, clock.now())
    return msgspec.json.format(msgspec.json.encode(body), indent=1) + b"\n"


def checkpoint_of(file: Path) -> Checkpoint:
    """Read a checkpoint that an auditor kept. Raises QueryError."""
    try:
        return _checkpoint(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise QueryError(f"this is no checkpoint: {error}", place=Place(str(file))) from error


def held(notes: Sequence[str]) -> list[Checkpoint]:
    """Read the texts of checkpoints that an auditor kept. Raises QueryError."""
    return [_checkpoint(note, f"checkpoint {number}") for number, note in enumerate(notes, 1)]


def _checkpoint(note: str, name: str) -> Checkpoint:
    try:
        text = note.replace("\r\n", "\n").strip("\n") + "\n"  # as a form or an editor may have left it
        return Checkpoint.parse(signature_lines(text)[0])
    except ValueError as error:
        mend = "give it whole, with its signatures: it is shard-0000/checkpoint of an earlier bundle"
        raise QueryError(f"this is no checkpoint: {error}", place=Place(name), mend=mend) from error
