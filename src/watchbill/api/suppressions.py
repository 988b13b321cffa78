"""What is expected, until when and why."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.core.times import parse_duration
from watchbill.core.values import Severity
from watchbill.state.alerts import actions, queries
from watchbill.state.alerts.values import SuppressionState, SuppressionView

topic = Topic("suppressions")


class Condition(fields.Body):
    """All that is involved of this kind must fit the pattern: `*` stands for anything, an address may be a network."""

    kind: fields.Word
    pattern: fields.Word


class NewSuppression(fields.Body):
    """`rule` empty is every rule and needs a condition; `length` is at most a year, as `30d` or `8h`."""

    rule: fields.Word = ""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8)] = ()
    reason: Annotated[str, Field(min_length=1, max_length=2_000)]
    length: fields.Word = "30d"
    up_to: Severity = Severity.HIGH


class EndSuppression(fields.Body):
    """Whether alerts that nothing else covers are opened and told of."""

    reopen: bool = True


@topic.get("/suppressions", needs="suppressions.read")
def list_suppressions(
    request: Request, state: SuppressionState | None = None, limit: fields.Limit = 50
) -> tuple[SuppressionView, ...]:
    """List suppressions, the newest first."""
    return queries.suppressions(now(), state=state, limit=limit)


@topic.post("/suppressions", needs="suppressions.write")
def add_suppression(request: Request, body: NewSuppression) -> SuppressionView:
    """Declare what is expected. Open alerts that match are suppressed at once."""
    at = now()
    made = actions.suppress(
        body.rule, [(one.kind, one.pattern) for one in body.conditions], reason=body.reason,
        expires_at=at + parse_duration(body.length), by=request.auth.email, at=at, up_to=body.up_to,
    )  # fmt: skip
    return queries.suppression(made, at)


@topic.get("/suppressions/{suppression_id}", needs="suppressions.read")
def show_suppression(request: Request, suppression_id: fields.Word) -> SuppressionView:
    """Show one, with the alerts that it bears on."""
    return queries.suppression(suppression_id, now())


@topic.post("/suppressions/{suppression_id}/end", needs="suppressions.write")
def end_suppression(request: Request, suppression_id: fields.Word, body: EndSuppression) -> SuppressionView:
    """End one before its time."""
    actions.end_suppression(suppression_id, by=request.auth.email, at=now(), reopen=body.reopen)
    return queries.suppression(suppression_id, now())
