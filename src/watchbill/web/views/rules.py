"""The rules: what is watched for, why, and which of them cannot run."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.clock import DAY
from watchbill.core.errors import NotFoundError
from watchbill.flows import installation, rule_stats
from watchbill.state.alerts import queries as alerts
from watchbill.state.alerts.values import AlertFilter, Sort
from watchbill.web.access import needs, now
from watchbill.web.paging import facet


@needs("rules.read")
def listing(request: HttpRequest) -> HttpResponse:
    ruleset = installation.ruleset()
    words, severities, owners = (
        request.GET.get("q", "").lower().split(),
        request.GET.getlist("severity"),
        request.GET.getlist("owner"),
    )
    infos = sorted(ruleset.infos.items(), key=lambda pair: (-pair[1].severity.rank, pair[1].title))
    counts: dict[str, dict[str, int]] = {"severity": {}, "owner": {}}
    for _, info in infos:
        for key, values in counts.items():
            value = getattr(info, key)
            values[value] = values.get(value, 0) + 1
    shown = [
        (name, info)
        for name, info in infos
        if all(
            word in f"{name} {info.title} {info.description} {' '.join(info.controls)} {' '.join(info.tags)}".lower()
            for word in words
        )
        and (not severities or info.severity in severities)
        and (not owners or info.owner in owners)
    ]
    fired = {name: sum(states.values()) for name, states in alerts.rule_counts().items()}
    context = {
        "rules": [(name, info, fired.get(name, 0)) for name, info in shown],
        "total": len(infos),
        "problems": ruleset.problems,
        "facets": (
            facet(request, "severity", "Severity", counts["severity"].items(), marked=True),
            facet(request, "owner", "Owner", counts["owner"].items()),
        ),
    }
    return render(request, "rules/list.html", context)


@needs("rules.read")
def detail(request: HttpRequest, name: str) -> HttpResponse:
    ruleset = installation.ruleset()
    info = ruleset.infos.get(name)
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
            "fired": found,
            "controls": controls,
            "tests": tests,
            "stats": rule_stats.statistics(ruleset, now() - DAY, now()).get(name),
        },
    )
