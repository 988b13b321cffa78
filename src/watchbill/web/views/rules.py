"""The rules: what is watched for, on what, why, from where, and which of them cannot run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.clock import DAY
from watchbill.core.errors import NotFoundError
from watchbill.core.values import Severity
from watchbill.flows import installation, rule_stats
from watchbill.flows.rulebook import KEYS, UNSAID, Rulebook, RuleFilter, on_what
from watchbill.state.alerts import queries as alerts
from watchbill.state.alerts.values import AlertFilter, Sort
from watchbill.web.access import needs, now
from watchbill.web.files import as_csv, as_json_lines
from watchbill.web.paging import Facet, facet, page_number, pager

SIZE = 50
_LONGEST_FACET = 12
_COLUMNS = (
    "id", "title", "severity", "status", "collection", "logsource", "owner", "controls", "tags", "path", "sigma_id",
)  # fmt: skip


@needs("rules.read")
def listing(request: HttpRequest) -> HttpResponse:
    """The rules that run; with ``show`` those that do not, or the collections that were added."""
    book = installation.rulebook()
    match request.GET.get("show", ""):
        case "problems":
            return _problems(request, book)
        case "collections":
            return render(request, "rules/collections.html", {"book": book})
    wanted = RuleFilter(
        text=request.GET.get("q", ""),
        control=request.GET.get("control", ""),
        **{key: tuple(request.GET.getlist(key)) for key in KEYS},
    )
    found = book.find(wanted)
    form = request.GET.get("as", "")
    if form in {"csv", "json"}:
        rows = (
            {
                name: getattr(info, name, "")
                for name in _COLUMNS
            } | {"logsource": on_what(info), "sigma_id": info.extra.get("sigma_id", "")}
            for info in found
        )  # fmt: skip
        return as_csv(request, "rules", _COLUMNS, rows) if form == "csv" else as_json_lines(request, "rules", rows)
    part, pages = _page(request, found)
    fired = {name: sum(states.values()) for name, states in alerts.rule_counts().items()}
    context = {
        "book": book,
        "rules": [(info, on_what(info), fired.get(info.id, 0)) for info in part],
        "facets": [_facet(request, key, counts) for key, counts in book.counts(wanted).items()],
        **pages,
    }
    return render(request, "rules/list.html", context)


def _problems(request: HttpRequest, book: Rulebook) -> HttpResponse:
    found = book.find_problems(request.GET.get("q", ""), request.GET.getlist("collection"))
    counts = Counter(one.collection for one in book.find_problems(request.GET.get("q", "")))
    part, pages = _page(request, found)
    context = {"book": book, "problems": part, "facets": [_facet(request, "collection", counts)], **pages}
    return render(request, "rules/problems.html", context)


def _page(request: HttpRequest, found: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The part of a list that is asked for, and what components/pager.html needs."""
    pages = pager(page_number(request), SIZE, len(found))
    return found[max(pages["first"] - 1, 0) : pages["last"]], pages


def _facet(request: HttpRequest, key: str, counts: Counter[str]) -> Facet:
    """The values that most rules have; the levels by their order. A rule without one says nothing there."""
    if key == "severity":
        return facet(request, key, "Level", [(str(one), counts[one]) for one in reversed(Severity)], marked=True)
    most = counts.most_common(_LONGEST_FACET)
    made = facet(request, key, key.capitalize(), most)
    labels = {UNSAID: "nobody" if key == "owner" else "any" if key in {"product", "service", "category"} else UNSAID}
    values = tuple(one._replace(label=labels.get(one.value, one.label)) for one in made.values)
    return made._replace(values=values, more=len(counts) - len(most))


@needs("rules.read")
def detail(request: HttpRequest, name: str) -> HttpResponse:
    book = installation.rulebook()
    ruleset, info = book.ruleset, book.by_name.get(name)
    if info is None and name in ruleset.by_name:
        # A rule that only feeds others is shown on the page of the one beside it that alerts.
        beside = [other for other, found in ruleset.infos.items() if found.path == ruleset.by_name[name].path]
        if beside:
            return redirect("rule", beside[0])
    if info is None:
        raise NotFoundError(f"there is no rule {name}", mend="see the list of rules")
    found = alerts.alerts(AlertFilter(rule=(name,), sort=Sort.NEWEST, size=20))
    requirements = installation.requirements()
    controls = [(number, requirements[number].title if number in requirements else "") for number in info.controls]
    tests = ruleset.by_name[name].tests
    return render(
        request,
        "rules/detail.html",
        {
            "name": name,
            "rule": info,
            "collection": next((one for one in book.collections if one.name == info.collection), None),
            "fired": found,
            "controls": controls,
            "tests": tests,
            "stats": rule_stats.statistics(ruleset, now() - DAY, now()).get(name),
        },
    )
