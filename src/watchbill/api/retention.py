"""How long records are kept, what is held, what was deleted, and what is erased for a person's sake."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.flows import installation
from watchbill.flows import retention as flow
from watchbill.flows.retention import Gone
from watchbill.state.retention import actions, queries
from watchbill.state.retention.values import ErasureReason, ErasureView, HoldView, PolicyView

topic = Topic("retention")


class Going(msgspec.Struct, frozen=True):
    """What a policy lets go now; ``size`` in bytes on the disk, about."""

    policy: str
    days: int
    sources: tuple[str, ...]
    records: int
    size: int
    start: int
    end: int


class SetPolicy(fields.Body):
    """`days` 0 keeps for ever. `*` stands for anything."""

    days: Annotated[int, Field(ge=0, le=actions.MOST_DAYS)]
    source: fields.Word = "*"
    transport: fields.Word = "*"
    format: fields.Word = "*"


class PlaceHold(fields.Body):
    """`range` is the time of receipt."""

    reason: Annotated[fields.Word, Field(min_length=1)]
    source: fields.Word = "*"
    range: fields.Range = "all"


class ProposeErasure(fields.Body):
    """The records that `query` finds in `range` (event time); `note` is for who decides, and forgotten afterwards."""

    query: Annotated[fields.Word, Field(min_length=1)]
    range: fields.Range = "all"
    reason: ErasureReason
    note: fields.Word = ""


@topic.get("/retention/policies", needs="retention.read")
def list_policies(request: Request) -> tuple[PolicyView, ...]:
    """List the policies. Of those that fit a source the one that keeps longest counts; without one, all is kept."""
    return queries.policies()


@topic.put("/retention/policies/{name}", needs="retention.write")
def set_policy(request: Request, name: fields.Word, body: SetPolicy) -> tuple[PolicyView, ...]:
    """Make or change a policy."""
    actions.set_policy(
        name, body.days, source=body.source, transport=body.transport, form=body.format, by=request.auth.email, at=now()
    )
    return queries.policies()


@topic.delete("/retention/policies/{name}", needs="retention.write")
def remove_policy(request: Request, name: fields.Word) -> None:
    """Remove a policy: what only it let go is kept for ever."""
    actions.remove_policy(name, by=request.auth.email, at=now())


@topic.get("/retention/due", needs="retention.read")
def list_due(request: Request) -> tuple[Going, ...]:
    """Say what the policies let go now, and how much that is. Nothing is deleted by asking."""
    going = flow.plan(installation.data(), now())
    return tuple(Going(g.policy, g.days, g.sources, g.records, g.size, g.start, g.end) for g in going)


@topic.get("/retention/deletions", needs="retention.read")
def list_deletions(request: Request) -> tuple[Gone, ...]:
    """List everything that was ever deleted, as the ledger's signed log tells it; the newest first."""
    return flow.deletions(installation.data())


@topic.get("/retention/holds", needs="retention.read")
def list_holds(request: Request) -> tuple[HoldView, ...]:
    """List legal holds, released ones too, the newest first."""
    return queries.holds()


@topic.post("/retention/holds", needs="retention.write")
def place_hold(request: Request, body: PlaceHold) -> tuple[HoldView, ...]:
    """Keep records from being deleted, whatever the policies say, until the hold is released."""
    start, end = fields.bounds(body.range)
    actions.place_hold(body.reason, source=body.source, start=start or 0, end=end, by=request.auth.email, at=now())
    return queries.holds()


@topic.post("/retention/holds/{hold_id}/release", needs="retention.write")
def release_hold(request: Request, hold_id: fields.Word) -> tuple[HoldView, ...]:
    """Release a hold: the policies decide again."""
    actions.release_hold(hold_id, by=request.auth.email, at=now())
    return queries.holds()


@topic.get("/erasures", needs="retention.read")
def list_erasures(request: Request, limit: fields.Limit = 100) -> tuple[ErasureView, ...]:
    """List erasures, the newest first."""
    return queries.erasures(limit)


@topic.post("/erasures", needs="erasures.propose")
def propose_erasure(request: Request, body: ProposeErasure) -> ErasureView:
    """Propose to erase the records that a search finds. Somebody else decides."""
    found = flow.find(installation.lake(), body.query, *fields.within(body.range))
    made = actions.propose_erasure(
        found.ranges, reason=body.reason, query=body.query, note=body.note, by=request.auth.email, at=now()
    )
    return queries.erasure(made)


@topic.post("/erasures/{erasure_id}/approve", needs="erasures.approve")
def approve_erasure(request: Request, erasure_id: fields.Word) -> ErasureView:
    """Approve what somebody else proposed: it is erased within minutes and cannot be brought back."""
    actions.decide_erasure(erasure_id, approve=True, by=request.auth.email, at=now())
    return queries.erasure(erasure_id)


@topic.post("/erasures/{erasure_id}/reject", needs="erasures.propose")
def reject_erasure(request: Request, erasure_id: fields.Word) -> ErasureView:
    """Reject a proposal, or withdraw one's own."""
    actions.decide_erasure(erasure_id, approve=False, by=request.auth.email, at=now())
    return queries.erasure(erasure_id)
