"""How long records are kept, what is held, what was deleted, and what is erased for a person's sake."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.errors import WatchbillError
from watchbill.core.times import parse_range
from watchbill.flows import installation
from watchbill.flows import retention as flow
from watchbill.state.retention import actions, queries
from watchbill.state.retention.values import ErasureReason
from watchbill.web.access import actor, needs, now

_FOR_EVER = 1 << 62
_ANYTHING = "* stands for anything."


class PolicyForm(forms.Form):
    """Whose records are kept for how long."""

    name = forms.CharField(label="Name", max_length=80, help_text="An existing name changes that policy.")
    days = forms.IntegerField(label="Keep for days", min_value=0, max_value=actions.MOST_DAYS, help_text="0: for ever.")
    source = forms.CharField(label="Source", initial="*", max_length=255, help_text=_ANYTHING)
    transport = forms.CharField(label="Transport", initial="*", max_length=64, help_text="syslog-tcp, file, journald …")
    format = forms.CharField(label="Format", initial="*", max_length=64, help_text=_ANYTHING)


class HoldForm(forms.Form):
    """What must not go."""

    reason = forms.CharField(label="Reason", max_length=2000, help_text="The case, for whoever reads it next year.")
    source = forms.CharField(label="Source", initial="*", max_length=255, help_text=_ANYTHING)
    when = forms.CharField(label="Received", initial="all", help_text='"2026-03", "2026-03-01 to 2026-03-15", "all"')


class ErasureForm(forms.Form):
    """What a search finds, and why it goes."""

    query = forms.CharField(
        label="Search", max_length=500, help_text="As on the page of events: look at them there first."
    )
    when = forms.CharField(label="Time", initial="all")
    reason = forms.ChoiceField(
        label="Reason", choices=[(one.value, one.value) for one in ErasureReason],
        help_text="Its class stands in the ledger for ever.",
    )  # fmt: skip
    note = forms.CharField(
        label="Note", required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}),
        help_text="For who decides. It is forgotten when it is done.",
    )  # fmt: skip


@needs("retention.read")
def listing(request: HttpRequest) -> HttpResponse:
    """Policies, what is due, holds and everything that was deleted."""
    context = {
        "policies": queries.policies(),
        "due": flow.plan(installation.data(), now()),
        "holds": queries.holds(),
        "deletions": flow.deletions(installation.data()),
        "waiting": [one for one in queries.erasures() if one.state == "proposed"],
    }
    return render(request, "retention/list.html", context)


@needs("retention.write", "GET", "HEAD", "POST")
def policy(request: HttpRequest) -> HttpResponse:
    form = PolicyForm(
        request.POST or None, initial={key: request.GET[key] for key in PolicyForm.base_fields if key in request.GET}
    )
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            actions.set_policy(
                said["name"], said["days"], source=said["source"], transport=said["transport"], form=said["format"],
                by=actor(request).email, at=now(),
            )  # fmt: skip
        except WatchbillError as error:
            form.add_error(None, str(error))
        else:
            messages.success(
                request, f"{said['name']} is set. Below stands what it lets go; the worker does so once a day."
            )
            return redirect("retention")
    return _form(
        request,
        form,
        "A policy",
        "Where several fit a source, the one that keeps longest counts. Without one, everything is kept for ever.",
    )


@needs("retention.write", "POST")
def remove_policy(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("name", "")
    actions.remove_policy(name, by=actor(request).email, at=now())
    messages.success(request, f"{name} is removed; what only it let go is kept for ever.")
    return redirect("retention")


@needs("retention.write", "GET", "HEAD", "POST")
def hold(request: HttpRequest) -> HttpResponse:
    form = HoldForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            start, end = parse_range(said["when"], now())
            made = actions.place_hold(
                said["reason"], source=said["source"], start=max(start, 0), end=end if end < _FOR_EVER else None,
                by=actor(request).email, at=now(),
            )  # fmt: skip
        except WatchbillError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{made} stands: what it holds is not deleted, whatever the policies say.")
            return redirect("retention")
    return _form(
        request, form, "A legal hold", "Records that it holds are not deleted by any policy until it is released."
    )


@needs("retention.write", "POST")
def release(request: HttpRequest, hold_id: str) -> HttpResponse:
    actions.release_hold(hold_id, by=actor(request).email, at=now())
    messages.success(request, f"{hold_id} is released: the policies decide again.")
    return redirect("retention")


@needs("retention.read")
def erasures(request: HttpRequest) -> HttpResponse:
    """What was proposed, decided and done."""
    return render(request, "retention/erasures.html", {"erasures": queries.erasures(), "me": actor(request).email})


@needs("erasures.propose", "GET", "HEAD", "POST")
def propose(request: HttpRequest) -> HttpResponse:
    form = ErasureForm(request.POST or None, initial={"query": request.GET.get("query", "")})
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            found = flow.find(installation.lake(), said["query"], *parse_range(said["when"], now()))
            made = actions.propose_erasure(
                found.ranges, reason=ErasureReason(said["reason"]), query=said["query"], note=said["note"],
                by=actor(request).email, at=now(),
            )  # fmt: skip
        except WatchbillError as error:
            form.add_error(None, str(error))
        else:
            kept = f" {found.elsewhere} more tell of what was done here: those are kept." if found.elsewhere else ""
            messages.success(request, f"{made}: {found.records} records. Somebody else has to approve it.{kept}")
            return redirect("erasures")
    return _form(
        request,
        form,
        "Propose an erasure",
        "One proposes, another approves. The bytes go from ledger, search, alerts and copies; that they were there, and that they were erased, stays proven.",
    )


@needs("erasures.approve", "POST")
def approve(request: HttpRequest, erasure_id: str) -> HttpResponse:
    actions.decide_erasure(erasure_id, approve=True, by=actor(request).email, at=now())
    messages.success(request, f"{erasure_id} is approved: it is erased within minutes.")
    return redirect("erasures")


@needs("erasures.propose", "POST")
def reject(request: HttpRequest, erasure_id: str) -> HttpResponse:
    actions.decide_erasure(erasure_id, approve=False, by=actor(request).email, at=now())
    messages.success(request, f"{erasure_id} is rejected; nothing was erased.")
    return redirect("erasures")


def _form(request: HttpRequest, form: forms.Form, title: str, text: str) -> HttpResponse:
    context = {"form": form, "title": title, "text": text}
    return render(request, "retention/form.html", context, status=400 if form.errors else 200)
