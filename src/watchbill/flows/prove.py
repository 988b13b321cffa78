"""The ledger is verified, and what came of it is itself on the trail: a damage becomes a critical alert by its rule."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from watchbill.core.clock import Clock
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.ledger import Report, verify_ledger
from watchbill.state.trail import actions, queries
from watchbill.state.trail.values import SYSTEM, TrailFilter

VERIFIED, DAMAGED, PERIOD_VERIFIED = "ledger.verified", "ledger.damaged", "ledger.period_verified"


class Verification(msgspec.Struct, frozen=True):
    """The newest verification. ``upto`` is the number of records that were proven in each shard."""

    at: int
    by: str
    ok: bool
    events: int
    upto: dict[str, int]
    place: str
    what: str


def verify(
    data: DataDir, clock: Clock, *, by: str = SYSTEM, progress: Callable[[int, int], None] | None = None,
    workers: int | None = None, period: tuple[int, int] | None = None,
) -> Report:  # fmt: skip
    """Verify all shards and put the result on the trail; ``progress`` is told (bytes checked, bytes in all).

    With a ``period`` (receipt times [start, end)) its records alone are verified: that is no verdict on the whole.
    """
    report = verify_ledger(data.ledger, keys=data.keys, progress=progress, workers=workers, period=period)
    detail: dict[str, object] = {
        "events": report.events,
        "upto": {str(shard.shard): shard.end_position + shard.unsealed for shard in report.shards},
    }
    if not report.ok:
        first = report.findings[0]
        detail |= {"place": first.place, "what": first.what, "findings": len(report.findings)}
    good = PERIOD_VERIFIED if period else VERIFIED
    if period:
        detail |= {"from": rfc3339(period[0]), "to": rfc3339(min(period[1], clock.now()))}
    actions.record(by, good if report.ok else DAMAGED, "ledger", "all", detail, clock.now())
    return report


def newest() -> Verification | None:
    """What the newest verification found; None when there was none yet."""
    found = [
        *queries.entries(TrailFilter(action=VERIFIED, limit=1)),
        *queries.entries(TrailFilter(action=DAMAGED, limit=1)),
    ]
    if not found:
        return None
    entry = max(found, key=lambda one: one.id)
    return Verification(
        at=entry.at,
        by=entry.actor,
        ok=entry.action == VERIFIED,
        events=entry.detail.get("events", 0),
        upto=entry.detail.get("upto", {}),
        place=entry.detail.get("place", ""),
        what=entry.detail.get("what", ""),
    )
