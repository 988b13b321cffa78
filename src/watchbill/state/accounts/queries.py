"""Reading people and their access."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from allauth.mfa.models import Authenticator

from watchbill.core.errors import NotFoundError
from watchbill.core.times import from_datetime
from watchbill.core.values import Role
from watchbill.state.accounts.models import ApiToken, SetupLink, User
from watchbill.state.accounts.permissions import CAPABILITIES, capped, demand, may
from watchbill.state.accounts.values import Link, TokenOwner, TokenView, UserView

__all__ = [
    "CAPABILITIES",
    "assignees",
    "demand",
    "has_administrator",
    "may",
    "setup_link",
    "tokens",
    "user",
    "user_by_token",
    "users",
]


def users() -> tuple[UserView, ...]:
    """Everybody, active ones first, by address."""
    return _views(User.objects.order_by("-is_active", "email"))


def user(email: str) -> UserView:
    """Raises NotFoundError."""
    found = _views(User.objects.filter(email=email.strip().lower()))
    if not found:
        raise NotFoundError(f"there is no user {email}")
    return found[0]


def assignees() -> tuple[UserView, ...]:
    """Active people who may act on alerts."""
    roles = CAPABILITIES["alerts.act"]
    return _views(User.objects.filter(is_active=True, role__in=roles).order_by("email"))


def has_administrator() -> bool:
    return User.objects.filter(role=Role.ADMINISTRATOR, is_active=True).exists()


def user_by_token(token: str, at: int) -> TokenOwner | None:
    """Who this API token belongs to; None if it is unknown, revoked or expired, or its owner is not active."""
    if not token.startswith("wb_"):
        return None
    digest = hashlib.sha256(token.encode()).hexdigest()
    row = ApiToken.objects.select_related("user").filter(digest=digest, revoked_at=None, user__is_active=True).first()
    if row is None or (row.expires_at is not None and row.expires_at <= at):
        return None
    role = capped(Role(row.role), Role(row.user.role))
    return TokenOwner(row.user.pk, row.user.email, role, row.pk, row.name)


def tokens(email: str | None = None) -> tuple[TokenView, ...]:
    """Tokens of one user or of everybody, newest first, revoked ones too."""
    rows = ApiToken.objects.select_related("user").order_by("-pk")
    if email is not None:
        rows = rows.filter(user__email=email.strip().lower())
    return tuple(
        TokenView(
            row.pk, row.user.email, row.name, row.prefix, Role(row.role), row.created_at, row.expires_at,
            row.last_used_at, row.revoked_at,
        )
        for row in rows
    )  # fmt: skip


def setup_link(secret: str, at: int) -> Link | None:
    """What an unused setup link is good for; None if it is not valid (any more)."""
    digest = hashlib.sha256(secret.encode()).hexdigest()
    row = SetupLink.objects.filter(digest=digest, used_at=None, expires_at__gt=at).first()
    return Link(Role(row.role), row.email, row.expires_at) if row else None


def _views(rows: Iterable[User]) -> tuple[UserView, ...]:
    factors: defaultdict[int, set[str]] = defaultdict(set)
    for user_id, kind in Authenticator.objects.values_list("user_id", "type"):
        factors[user_id].add(kind)
    return tuple(
        UserView(
            id=row.pk,
            email=row.email,
            name=row.name,
            role=Role(row.role),
            is_active=row.is_active,
            created_at=row.created_at,
            last_sign_in=from_datetime(row.last_login) if row.last_login else None,
            mfa=tuple(sorted(factors[row.pk])),
        )
        for row in rows
    )
