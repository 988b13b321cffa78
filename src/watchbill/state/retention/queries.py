"""Reads of policies, holds and erasures."""

from __future__ import annotations

from watchbill.core.errors import NotFoundError
from watchbill.state.retention.models import Erasure, Hold, Policy
from watchbill.state.retention.values import ErasureReason, ErasureState, ErasureView, HoldView, PolicyView, number


def policies() -> tuple[PolicyView, ...]:
    """All policies by name."""
    return tuple(
        PolicyView(row.name, row.days, row.source, row.transport, row.format, row.by, row.set_at)
        for row in Policy.objects.order_by("name")
    )


def holds(*, standing: bool = False) -> tuple[HoldView, ...]:
    """All holds, the newest first; ``standing``: only those that were not released."""
    rows = Hold.objects.filter(released_at=None) if standing else Hold.objects.all()
    return tuple(
        HoldView(
            f"H-{row.pk}", row.source, row.start, row.end, row.reason, row.placed_by, row.placed_at, row.released_by,
            row.released_at,
        )
        for row in rows.order_by("-pk")
    )  # fmt: skip


def erasures(limit: int = 100) -> tuple[ErasureView, ...]:
    """The newest erasures first."""
    return tuple(_view(row) for row in Erasure.objects.order_by("-pk")[:limit])


def erasure(erasure_id: str) -> ErasureView:
    """One erasure. Raises NotFoundError."""
    return _view(_row(erasure_id))


def positions(erasure_id: str) -> tuple[tuple[int, int], ...]:
    """What an erasure names: ranges (first position, count) of shard 0."""
    return tuple((first, count) for first, count in _row(erasure_id).positions)


def approved() -> tuple[ErasureView, ...]:
    """Erasures that are decided and not done yet, oldest first."""
    return tuple(_view(row) for row in Erasure.objects.filter(state=ErasureState.APPROVED).order_by("pk"))


def _row(erasure_id: str) -> Erasure:
    row = Erasure.objects.filter(pk=number(erasure_id, "E")).first()
    if row is None:
        raise NotFoundError(f"there is no erasure {erasure_id}", mend="see the list: watchbill erasures")
    return row


def _view(row: Erasure) -> ErasureView:
    return ErasureView(
        id=f"E-{row.pk}",
        state=ErasureState(row.state),
        reason=ErasureReason(row.reason),
        note=row.note,
        query=row.query,
        records=sum(count for _, count in row.positions),
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        done_at=row.done_at,
    )
