"""What is expected, until when and why."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.clock import DAY
from watchbill.core.errors import WatchbillError
from watchbill.core.values import Severity
from watchbill.flows import installation
from watchbill.state.alerts import actions, queries
from watchbill.state.alerts.suppressions import KINDS
from watchbill.state.alerts.values import SuppressionState
from watchbill.web.access import actor, back, needs, now

_LENGTHS = ((1, "a day"), (7, "a week"), (30, "30 days"), (90, "90 days"), (365, "a year"))
#: Offered on an alert's page; the others are for the command line and the API.
_LABELS = {"host": "Asset", "user": "User", "src_ip": "Source address", "process": "Process", "resource": "Resource"}


class SuppressionForm(forms.Form):
    """One rule and what must be involved; an empty condition asks nothing."""

    rule = forms.CharField(
        label="Rule", required=False, help_text="Its name. Empty: every rule; then a condition is needed."
    )
    host = forms.CharField(label="Asset", required=False, help_text="* stands for anything.")
    user = forms.CharField(label="User", required=False)
    src_ip = forms.CharField(
        label="Source address", required=False, help_text="An address or a network, like 192.0.2.0/24."
    )
    process = forms.CharField(label="Process", required=False)
    resource = forms.CharField(label="Resource", required=False)
    days = forms.TypedChoiceField(label="For", coerce=int, choices=_LENGTHS, initial=30)
    up_to = forms.ChoiceField(
        label="Up to severity", choices=[(one.value, one.value) for one in reversed(Severity)], initial=Severity.HIGH.value,
        help_text="Alerts more severe than this are never suppressed.",
    )  # fmt: skip
    reason = forms.CharField(
        label="Reason", widget=forms.Textarea(attrs={"rows": 3}), max_length=2_000,
        help_text="Why this is expected, for whoever reads it next year.",
    )  # fmt: skip


@needs("suppressions.read")
def listing(request: HttpRequest) -> HttpResponse:
    """Active ones first, each with what it covered."""
    found = queries.suppressions(now())
    order = list(SuppressionState)
    shown = sorted(found, key=lambda one: order.index(one.state))
    return render(request, "suppressions/list.html", {"suppressions": shown, "titles": _titles()})


@needs("suppressions.read")
def detail(request: HttpRequest, suppression_id: str) -> HttpResponse:
    one = queries.suppression(suppression_id, now())
    return render(
        request,
        "suppressions/detail.html",
        {"one": one, "labels": [(_LABELS.get(kind, kind), pattern) for kind, pattern in one.conditions], "titles": _titles(),
         "active": one.state is SuppressionState.ACTIVE},
    )  # fmt: skip


@needs("suppressions.write", "GET", "HEAD", "POST")
def create(request: HttpRequest) -> HttpResponse:
    """A form that an alert's page fills in for its own case."""
    given = {name: request.GET[name] for name in ("rule", *_LABELS) if request.GET.get(name)}
    form = SuppressionForm(request.POST or None, initial=given)
    if request.method == "POST" and form.is_valid():
        values, at = form.cleaned_data, now()
        try:
            made = actions.suppress(
                values["rule"].strip(), [(kind, values[kind]) for kind in KINDS if values.get(kind, "").strip()],
                reason=values["reason"], expires_at=at + values["days"] * DAY, by=actor(request).email, at=at,
                up_to=Severity(values["up_to"]),
            )  # fmt: skip
        except WatchbillError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{made} holds. What it covers is counted here, and nobody is told.")
            return redirect("suppression", made)
    return render(request, "suppressions/form.html", {"form": form}, status=400 if form.errors else 200)


@needs("suppressions.write", "POST")
def end(request: HttpRequest, suppression_id: str) -> HttpResponse:
    shown = actions.end_suppression(suppression_id, by=actor(request).email, at=now())
    again = f" {len(shown)} alert{'s are' if len(shown) != 1 else ' is'} open again." if shown else ""
    messages.success(request, f"{suppression_id} is over.{again}")
    return back(request, "suppressions")


def _titles() -> dict[str, str]:
    return {name: info.title for name, info in installation.ruleset().infos.items()}
