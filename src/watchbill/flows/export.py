"""A bundle of evidence for a period is written, and that it was written is on the trail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from watchbill.core.clock import Clock
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.ledger import export_bundle
from watchbill.state.trail import actions


def export(data: DataDir, out: Path, start: int, end: int, clock: Clock, *, by: str) -> dict[str, Any]:
    """Write all records received in [start, end) with their proofs to ``out``; returns what the bundle says of itself.

    Raises NotFoundError when nothing sealed lies in the period.
    """
    made = export_bundle(data.ledger, data.keys, out, start, end)
    detail = {"from": rfc3339(start), "to": rfc3339(min(end, clock.now()))}
    actions.record(by, "export.made", "bundle", out.name, detail, clock.now())
    return made
