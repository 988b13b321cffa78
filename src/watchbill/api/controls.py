"""The controls of ISO/IEC 27001 and their state; the checks behind it."""

from __future__ import annotations

from typing import Annotated

from django.db import transaction
from ninja import Query
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.core.errors import NotFoundError, QueryError
from watchbill.core.values import ControlState
from watchbill.flows import installation
from watchbill.state.controls import actions, queries
from watchbill.state.controls.values import (
    AttestationView,
    CheckView,
    ControlRow,
    ControlView,
    Day,
    ResultView,
    Summary,
)

topic = Topic("controls")


class Attestation(fields.Body):
    statement: Annotated[fields.Text, Field(description="What you saw or know, and how.")]
    valid_for: fields.Duration = "365d"


class ControlChange(fields.Body):
    """What is not given stays as it is. Whether a control applies wants its justification."""

    owner: Annotated[fields.Word, Field(max_length=200)] | None = None
    applicable: bool | None = None
    justification: fields.Text = ""


@topic.get("/controls", needs="controls.read")
def list_controls(
    request: Request,
    state: Query[tuple[ControlState, ...]] = (),
    theme: Annotated[fields.Word, Field(description="clause, organizational, people, physical or technological")] = "",
    number: Annotated[fields.Word, Field(description="A number or prefix of 2022 or of 2013: A.8.15, A.12.4")] = "",
    at: fields.Moment = "",
) -> tuple[ControlRow, ...]:
    """List clauses 4 to 10 and the controls with their state, and what it is made of."""
    numbers = {one.id for one in installation.framework().find(number)} if number else None
    return tuple(
        row
        for row in queries.controls(fields.moment(at))
        if (not state or row.state in state)
        and (not theme or row.theme == theme)
        and (numbers is None or row.id in numbers)
    )


@topic.get("/controls/summary", needs="controls.read")
def control_summary(request: Request, at: fields.Moment = "") -> Summary:
    """Count the applicable controls by state and theme."""
    return queries.summary(fields.moment(at))


@topic.get("/controls/{control_id}", needs="controls.read")
def show_control(request: Request, control_id: fields.Word, at: fields.Moment = "") -> ControlView:
    """Show all of a control, as known now or at a past moment."""
    return queries.control(control_id, fields.moment(at))


@topic.get("/controls/{control_id}/strip", needs="controls.read")
def control_strip(
    request: Request, control_id: fields.Word, days: Annotated[int, Field(ge=1, le=1100)] = 90
) -> tuple[Day, ...]:  # fmt: skip
    """Give the worst state of each of the last days, oldest first."""
    return queries.strip(control_id, days, now=now())


@topic.post("/controls/{control_id}/attestations", needs="controls.attest")
def attest_control(request: Request, control_id: fields.Word, body: Attestation) -> AttestationView:
    """Vouch for a control for some time."""
    at = now()
    until = at + fields.length(body.valid_for)
    number = actions.attest(control_id, body.statement, valid_until=until, by=request.auth.email, at=at)
    return _attestation(control_id, number)


@topic.delete("/controls/{control_id}/attestations/{attestation_id}", needs="controls.attest")
def withdraw_attestation(request: Request, control_id: fields.Word, attestation_id: fields.Number) -> AttestationView:
    """Withdraw an attestation. It stays on record."""
    _attestation(control_id, attestation_id)
    actions.withdraw_attestation(attestation_id, by=request.auth.email, at=now())
    return _attestation(control_id, attestation_id)


@topic.patch("/controls/{control_id}", needs="controls.write")
def change_control(request: Request, control_id: fields.Word, body: ControlChange) -> ControlView:
    """Set a control's owner, and whether it applies (the statement of applicability's line)."""
    by, at = request.auth.email, now()
    if body.applicable is None and body.justification:
        raise QueryError("a justification says why a control applies or not", mend="give applicable beside it")
    with transaction.atomic():
        if body.owner is not None:
            actions.set_owner(control_id, body.owner, by=by, at=at)
        if body.applicable is not None:
            actions.set_applicable(
                control_id, applicable=body.applicable, justification=body.justification, by=by, at=at
            )  # fmt: skip
    return queries.control(control_id)


@topic.get("/checks", needs="controls.read")
def list_checks(request: Request) -> tuple[CheckView, ...]:
    """List the checks that ever ran, with their newest result."""
    return queries.checks()


@topic.get("/checks/{check_id}/results", needs="controls.read")
def list_results(
    request: Request, check_id: fields.Word, limit: Annotated[int, Field(ge=1, le=100)] = 20
) -> tuple[ResultView, ...]:  # fmt: skip
    """List the newest results of a check, with the snapshots that were judged."""
    return queries.results(check_id, limit)


@topic.get("/checks/results/{result_id}", needs="controls.read")
def show_result(request: Request, result_id: fields.Number) -> ResultView:
    """Show one result, with the snapshot that was judged."""
    return queries.result(result_id)


def _attestation(control_id: str, number: int) -> AttestationView:
    for one in queries.control(control_id).attestations:
        if one.id == number:
            return one
    raise NotFoundError(f"{control_id} has no attestation {number}", mend="see the control")
