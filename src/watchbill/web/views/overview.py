"""What needs me now, and whether the watch itself is alive. Every figure opens what it is made of."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from watchbill.core.clock import DAY, HOUR
from watchbill.core.times import rfc3339
from watchbill.core.values import ControlState, Severity
from watchbill.flows.ledger_state import last_verification, states
from watchbill.state.alerts import queries as alerts
from watchbill.state.alerts.values import UNRESOLVED, AlertFilter
from watchbill.state.assets import queries as inventory
from watchbill.state.controls import queries as controls
from watchbill.web.access import needs, now
from watchbill.web.templatetags.charts import Bar, Part

SPANS = {"24h": (DAY, 48), "7d": (7 * DAY, 56), "30d": (30 * DAY, 60)}
STATE_ORDER = (
    ControlState.FAILING,
    ControlState.STALE,
    ControlState.UNKNOWN,
    ControlState.ATTESTED,
    ControlState.PROVEN,
)


@needs("alerts.read")
def overview(request: HttpRequest) -> HttpResponse:
    at = now()
    mark = alerts.pulse().mark
    end = at - at % HOUR + HOUR
    span, bars = _bars(request.GET.get("span", ""), end)
    counts = alerts.counts()
    sources = inventory.sources(now=at)
    summary = controls.summary()
    return render(
        request,
        "overview.html",
        {
            "mark": mark,
            "span": span,
            "spans": tuple(SPANS),
            "worst": alerts.alerts(AlertFilter(size=8, status=UNRESOLVED)),
            "unresolved": [(level, counts.unresolved[level]) for level in reversed(Severity)],
            "total": sum(counts.unresolved.values()),
            "unassigned": counts.unassigned,
            "bars": bars,
            "alive": sum(one.state == "alive" for one in sources),
            "silent": [one for one in sources if one.state in {"silent", "unreadable"}],
            "watched": sum(one.state != "recorded" for one in sources),
            "recorded": sum(one.state == "recorded" for one in sources),
            "quarantined": sum(one.quarantined for one in sources),
            "received": sum(one.events for one in sources),
            "coverage": inventory.coverage(now=at),
            "summary": summary,
            "control_states": [Part(state, summary.states.get(state, 0)) for state in STATE_ORDER],
            "shards": states(),
            "verified": last_verification(),
        },
    )


def _bars(span: str, end: int) -> tuple[str, list[Bar]]:
    """Alerts over the chosen span; unless one is chosen, over the shortest that has any to show."""
    spans = [span] if span in SPANS else list(SPANS)
    for name in spans:
        length, buckets = SPANS[name]
        found = alerts.severity_over_time(end - length, end, buckets)
        if name == spans[-1] or any(sum(one.counts.values()) for one in found):
            break
    return name, [_bar(one.start, -(-length // buckets), one.counts) for one in found]


def _bar(start: int, width: int, counts: dict[Severity, int]) -> Bar:
    query = urlencode({"status": "any", "when": f"{rfc3339(start)} to {rfc3339(start + width)}"})
    parts = tuple(Part(level, counts.get(level, 0)) for level in Severity)
    return Bar(rfc3339(start)[:16].replace("T", " "), parts, f"/alerts?{query}")
