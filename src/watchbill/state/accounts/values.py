"""What accounts give to others."""

from __future__ import annotations

import msgspec

from watchbill.core.values import Role


class UserView(msgspec.Struct, frozen=True):
    id: int
    email: str
    name: str
    role: Role
    is_active: bool
    created_at: int
    #: Django's own clock, as UTC nanoseconds; None for never.
    last_sign_in: int | None = None
    #: Kinds of second factors that are set up: "totp", "webauthn", "recovery_codes".
    mfa: tuple[str, ...] = ()


class TokenView(msgspec.Struct, frozen=True):
    id: int
    user: str
    name: str
    prefix: str
    role: Role
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None


class TokenOwner(msgspec.Struct, frozen=True):
    """Who calls with a token: ``role`` is the token's, capped by the owner's role of now."""

    user_id: int
    email: str
    role: Role
    token_id: int
    token_name: str


class Link(msgspec.Struct, frozen=True):
    role: Role
    email: str
    expires_at: int
