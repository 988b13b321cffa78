"""What listens, who may send, and with which certificates."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.flows import installation, receivers
from watchbill.flows.listening import listeners
from watchbill.state.receivers import queries
from watchbill.web.access import actor, needs, now


@needs("receivers.read")
def listing(request: HttpRequest) -> HttpResponse:
    data = installation.data()
    context = {
        "listeners": listeners(data),
        "tokens": queries.tokens(),
        "certificates": receivers.certificates(data)[::-1],
        "issued": request.session.pop("issued_sender_token", None),
        "formats": sorted(parser.id for parser in installation.catalog().parsers),
        "push": installation.config().push,
        "now": now(),
    }
    return render(request, "receivers/list.html", context)


@needs("receivers.write", "POST")
def issue_token(request: HttpRequest) -> HttpResponse:
    """Make a token; it is shown once, on the next page."""
    name, form = request.POST.get("name", "").strip(), request.POST.get("format", "").strip()
    _, secret = receivers.issue_token(installation.data(), name, by=actor(request).email, at=now(), form=form)
    request.session["issued_sender_token"] = {"name": name, "secret": secret}
    return redirect("receivers")


@needs("receivers.write", "POST")
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    receivers.revoke_token(installation.data(), token_id, by=actor(request).email, at=now())
    messages.success(request, "The token opens nothing any more.")
    return redirect("receivers")
