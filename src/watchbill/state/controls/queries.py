"""Reading controls."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from django.db.models import F, OuterRef, Q, Subquery

from watchbill.core.clock import DAY
from watchbill.core.errors import NotFoundError
from watchbill.core.values import ControlState
from watchbill.sdk.checks import Outcome
from watchbill.state.controls import models
from watchbill.state.controls.values import (
    AttestationView,
    ChangeView,
    CheckView,
    ControlRow,
    ControlView,
    Day,
    Reason,
    ResultView,
    Summary,
)

#: From best to worst, for the one state that a day of a strip shows.
_WORSE = (
    ControlState.PROVEN, ControlState.ATTESTED, ControlState.UNKNOWN, ControlState.STALE, ControlState.FAILING,
)  # fmt: skip


def controls(at: int | None = None) -> tuple[ControlRow, ...]:
    """All controls in the order of the framework, as known now or ``at`` a past moment."""
    rows = list(models.Control.objects.filter(retired=False).order_by("framework", "place"))
    if at is None:
        return tuple(_row(row, ControlState(row.state), row.since, row.reasons) for row in rows)
    past = _changes_at(at)
    return tuple(_row_at(row, past.get(row.pk)) for row in rows)


def control(control_id: str, at: int | None = None) -> ControlView:
    """All of a control, as known now or ``at`` a past moment. Raises NotFoundError."""
    row = _find(control_id)
    before = Q() if at is None else Q(at__lte=at)
    changes = row.changes.filter(before).order_by("-at", "-pk")[:200]
    if at is None:
        shown = _row(row, ControlState(row.state), row.since, row.reasons)
    else:
        shown = _row_at(row, changes[0] if changes else None)
    return ControlView(
        row=shown,
        framework=row.framework,
        max_age=row.max_age,
        facts=row.facts,
        justification=row.justification,
        checks=tuple(check for check in checks() if row.key in check.controls),
        attestations=tuple(attestation_view(one) for one in row.attestations.filter(before).order_by("-at", "-pk")),
        changes=tuple(ChangeView(one.at, ControlState(one.state), _reasons(one.reasons)) for one in changes),
    )


def summary(at: int | None = None) -> Summary:
    """How many applicable controls are in each state."""
    rows = controls(at)
    states = dict.fromkeys(ControlState, 0)
    themes: dict[str, dict[ControlState, int]] = {}
    for row in rows:
        if row.applicable:
            states[row.state] += 1
            theme = themes.setdefault(row.theme, dict.fromkeys(ControlState, 0))
            theme[row.state] += 1
    applicable = sum(states.values())
    return Summary(applicable, len(rows) - applicable, states, themes)


def strip(control_id: str, days: int = 90, *, now: int) -> tuple[Day, ...]:
    """The last days of a control, oldest first, today last: the worst state of each."""
    row = _find(control_id)
    today = now - now % DAY
    start = today - (days - 1) * DAY
    held = row.changes.filter(at__lt=start).order_by("-at", "-pk").values_list("state", flat=True).first()
    later = list(row.changes.filter(at__gte=start, at__lte=now).order_by("at", "pk").values_list("at", "state"))
    found = []
    for day in range(start, today + 1, DAY):
        seen = [held] if held else []
        while later and later[0][0] < day + DAY:
            at, held = later.pop(0)
            # What held at midnight does not count for a day that began with a change.
            seen = [held] if at == day else [*seen, held]
        found.append(Day(day, max(map(ControlState, seen), key=_WORSE.index, default=None)))
    return tuple(found)


def checks() -> tuple[CheckView, ...]:
    """All checks that ever ran, with their newest result, by id."""
    return tuple(
        CheckView(
            row.key,
            row.title,
            tuple(row.controls),
            row.max_age,
            Outcome(row.outcome),
            row.summary,
            row.at,
            row.passed_at,
        )
        for row in models.Check.objects.order_by("key")
    )


def results(check_id: str, limit: int = 50) -> tuple[ResultView, ...]:
    """The newest results of a check, newest first, with their snapshots."""
    rows = models.Result.objects.select_related("check_row").filter(check_row__key=check_id)
    return tuple(_result(row) for row in rows.order_by("-at", "-pk")[:limit])


def result(result_id: int) -> ResultView:
    """Raises NotFoundError."""
    row = models.Result.objects.select_related("check_row").filter(pk=result_id).first()
    if row is None:
        raise NotFoundError(f"there is no result {result_id}")
    return _result(row)


def attestation_view(one: models.Attestation) -> AttestationView:
    return AttestationView(one.pk, one.who, one.statement, one.at, one.valid_until, one.withdrawn_at)


def _find(control_id: str) -> models.Control:
    row = models.Control.objects.filter(key=control_id).first()
    if row is None:
        raise NotFoundError(f"there is no control {control_id}", mend="write for instance A.8.15 or 9.2")
    return row


def _changes_at(at: int) -> dict[int, models.Change]:
    newest = models.Change.objects.filter(control=OuterRef("control"), at__lte=at).order_by("-at", "-pk")
    rows = models.Change.objects.filter(at__lte=at).annotate(newest=Subquery(newest.values("pk")[:1]))
    return {row.control_id: row for row in rows.filter(pk=F("newest"))}


def _row(row: models.Control, state: ControlState, since: int, reasons: Iterable[dict[str, Any]]) -> ControlRow:
    return ControlRow(row.key, row.title, row.theme, state, since, _reasons(reasons), row.owner, row.applicable)


def _row_at(row: models.Control, change: models.Change | None) -> ControlRow:
    if change is None:
        words = Reason("none", "", "nothing was known of it yet")
        return ControlRow(row.key, row.title, row.theme, ControlState.UNKNOWN, 0, (words,), row.owner, row.applicable)
    return _row(row, ControlState(change.state), change.at, change.reasons)


def _reasons(reasons: Iterable[dict[str, Any]]) -> tuple[Reason, ...]:
    return msgspec.convert(list(reasons), tuple[Reason, ...])


def _result(row: models.Result) -> ResultView:
    return ResultView(
        row.pk, row.check_row.key, row.at, Outcome(row.outcome), row.summary, tuple(row.findings),
        json.loads(row.snapshot), row.digest,
    )  # fmt: skip
