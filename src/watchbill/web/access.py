"""Who may see and do what: each view says by one decorator what it needs.

``view.needs`` holds the capability, so that a test can walk all addresses for every role.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from watchbill.core.clock import SystemClock
from watchbill.core.errors import ConflictError, DeniedError, NotFoundError, WatchbillError
from watchbill.core.values import Role
from watchbill.state.accounts.permissions import CAPABILITIES, may

#: For what every signed-in person has: their own account.
SIGNED_IN = "signed in"
#: For the entrance: setup links and the theme.
ANYBODY = "anybody"

View = Callable[..., HttpResponse]


class Person(NamedTuple):
    """Who is at the other end of a request."""

    email: str
    role: Role

    def may(self, capability: str) -> bool:
        return capability == SIGNED_IN or may(self.role, capability)


def person(request: HttpRequest) -> Person | None:
    """The signed-in person; None for a stranger."""
    user = cast("Any", request.user)
    if not user.is_authenticated:
        return None
    return Person(user.email, Role(user.role))


def actor(request: HttpRequest) -> Person:
    """The signed-in person, where ``needs`` has made sure that there is one."""
    found = person(request)
    if found is None:
        raise DeniedError("nobody is signed in", mend="sign in")
    return found


def now() -> int:
    """The moment of a request, in UTC nanoseconds."""
    return SystemClock().now()


def needs(capability: str, *methods: str) -> Callable[[View], View]:
    """Let only those in who have ``capability``; strangers are sent to sign in, others get a 403 that says whom to ask.

    Without ``methods`` a view answers GET and HEAD. An error of ours during POST becomes a message on the page one
    came from (nothing was changed); during GET it becomes a page with its status.
    """
    if capability not in {SIGNED_IN, ANYBODY} and capability not in CAPABILITIES:
        raise KeyError(capability)
    allowed = methods or ("GET", "HEAD")

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            who = person(request)
            if capability != ANYBODY:
                if who is None:
                    return _entrance(request)
                if not who.may(capability):
                    return denied(request, capability)
            if request.method not in allowed:
                return HttpResponseNotAllowed(allowed)
            try:
                return view(request, *args, **kwargs)
            except WatchbillError as error:
                return _answer(request, error)

        guarded.needs = capability  # type: ignore[attr-defined]
        return guarded

    return decorate


def _entrance(request: HttpRequest) -> HttpResponse:
    target = request.get_full_path() if request.method in {"GET", "HEAD"} else "/"
    return HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': target})}")


def denied(request: HttpRequest, capability: str) -> HttpResponse:
    roles = ", ".join(sorted(CAPABILITIES.get(capability, frozenset())))
    return render(request, "403.html", {"capability": capability, "roles": roles}, status=403)


def _answer(request: HttpRequest, error: WatchbillError) -> HttpResponse:
    if request.method == "POST" and not isinstance(error, NotFoundError | DeniedError):
        messages.error(request, str(error))
        return back(request)
    status = (
        404
        if isinstance(error, NotFoundError)
        else 403
        if isinstance(error, DeniedError)
        else 409
        if isinstance(error, ConflictError)
        else 400
    )
    return render(
        request, f"{404 if status == 404 else 403 if status == 403 else 400}.html", {"error": error}, status=status
    )


def back(request: HttpRequest, otherwise: str = "overview") -> HttpResponse:
    """Post-redirect-get: to ``next`` of the form, else to where one came from, when that is ours."""
    for target in (request.POST.get("next"), request.headers.get("Referer")):
        if target and url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
            return HttpResponseRedirect(target)
    return redirect(otherwise)
