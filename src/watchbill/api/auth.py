"""Who calls, and what they may do: a token of a person's, or the console's own session. Each operation says by
``Needs`` which capability it wants.

A token is 256 random bits, so throttling protects the trail and the database, not the token: a right one always
opens, wrong ones are answered with 429 after ten a minute from one address. https://www.rfc-editor.org/rfc/rfc6750
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from allauth.account.adapter import get_adapter
from django.core.cache import cache
from django.http import HttpRequest
from ninja.utils import check_csrf

from watchbill.core.clock import SystemClock
from watchbill.core.errors import WatchbillError
from watchbill.core.values import Role
from watchbill.state.accounts import actions
from watchbill.state.accounts.permissions import CAPABILITIES, demand, may
from watchbill.state.accounts.queries import user_by_token
from watchbill.state.accounts.values import TokenOwner

#: Largest body of a request.
MOST_BYTES = 1 << 20
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_WRONG_TOKENS, _WINDOW = 10, 60
_NOTE_USE_EVERY = 300


class Caller(NamedTuple):
    """Who is at the other end; ``token`` is None for a session of the console."""

    email: str
    role: Role
    token: TokenOwner | None = None

    def may(self, capability: str) -> bool:
        return may(self.role, capability)


class Request(HttpRequest):
    """A request that ``Needs`` has let in."""

    auth: Caller


class RefusedError(WatchbillError):
    """The request was not looked at; ``status`` and ``headers`` as HTTP has them."""

    def __init__(self, status: int, what: str, *, mend: str, **headers: str) -> None:
        super().__init__(what, mend=mend)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Needs:
    """Lets in who has ``capability``, and what is not too large; ninja calls it before it reads anything else."""

    def __init__(self, capability: str) -> None:
        if capability not in CAPABILITIES:
            raise KeyError(capability)
        self.capability = capability

    def __call__(self, request: HttpRequest) -> Caller:
        caller = _by_token(request) if "Authorization" in request.headers else _by_session(request)
        demand(caller.role, self.capability)
        _demand_body(request)
        if caller.token is None:
            _demand_csrf(request)
        return caller


def now() -> int:
    """The moment of a request, in UTC nanoseconds."""
    return SystemClock().now()


def _by_token(request: HttpRequest) -> Caller:
    scheme, _, token = request.headers["Authorization"].strip().partition(" ")
    owner = user_by_token(token.strip(), now()) if scheme.lower() == "bearer" else None
    if owner is None:
        raise _wrong_token(request)
    if cache.add(f"api-token-{owner.token_id}", 1, _NOTE_USE_EVERY):
        actions.note_token_use(owner.token_id, now())
    return Caller(owner.email, owner.role, owner)


def _wrong_token(request: HttpRequest) -> RefusedError:
    address = get_adapter(request).get_client_ip(request)
    key = f"api-refused-{address}"
    if cache.add(key, 1, _WINDOW):
        tries = 1
    else:
        try:
            tries = cache.incr(key)
        except ValueError:  # it ran out between the two lines
            tries = 1
    if tries > _WRONG_TOKENS:
        return RefusedError(
            429, "too many wrong tokens from this address", mend="wait a minute, and use a token that is valid",
            Retry_After=str(_WINDOW),
        )  # fmt: skip
    actions.sign_in_failed("", ip=address, at=now())
    return RefusedError(
        401, "this token is unknown, expired or revoked", mend="send the header: Authorization: Bearer wb_…",
        WWW_Authenticate='Bearer realm="watchbill", error="invalid_token"',
    )  # fmt: skip


def _by_session(request: HttpRequest) -> Caller:
    """The console's own scripts come with its cookie; whatever changes something needs the CSRF token beside it."""
    user = cast("Any", request.user)
    if not user.is_authenticated:
        raise RefusedError(
            401, "nobody is signed in", mend="send the header: Authorization: Bearer wb_…",
            WWW_Authenticate='Bearer realm="watchbill"',
        )  # fmt: skip
    return Caller(user.email, Role(user.role))


def _demand_body(request: HttpRequest) -> None:
    """JSON of at most 1 MiB, or nothing."""
    if request.headers.get("Transfer-Encoding"):
        raise RefusedError(411, "the request does not say how long it is", mend="send Content-Length")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise RefusedError(413, "the request is larger than 1 MiB", mend="send less at once")
    if int(length) and request.content_type != "application/json":
        raise RefusedError(415, "the body is not said to be JSON", mend="send Content-Type: application/json")


def _demand_csrf(request: HttpRequest) -> None:
    if request.method in _SAFE:
        return
    _ = request.body  # read before Django looks for a form's token in it, which would leave nothing to read
    if check_csrf(request) is not None:
        raise RefusedError(
            403, "the CSRF token is missing or wrong", mend="programs use an API token instead of cookies"
        )
