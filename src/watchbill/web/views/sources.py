"""What delivers logs, how well, and what has fallen silent."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.times import parse_duration, rfc3339
from watchbill.state.assets import actions, queries
from watchbill.state.trail import queries as trail
from watchbill.web.access import actor, needs, now
from watchbill.web.paging import facet
from watchbill.web.templatetags.charts import Bar, Part


@needs("sources.read")
def listing(request: HttpRequest) -> HttpResponse:
    found = queries.sources(now=now())
    states: dict[str, int] = {}
    for one in found:
        states[one.state] = states.get(one.state, 0) + 1
    words, chosen = request.GET.get("q", "").lower().split(), request.GET.getlist("state")
    shown = [
        one
        for one in found
        if all(word in f"{one.name} {one.transport} {one.format}".lower() for word in words)
        and (not chosen or one.state in chosen)
    ]
    order = {"unreadable": 0, "silent": 1, "alive": 2, "recorded": 3}
    shown.sort(key=lambda one: (order.get(one.state, 9), one.name))
    context = {
        "sources": shown,
        "total": len(found),
        "facets": (facet(request, "state", "State", states.items(), marked=True),),
    }
    return render(request, "sources/list.html", context)


@needs("sources.read")
def detail(request: HttpRequest, source_id: str) -> HttpResponse:
    at = now()
    found = queries.source(source_id, now=at)
    hours = queries.source_hours(source_id, now=at, days=7)
    bars = tuple(
        Bar(
            rfc3339(one.hour)[:16].replace("T", " "),
            (Part("bar", one.events - one.quarantined), Part("medium", one.quarantined)),
        )
        for one in hours
    )
    context = {"source": found, "bars": bars, "history": trail.about("source", source_id, 30)}
    return render(request, "sources/detail.html", context)


@needs("sources.write", "POST")
def edit(request: HttpRequest, source_id: str) -> HttpResponse:
    """Set how long this source may be silent; empty gives the bound back to its history."""
    words = request.POST.get("silent_after", "").strip()
    length = parse_duration(words) if words else None
    actions.set_silent_after(source_id, length, by=actor(request).email, at=now())
    messages.success(request, f"It counts as silent after {words}." if words else "Its own history decides again.")
    return redirect("source", source_id)
