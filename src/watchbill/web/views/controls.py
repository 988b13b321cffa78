"""The controls: what is known of each, now or as of a past day, why, and what watches it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.clock import DAY
from watchbill.core.errors import QueryError
from watchbill.core.times import parse_range, rfc3339
from watchbill.flows import installation
from watchbill.state.alerts import queries as alerts
from watchbill.state.alerts.values import AlertFilter
from watchbill.state.controls import actions, queries
from watchbill.web.access import actor, needs, now
from watchbill.web.files import as_csv, as_json_lines
from watchbill.web.paging import facet
from watchbill.web.templatetags.charts import Day, Part
from watchbill.web.views.overview import STATE_ORDER

THEMES = (
    ("clause", "Clauses 4 to 10"), ("organizational", "A.5 Organizational"), ("people", "A.6 People"),
    ("physical", "A.7 Physical"), ("technological", "A.8 Technological"),
)  # fmt: skip
STRIP_DAYS = 90


@needs("controls.read")
def listing(request: HttpRequest) -> HttpResponse:
    """The grid. ``as_of`` is a day; what was known at its end is shown."""
    rows = queries.controls(_as_of(request))
    form = request.GET.get("as", "")
    if form in {"csv", "json"}:
        columns = ("id", "title", "theme", "state", "since", "owner", "applicable", "reasons")
        values = (
            {**{name: getattr(row, name) for name in columns}, "reasons": [one.words for one in row.reasons]}
            for row in rows
        )
        return (
            as_csv(request, "controls", columns, values)
            if form == "csv"
            else as_json_lines(request, "controls", values)
        )
    asked, chosen = request.GET.get("q", "").strip(), request.GET.getlist("state")
    by_number = {control.id for control in installation.framework().find(asked)} if asked else set()
    shown = [
        row
        for row in rows
        if (not chosen or row.state in chosen)
        and (
            not asked
            or row.id in by_number
            or all(word in f"{row.id} {row.title} {row.owner}".lower() for word in asked.lower().split())
        )
    ]
    counted = {state: sum(row.state is state and row.applicable for row in rows) for state in STATE_ORDER}
    groups = []
    for theme, title in THEMES:
        own = [row for row in shown if row.theme == theme]
        parts = [Part(state, sum(row.state is state for row in own if row.applicable)) for state in STATE_ORDER]
        groups.append((title, own, parts))
    context = {
        "groups": groups, "shown": len(shown), "total": sum(counted.values()), "as_of": request.GET.get("as_of", ""),
        "parts": [Part(state, count) for state, count in counted.items()], "excluded": sum(not row.applicable for row in rows),
        "facets": (facet(request, "state", "State", [(state.value, count) for state, count in counted.items()], marked=True),),
    }  # fmt: skip
    return render(request, "controls/list.html", context)


@needs("controls.read")
def detail(request: HttpRequest, control_id: str) -> HttpResponse:
    at = _as_of(request)
    found = queries.control(control_id, at)
    number = found.row.id
    rules = [(name, info) for name, info in installation.ruleset().infos.items() if number in info.controls]
    checks = {check.id: check for check in installation.catalog().checks if number in check.controls}
    days = [
        Day(rfc3339(one.start)[:10], one.state or "none", "", f"?as_of={rfc3339(one.start)[:10]}")
        for one in queries.strip(number, STRIP_DAYS, now=now())
    ]
    ran = {one.id: one for one in found.checks}
    context: dict[str, Any] = {
        "control": found, "row": found.row, "as_of": request.GET.get("as_of", ""), "rules": rules, "days": days,
        "checks": [(check, ran.get(name), queries.results(name, 5)) for name, check in checks.items()],
        "alerts": alerts.alerts(AlertFilter(control=number, size=20)), "now": now(),
        "reasons": [one for one in found.row.reasons if one.kind != "rule"], "history": found.changes, "people": found.attestations,
    }  # fmt: skip
    return render(request, "controls/detail.html", context)


@needs("controls.attest", "POST")
def attest(request: HttpRequest, control_id: str) -> HttpResponse:
    """Vouch for a control for some days; seen in its state at once for the person, at the next refresh for all."""
    days = request.POST.get("days", "")
    if not days.isdigit() or not 0 < int(days) <= 1096:
        raise QueryError(f"{days!r} is no number of days", mend="write 1 to 1096")
    at = now()
    actions.attest(
        control_id, request.POST.get("statement", ""), valid_until=at + int(days) * DAY, by=actor(request).email, at=at
    )
    messages.success(request, "Your attestation is on record; the control's state follows within a minute.")
    return redirect("control", control_id)


@needs("controls.attest", "POST")
def withdraw(request: HttpRequest, control_id: str, attestation_id: int) -> HttpResponse:
    actions.withdraw_attestation(attestation_id, by=actor(request).email, at=now())
    messages.success(request, "The attestation is withdrawn.")
    return redirect("control", control_id)


@needs("controls.write", "POST")
def edit(request: HttpRequest, control_id: str) -> HttpResponse:
    """Owner, and the statement of applicability's line."""
    who, at = actor(request).email, now()
    before = queries.control(control_id)
    owner, applicable = request.POST.get("owner", "").strip(), request.POST.get("applicable") == "yes"
    justification = request.POST.get("justification", "").strip()
    if owner != before.row.owner:
        actions.set_owner(control_id, owner, by=who, at=at)
    if applicable != before.row.applicable or (justification and justification != before.justification):
        actions.set_applicable(control_id, applicable=applicable, justification=justification, by=who, at=at)
    messages.success(request, f"{control_id} is saved.")
    return redirect("control", control_id)


def _as_of(request: HttpRequest) -> int | None:
    words = request.GET.get("as_of", "").strip()
    return parse_range(words, now())[1] - 1 if words and words != "now" else None
