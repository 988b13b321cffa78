"""One's own account: appearance, API tokens, second factors; and the way in by a one-time link."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from watchbill.core.clock import DAY
from watchbill.core.errors import NotFoundError, WatchbillError
from watchbill.core.values import Role
from watchbill.state.accounts import actions, queries
from watchbill.state.accounts.permissions import includes
from watchbill.web.access import ANYBODY, SIGNED_IN, actor, back, needs, now
from watchbill.web.choices import one_of
from watchbill.web.context import THEME_COOKIE, THEMES

YEAR_SECONDS = 365 * 24 * 3600


@needs(ANYBODY, "POST")
def theme(request: HttpRequest) -> HttpResponse:
    """Remember how the console shall look in this browser."""
    wanted = request.POST.get("theme", "")
    answer = back(request)
    if wanted in {value for value, _ in THEMES}:
        answer.set_cookie(
            THEME_COOKIE, wanted, max_age=YEAR_SECONDS, samesite="Lax", httponly=True, secure=request.is_secure()
        )
    return answer


@needs(SIGNED_IN)
def account(request: HttpRequest) -> HttpResponse:
    who = actor(request)
    return render(
        request,
        "account/account.html",
        {
            "me": queries.user(who.email),
            "tokens": queries.tokens(who.email),
            "roles": [role for role in Role if includes(who.role, role)],
            "issued": request.session.pop("issued_token", None),
            "now": now(),
        },
    )


@needs("tokens.own", "POST")
def issue_token(request: HttpRequest) -> HttpResponse:
    """Make a token; it is shown once, on the next page."""
    who, at = actor(request), now()
    days = request.POST.get("days", "")
    expires = at + int(days) * DAY if days.isdigit() and 0 < int(days) < 3660 else None
    name = request.POST.get("name", "").strip() or "unnamed"
    role = one_of(Role, request.POST.get("role", who.role))
    request.session["issued_token"] = actions.issue_token(
        who.email, name=name[:100], by=who.email, at=at, role=role, expires_at=expires
    )
    return redirect("account")


@needs("tokens.own", "POST")
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    who = actor(request).email
    actions.revoke_token(token_id, by=who, at=now(), owner=who)
    messages.success(request, "The token no longer opens anything.")
    return redirect("account")


class SetupForm(forms.Form):
    """The first thing a person fills in."""

    email = forms.EmailField(
        label="E-mail address", widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True})
    )
    name = forms.CharField(
        label="Name", max_length=150, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    password = forms.CharField(
        label="Password", min_length=12, strip=False, help_text="At least 12 characters; several words are good.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip


@sensitive_post_parameters("password")
@never_cache
@needs(ANYBODY, "GET", "HEAD", "POST")
def setup(request: HttpRequest, secret: str) -> HttpResponse:
    """Become a user by a one-time link; the link opens nothing a second time."""
    link = queries.setup_link(secret, now())
    if link is None:
        raise NotFoundError(
            "this link is not valid (any more)",
            mend="ask an administrator for a new one, or run: watchbill users invite",
        )
    form = SetupForm(request.POST or None, initial={"email": link.email})
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            actions.use_setup_link(secret, values["email"], values["password"], at=now(), name=values["name"])
        except WatchbillError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "Your account is ready. Sign in with it.")
            return redirect("account_login")
    return render(request, "account/setup.html", {"form": form, "link": link}, status=400 if form.errors else 200)
