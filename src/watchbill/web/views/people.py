"""Who may come in, as what."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from watchbill.core.values import Role
from watchbill.state.accounts import actions, queries
from watchbill.state.accounts.permissions import CAPABILITIES
from watchbill.web.access import actor, needs, now
from watchbill.web.choices import one_of


@needs("users.read")
def listing(request: HttpRequest) -> HttpResponse:
    matrix = [(name, [role in roles for role in Role]) for name, roles in CAPABILITIES.items()]
    context = {
        "people": queries.users(),
        "roles": tuple(Role),
        "tokens": queries.tokens(),
        "matrix": matrix,
        "invited": request.session.pop("invited", None),
        "now": now(),
    }
    return render(request, "people/list.html", context)


@needs("users.write", "POST")
def invite(request: HttpRequest) -> HttpResponse:
    """Make a one-time link; it is shown once, on the next page."""
    email, role = request.POST.get("email", "").strip(), one_of(Role, request.POST.get("role", Role.VIEWER))
    secret = actions.make_setup_link(at=now(), role=role, email=email, by=actor(request).email)
    request.session["invited"] = {
        "email": email,
        "role": role.value,
        "url": request.build_absolute_uri(reverse("setup", args=[secret])),
    }
    return redirect("people")


@needs("users.write", "POST")
def set_role(request: HttpRequest, email: str) -> HttpResponse:
    role = one_of(Role, request.POST.get("role", ""))
    actions.set_role(email, role, by=actor(request).email, at=now())
    messages.success(request, f"{email} is {role} now.")
    return redirect("people")


@needs("users.write", "POST")
def set_active(request: HttpRequest, email: str) -> HttpResponse:
    """Shut somebody out (sessions and tokens end at once), or let them in again."""
    change = actions.activate if request.POST.get("active") == "yes" else actions.deactivate
    change(email, by=actor(request).email, at=now())
    messages.success(
        request,
        f"{email} is {'let in again' if change is actions.activate else 'shut out; sessions and tokens ended'}.",
    )
    return redirect("people")


@needs("users.write", "POST")
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    actions.revoke_token(token_id, by=actor(request).email, at=now())
    messages.success(request, "The token no longer opens anything.")
    return redirect("people")
