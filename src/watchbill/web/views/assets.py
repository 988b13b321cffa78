"""The inventory: what there is, how much it matters, who answers for it, and whether it is heard."""

from __future__ import annotations

from urllib.parse import quote

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.values import Criticality
from watchbill.state.alerts import queries as alerts
from watchbill.state.alerts.values import UNRESOLVED, AlertFilter
from watchbill.state.assets import actions, queries
from watchbill.state.assets.values import AssetFilter
from watchbill.state.trail import queries as trail
from watchbill.web.access import actor, needs, now
from watchbill.web.choices import one_of
from watchbill.web.paging import Choice, Facet, page_number, pager

SIZE = 50


@needs("assets.read")
def listing(request: HttpRequest) -> HttpResponse:
    at = now()
    chosen = tuple(level for level in Criticality if level in request.GET.getlist("criticality"))
    reviewed = {"yes": True, "no": False}.get(request.GET.get("reviewed", ""))
    wanted = AssetFilter(
        text=request.GET.get("q", ""), criticality=chosen, reviewed=reviewed, owner=request.GET.get("owner", ""),
        sort=request.GET.get("sort", "-last_seen"), page=page_number(request), size=SIZE,
    )  # fmt: skip
    found = queries.assets(wanted, now=at)
    coverage = queries.coverage(now=at)
    levels = tuple(Choice(one.criticality, one.criticality, one.assets, one.criticality in chosen) for one in coverage)
    unreviewed = sum(one.assets - one.reviewed for one in coverage)
    facets = (
        Facet("criticality", "Criticality", levels),
        Facet("reviewed", "Reviewed", (Choice("no", "not yet", unreviewed, reviewed is False),)),
    )
    return render(
        request,
        "assets/list.html",
        {"assets": found.items, "facets": facets, "coverage": coverage, **pager(found.page, SIZE, found.total)},
    )


@needs("assets.read")
def detail(request: HttpRequest, name: str) -> HttpResponse:
    found = queries.asset(name, now=now())
    return render(
        request,
        "assets/detail.html",
        {
            "asset": found,
            "criticalities": tuple(reversed(Criticality)),
            "alerts": alerts.alerts(AlertFilter(host=(found.name,), status=UNRESOLVED, size=20)).items,
            "history": trail.about("asset", found.name, 30),
        },
    )


@needs("assets.write", "POST")
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Set criticality, owner and expected sources as the form has them; looking at it is the review."""
    who, at = actor(request).email, now()
    before = queries.asset(name, now=at)
    criticality = one_of(Criticality, request.POST.get("criticality", before.criticality))
    owner = request.POST.get("owner", "").strip()
    expected = tuple(dict.fromkeys(request.POST.get("expected_sources", "").replace(",", " ").split()))
    if criticality != before.criticality:
        actions.set_criticality([before.name], criticality, by=who, at=at)
    if owner != before.owner:
        actions.set_owner([before.name], owner, by=who, at=at)
    if expected != before.expected_sources:
        actions.set_expected_sources(before.name, expected, by=who, at=at)
    if not before.reviewed:
        actions.set_reviewed([before.name], by=who, at=at)
    messages.success(request, f"{before.name} is saved.")
    return redirect(f"/assets/{quote(before.name, safe='')}")
