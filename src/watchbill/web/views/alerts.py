"""The list of alerts, and the story of one."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from watchbill.core.clock import DAY
from watchbill.core.times import parse_range
from watchbill.core.values import AlertStatus, Criticality, Disposition, Severity
from watchbill.flows import installation
from watchbill.state.accounts.queries import assignees
from watchbill.state.alerts import queries
from watchbill.state.alerts.values import UNRESOLVED, AlertFilter, AlertRow, AlertView, Facets, Sort
from watchbill.state.assets import queries as inventory
from watchbill.web.access import needs, now
from watchbill.web.files import as_csv, as_json_lines
from watchbill.web.paging import Choice, Facet, facet

SIZE = 50
MOST = 10_000
_COLUMNS = (
    "id", "title", "status", "severity", "criticality", "host", "assignee", "disposition", "first", "last", "events",
    "rule", "opened_at", "acknowledged_at", "resolved_at", "controls", "entities",
)  # fmt: skip
_ENTITIES = {"host": "Host", "user": "User", "src_ip": "Source address", "process": "Process", "resource": "Resource"}
_ANY = "any"

_Word = TypeVar("_Word", AlertStatus, Severity)


@needs("alerts.read")
def listing(request: HttpRequest) -> HttpResponse:
    """Unresolved alerts, worst first, unless asked otherwise; to htmx and the live script only the rows."""
    wanted = _wanted(request)
    form = request.GET.get("as", "")
    if form in {"csv", "json"}:
        rows = ({name: getattr(row, name) for name in _COLUMNS} for row in _all(wanted))
        return as_csv(request, "alerts", _COLUMNS, rows) if form == "csv" else as_json_lines(request, "alerts", rows)
    mark = queries.pulse().mark  # before the rows: what changes meanwhile is told once more, never missed
    found = queries.alerts(wanted)
    end = now()
    sparks = queries.activity([row.id for row in found.items], end - DAY, end)
    context: dict[str, Any] = {
        "page": found, "rows": [(row, sparks[row.id]) for row in found.items], "wanted": wanted, "mark": mark, "dispositions": tuple(Disposition)}  # fmt: skip
    if request.headers.get("HX-Target") == "rows":
        return render(request, "alerts/rows.html", context)
    return render(
        request,
        "alerts/list.html",
        context | {"facets": _facets(request, queries.facets(wanted), wanted), "sorts": tuple(Sort)},
    )


@needs("alerts.read")
def detail(request: HttpRequest, alert_id: str) -> HttpResponse:
    mark = queries.pulse().mark
    found = queries.alert(alert_id)
    row = found.row
    info = installation.ruleset().infos.get(row.rule)
    requirements = installation.requirements()
    known = inventory.criticalities()
    entities = [
        (
            _ENTITIES.get(kind, kind),
            kind,
            [(value, known.get(value.lower()) if kind == "host" else None) for value in values],
        )
        for kind, values in sorted(
            row.entities.items(), key=lambda pair: list(_ENTITIES).index(pair[0]) if pair[0] in _ENTITIES else 9
        )
    ]
    return render(
        request,
        "alerts/detail.html",
        {
            "alert": found,
            "mark": mark,
            "row": row,
            "rule": info,
            "sentence": sentence(found),
            "entities": entities,
            "criticality": known.get(row.host.lower(), Criticality.MEDIUM),
            "controls": [
                (number, requirements[number].title if number in requirements else "") for number in row.controls
            ],
            "covered_by": sorted({part.suppression for part in found.detections if part.suppression}),
            "expected": urlencode(_expected(found)),
            "assignees": assignees(),
            "dispositions": tuple(Disposition),
        },
    )


def _expected(alert: AlertView) -> dict[str, str]:
    """What a suppression of just this would ask: the rule, and of each kind that it involves the one thing that it was."""
    single = {kind: values[0] for kind, values in alert.row.entities.items() if kind in _ENTITIES and len(values) == 1}
    return {"rule": alert.row.rule, **single}


def sentence(alert: AlertView) -> str:
    """What happened, in one sentence with its figures."""
    row = alert.row
    involved = [
        f"{word} {', '.join(values[:3])}{f' and {len(values) - 3} more' if len(values) > 3 else ''}"
        for kind, word in (("user", "user"), ("src_ip", "from"), ("process", "with"), ("resource", "on"))
        if (values := row.entities.get(kind))
    ]
    where = f" on {row.host}" if row.host and row.host not in row.title else ""
    count = f"{row.events} event{'' if row.events == 1 else 's'}"
    return f"{row.title}{where}: {count}{', ' if involved else ''}{'; '.join(involved)}."


def _wanted(request: HttpRequest) -> AlertFilter:
    get = request.GET
    status = _words(get.getlist("status"), AlertStatus)
    if not status and _ANY not in get.getlist("status"):
        status = UNRESOLVED
    start, end = parse_range(get["when"], now()) if get.get("when") else (None, None)
    sort = get.get("sort", "")
    return AlertFilter(
        text=get.get("q", "").strip(), status=status, severity=_words(get.getlist("severity"), Severity),
        rule=tuple(get.getlist("rule")), host=tuple(get.getlist("host")), user=get.get("user", ""),
        src_ip=get.get("src_ip", ""), control=get.get("control", ""), assignee=get.get("assignee", ""),
        start=start, end=end, sort=Sort(sort) if sort in set(Sort) else Sort.SEVERITY, cursor=get.get("cursor", ""), size=SIZE,
    )  # fmt: skip


def _words(values: list[str], kind: type[_Word]) -> tuple[_Word, ...]:
    return tuple(kind(value) for value in values if value in set(kind))


def _all(wanted: AlertFilter) -> list[AlertRow]:
    """All that match, at most so many as a person can do something with in a file."""
    rows: list[AlertRow] = []
    cursor = ""
    while len(rows) < MOST:
        part = AlertFilter(
            **{name: getattr(wanted, name) for name in AlertFilter.__struct_fields__} | {"cursor": cursor, "size": 500}
        )
        found = queries.alerts(part)
        rows += found.items
        cursor = found.next
        if not cursor:
            break
    return rows


def _facets(request: HttpRequest, found: Facets, wanted: AlertFilter) -> tuple[Facet, ...]:
    rules = Facet(
        "rule", "Rule", tuple(Choice(name, title, count, name in wanted.rule) for name, title, count in found.rule)
    )
    return (
        facet(
            request,
            "status",
            "Status",
            [(str(status), found.status.get(status, 0)) for status in AlertStatus],
            marked=True,
        ),
        facet(
            request,
            "severity",
            "Severity",
            [(str(level), found.severity.get(level, 0)) for level in reversed(Severity)],
            marked=True,
        ),
        rules,
        facet(request, "host", "Asset", found.host),
    )
