"""The only writer of policies, holds and erasures. What is personal (a query, a note) never goes on the trail."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from watchbill.core.errors import ConflictError, DeniedError, NotFoundError, WatchbillError
from watchbill.state.retention.models import Erasure, Hold, Policy
from watchbill.state.retention.values import ErasureReason, ErasureState, number
from watchbill.state.trail.actions import record

#: Three years are what most laws on logs ask at most; a century is a slip of the finger.
MOST_DAYS = 36_500
_MOST_WILDCARDS = 4


@transaction.atomic
def set_policy(
    name: str, days: int, *, source: str = "*", transport: str = "*", form: str = "*", by: str, at: int
) -> None:  # fmt: skip
    """Make a policy or change it. ``days`` 0 keeps for ever; where several fit a source, the longest counts."""
    name = name.strip()
    if not name or len(name) > 80:
        raise WatchbillError("a policy needs a name of at most 80 characters")
    if not 0 <= days <= MOST_DAYS:
        raise WatchbillError(f"{days} days cannot be kept", mend=f"write 1 to {MOST_DAYS}, or 0 for ever")
    patterns = {"source": _pattern(source), "transport": _pattern(transport), "format": _pattern(form)}
    Policy.objects.update_or_create(name=name, defaults={**patterns, "days": days, "by": by, "set_at": at})
    record(by, "retention.set", "policy", name, {**patterns, "days": days}, at)


@transaction.atomic
def remove_policy(name: str, *, by: str, at: int) -> None:
    """Take a policy away: what only it let go is kept for ever."""
    row = Policy.objects.select_for_update().filter(name=name).first()
    if row is None:
        raise NotFoundError(f"there is no policy {name!r}", mend="see the list: watchbill retention show")
    row.delete()
    record(by, "retention.remove", "policy", name, {"days": row.days}, at)


@transaction.atomic
def place_hold(
    reason: str, *, source: str = "*", start: int = 0, end: int | None = None, by: str, at: int
) -> str:  # fmt: skip
    """Keep records from going, whatever the policies say, until it is released; returns its id."""
    if not reason.strip():
        raise WatchbillError("a hold needs its reason", mend="name the case, for whoever reads it next year")
    if end is not None and end <= start:
        raise WatchbillError("this hold would hold nothing: its end is not after its start")
    row = Hold.objects.create(
        reason=reason.strip()[:2000], source=_pattern(source), start=start, end=end, placed_by=by, placed_at=at
    )
    detail = {"source": row.source, "start": start, "end": end, "reason": row.reason}
    record(by, "retention.hold", "hold", f"H-{row.pk}", detail, at)
    return f"H-{row.pk}"


@transaction.atomic
def release_hold(hold_id: str, *, by: str, at: int) -> None:
    row = Hold.objects.select_for_update().filter(pk=number(hold_id, "H")).first()
    if row is None:
        raise NotFoundError(f"there is no hold {hold_id}", mend="see the list: watchbill retention show")
    if row.released_at is not None:
        raise ConflictError(f"H-{row.pk} was released already")
    row.released_by, row.released_at = by, at
    row.save(update_fields=["released_by", "released_at"])
    record(by, "retention.release", "hold", f"H-{row.pk}", {"reason": row.reason}, at)


@transaction.atomic
def note_run(policy: str, *, days: int, records: int, size: int, order: str, by: str, at: int) -> None:
    """Put on the trail that records were deleted by a policy; ``order`` is the name of the ledger's signed entry."""
    detail = {"days": days, "records": records, "bytes": size, "order": order}
    record(by, "retention.delete", "policy", policy, detail, at)


@transaction.atomic
def propose_erasure(
    positions: Sequence[tuple[int, int]], *, reason: ErasureReason, query: str, note: str, by: str, at: int
) -> str:  # fmt: skip
    """Ask that records be erased (ranges of shard 0); somebody else decides. Returns its id."""
    if not positions:
        raise NotFoundError("nothing that could be erased was found", mend="search first, then propose the same query")
    row = Erasure.objects.create(
        state=ErasureState.PROPOSED, reason=reason.value, note=note.strip()[:2000], query=query[:5000],
        positions=[list(one) for one in positions], proposed_by=by, proposed_at=at,
    )  # fmt: skip
    detail = {"reason": reason.value, "records": sum(count for _, count in positions)}
    record(by, "erasure.propose", "erasure", f"E-{row.pk}", detail, at)
    return f"E-{row.pk}"


@transaction.atomic
def decide_erasure(erasure_id: str, *, approve: bool, by: str, at: int) -> None:
    """Approve or reject a proposal. Who proposed it may withdraw it (reject), never approve it."""
    row = _erasure(erasure_id)
    if row.state != ErasureState.PROPOSED:
        raise ConflictError(f"E-{row.pk} is {row.state}", mend="propose again, if there is more to erase")
    if approve and row.proposed_by == by:
        mend = "ask a second person with the permission erasures.approve"
        raise DeniedError("who proposes an erasure does not approve it", mend=mend)
    row.state = ErasureState.APPROVED if approve else ErasureState.REJECTED
    row.decided_by, row.decided_at = by, at
    if not approve:
        row.query = ""
    row.save(update_fields=["state", "decided_by", "decided_at", "query"])
    what = "erasure.approve" if approve else "erasure.reject"
    record(by, what, "erasure", f"E-{row.pk}", {"reason": row.reason, "proposed_by": row.proposed_by}, at)


@transaction.atomic
def finish_erasure(erasure_id: str, *, by: str, at: int) -> None:
    """Note that it is done everywhere; what was searched for is forgotten."""
    row = _erasure(erasure_id)
    if row.state != ErasureState.APPROVED:
        raise ConflictError(f"E-{row.pk} is {row.state}")
    row.state, row.done_at, row.query, row.note = ErasureState.DONE, at, "", ""
    row.save(update_fields=["state", "done_at", "query", "note"])
    detail = {"reason": row.reason, "records": sum(count for _, count in row.positions)}
    record(by, "erasure.done", "erasure", f"E-{row.pk}", detail, at)


def _erasure(erasure_id: str) -> Erasure:
    row = Erasure.objects.select_for_update().filter(pk=number(erasure_id, "E")).first()
    if row is None:
        raise NotFoundError(f"there is no erasure {erasure_id}", mend="see the list: watchbill erasures")
    return row


def _pattern(text: str) -> str:
    text = text.strip() or "*"
    if len(text) > 255 or text.count("*") > _MOST_WILDCARDS or any(sign in text for sign in "?[]"):
        mend = f"write a name, with at most {_MOST_WILDCARDS} * for anything"
        raise WatchbillError(f"the pattern {text[:40]!r} cannot be used", mend=mend)
    return text
