"""What people do to alerts: each a POST, answered by the page one came from."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect

from watchbill.core.values import Disposition
from watchbill.state.alerts import actions
from watchbill.state.alerts.values import Bulk
from watchbill.web.access import actor, back, needs, now
from watchbill.web.choices import one_of

_SIMPLE = {
    "acknowledge": (actions.acknowledge, "acknowledged"),
    "unacknowledge": (actions.unacknowledge, "open again"),
    "investigate": (actions.investigate, "being investigated, by you unless somebody has it"),
    "reopen": (actions.reopen, "open again, and people are told"),
}


@needs("alerts.act", "POST")
def step(request: HttpRequest, alert_id: str, name: str) -> HttpResponse:
    """Acknowledge, take that back, investigate or reopen."""
    act, told = _SIMPLE[name]
    act(alert_id, by=actor(request).email, at=now(), comment=request.POST.get("comment", ""))
    messages.success(request, f"{alert_id} is {told}.")
    return back(request, "alerts")


@needs("alerts.act", "POST")
def resolve(request: HttpRequest, alert_id: str) -> HttpResponse:
    actions.resolve(
        alert_id, _disposition(request), by=actor(request).email, at=now(), comment=request.POST.get("comment", "")
    )
    messages.success(request, f"{alert_id} is resolved: {_disposition(request)}.")
    return back(request, "alerts")


@needs("alerts.act", "POST")
def comment(request: HttpRequest, alert_id: str) -> HttpResponse:
    actions.comment(alert_id, request.POST.get("comment", ""), by=actor(request).email, at=now())
    return back(request, "alerts")


@needs("alerts.act", "POST")
def assign(request: HttpRequest, alert_id: str) -> HttpResponse:
    assignee = request.POST.get("assignee", "")
    actions.assign(alert_id, assignee, by=actor(request).email, at=now())
    messages.success(request, f"{alert_id} is with {assignee or 'nobody'} now.")
    return back(request, "alerts")


@needs("alerts.act", "POST")
def bulk(request: HttpRequest, name: str) -> HttpResponse:
    """Acknowledge, take that back, or resolve many; to the script it says what was done, so that it can offer undo."""
    ids, who, at = request.POST.getlist("id")[:500], actor(request).email, now()
    if name == "resolve":
        done = actions.resolve_many(ids, _disposition(request), by=who, at=at, comment=request.POST.get("comment", ""))
    elif name == "acknowledge":
        done = actions.acknowledge_many(ids, by=who, at=at)
    else:
        for one in ids:
            actions.unacknowledge(one, by=who, at=at)
        done = Bulk(tuple(ids), ())
    said = _said(done, {"resolve": "resolved", "acknowledge": "acknowledged"}.get(name, "open again"))
    if request.headers.get("X-Console"):
        return JsonResponse({"ids": done.done, "said": said})
    (messages.warning if done.refused else messages.success)(request, said)
    back_to = request.POST.get("list", "")
    return redirect(back_to if back_to.startswith("/alerts?") else "alerts")


def _said(done: Bulk, word: str) -> str:
    said = f"{done.done[0]} is {word}" if len(done.done) == 1 else f"{len(done.done)} alerts are {word}"
    if done.refused:
        said += f"; {len(done.refused)} refused: {done.refused[0][1]}"
    return said + "."


def _disposition(request: HttpRequest) -> Disposition:
    return one_of(Disposition, request.POST.get("disposition", ""))
