"""Everything that changes people and their access. Times are UTC nanoseconds; ``by`` is the actor's e-mail address."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from watchbill.core.clock import DAY, MINUTE
from watchbill.core.errors import ConflictError, DeniedError, NotFoundError, WatchbillError
from watchbill.core.times import rfc3339
from watchbill.core.values import Role
from watchbill.state.accounts.models import ApiToken, SetupLink, User
from watchbill.state.accounts.permissions import includes
from watchbill.state.trail.actions import record
from watchbill.state.trail.values import SYSTEM

_TOKEN_USE_COARSENESS = 5 * MINUTE


@transaction.atomic
def create_user(
    email: str, *, role: Role, at: int, by: str = SYSTEM, name: str = "", password: str | None = None
) -> int:
    """Make a user and return the id. Without a password they can only come in by a setup link's password.

    Raises ConflictError for an address that is taken, WatchbillError for one that is none or a weak password.
    """
    email = _address(email)
    if User.objects.filter(email=email).exists():
        raise ConflictError(f"there is a user {email} already", mend="change that user's role, or use another address")
    user = User(email=email, name=name.strip(), role=role, created_at=at)
    if password is None:
        user.set_unusable_password()
    else:
        _set_password(user, password)
    user.save()
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    record(by, "user.create", "user", email, {"role": role.value, "name": user.name}, at)
    return user.pk


@transaction.atomic
def set_role(email: str, role: Role, *, by: str, at: int) -> None:
    """Give somebody another role. Raises ConflictError if that would leave no administrator."""
    user = _user(email)
    if user.role == role:
        return
    if role is not Role.ADMINISTRATOR:
        _keep_an_administrator(user)
    before, user.role = user.role, role
    user.save(update_fields=["role"])
    record(by, "user.role", "user", user.email, {"from": before, "to": role.value}, at)


@transaction.atomic
def deactivate(email: str, *, by: str, at: int) -> None:
    """Shut somebody out: sessions and tokens end at once. Raises ConflictError for the last administrator."""
    user = _user(email)
    if not user.is_active:
        return
    _keep_an_administrator(user)
    user.is_active = False
    user.save(update_fields=["is_active"])
    revoked = user.tokens.filter(revoked_at=None).update(revoked_at=at)
    record(by, "user.deactivate", "user", user.email, {"tokens_revoked": revoked}, at)


@transaction.atomic
def activate(email: str, *, by: str, at: int) -> None:
    """Let somebody in again. Their tokens stay revoked."""
    user = _user(email)
    if not user.is_active:
        user.is_active = True
        user.save(update_fields=["is_active"])
        record(by, "user.activate", "user", user.email, {}, at)


@transaction.atomic
def set_password(email: str, password: str, *, by: str, at: int) -> None:
    """Set a password; all sessions of that user end."""
    user = _user(email)
    _set_password(user, password)
    user.save(update_fields=["password"])
    record(by, "user.password", "user", user.email, {}, at)


@transaction.atomic
def issue_token(
    email: str, *, name: str, by: str, at: int, role: Role | None = None, expires_at: int | None = None
) -> str:
    """Make an API token and return it; it cannot be shown again. ``role`` is at most the user's own (the default)."""
    user = _user(email)
    role = role or Role(user.role)
    if not user.is_active:
        raise ConflictError(f"{user.email} is not active", mend="activate the user first")
    if not includes(Role(user.role), role):
        raise DeniedError(f"a token of {user.email} cannot have the role {role.value}", mend=f"at most {user.role}")
    if expires_at is not None and expires_at <= at:
        raise WatchbillError("the token would be expired already", mend="choose a moment to come")
    token = "wb_" + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user, name=name.strip() or "token", prefix=token[:9], digest=_digest(token), role=role, created_at=at,
        expires_at=expires_at,
    )  # fmt: skip
    detail = {
        "user": user.email,
        "name": row.name,
        "role": role.value,
        "prefix": row.prefix,
        "expires": _spelled(expires_at),
    }
    record(by, "token.issue", "token", str(row.pk), detail, at)
    return token


@transaction.atomic
def revoke_token(token_id: int, *, by: str, at: int, owner: str | None = None) -> None:
    """End a token. With ``owner`` only that user's tokens can be named. Raises NotFoundError."""
    row = ApiToken.objects.select_related("user").filter(pk=token_id).first()
    if row is None or (owner is not None and row.user.email != owner.lower()):
        raise NotFoundError(f"there is no token {token_id}")
    if row.revoked_at is None:
        row.revoked_at = at
        row.save(update_fields=["revoked_at"])
        record(by, "token.revoke", "token", str(row.pk), {"user": row.user.email, "prefix": row.prefix}, at)


def note_token_use(token_id: int, at: int) -> None:
    """Remember that a token was used; coarse, so that an API call costs no write each time."""
    ApiToken.objects.filter(pk=token_id).exclude(last_used_at__gt=at - _TOKEN_USE_COARSENESS).update(last_used_at=at)


@transaction.atomic
def make_setup_link(
    *, at: int, role: Role = Role.ADMINISTRATOR, email: str = "", by: str = SYSTEM, valid_for: int = DAY
) -> str:
    """Return a one-time secret for ``/setup/<secret>/``: whoever opens it becomes a user with this role.

    A newer link for the same role and address takes the place of an unused older one.
    """
    email = _address(email) if email else ""
    SetupLink.objects.filter(role=role, email=email, used_at=None).delete()
    secret = secrets.token_urlsafe(24)
    SetupLink.objects.create(
        digest=_digest(secret), role=role, email=email, created_by=by, created_at=at, expires_at=at + valid_for
    )
    detail = {"role": role.value, "email": email, "expires": rfc3339(at + valid_for)}
    record(by, "user.invite", "user", email or "*", detail, at)
    return secret


@transaction.atomic
def use_setup_link(secret: str, email: str, password: str, *, at: int, name: str = "") -> int:
    """Become a user by a setup link; returns the user's id. A user who is there already gets role and password.

    Raises DeniedError for a link that is unknown, used or too old, or was made for somebody else.
    """
    link = SetupLink.objects.select_for_update().filter(digest=_digest(secret), used_at=None, expires_at__gt=at).first()
    if link is None:
        raise DeniedError("this link is not valid (any more)", mend="ask for a new one: watchbill users invite")
    email = _address(email)
    if link.email and link.email != email:
        raise DeniedError("this link was made for another address", mend="use the address that was invited")
    user = User.objects.filter(email=email).first()
    if user is None:
        user_id = create_user(email, role=Role(link.role), at=at, by=email, name=name, password=password)
    elif not link.email:
        raise ConflictError(f"there is a user {email} already", mend="sign in, or choose another address")
    else:
        set_password(email, password, by=email, at=at)
        user_id = user.pk
    link.used_at = at
    link.save(update_fields=["used_at"])
    record(email, "user.setup", "user", email, {"role": link.role}, at)
    return user_id


@transaction.atomic
def signed_in(email: str, *, ip: str, at: int) -> None:
    """Record that somebody signed in (Django itself notes the time at the user)."""
    User.objects.filter(email=email).update(last_login=datetime.fromtimestamp(at / 1e9, UTC))
    record(email, "sign_in", "user", email, {"ip": ip}, at)


def sign_in_failed(email: str, *, ip: str, at: int) -> None:
    """Record that somebody tried to sign in as ``email`` (who may not exist) and could not."""
    email = email.strip().lower()[:254]
    record(email or "unknown", "sign_in.failed", "user", email or "unknown", {"ip": ip}, at)


def signed_out(email: str, *, ip: str, at: int) -> None:
    record(email, "sign_out", "user", email, {"ip": ip}, at)


def _user(email: str) -> User:
    user = User.objects.select_for_update().filter(email=email.strip().lower()).first()
    if user is None:
        raise NotFoundError(f"there is no user {email}")
    return user


def _address(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise WatchbillError(f"{email!r} is no e-mail address", mend="write it as name@example.com") from None
    return email


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WatchbillError(" ".join(error.messages), mend="choose a longer, less common password") from None
    user.set_password(password)


def _keep_an_administrator(user: User) -> None:
    """Locks all administrators, so that two of them cannot remove each other at the same moment."""
    if user.role != Role.ADMINISTRATOR or not user.is_active:
        return
    active = User.objects.select_for_update().filter(role=Role.ADMINISTRATOR, is_active=True)
    if all(other.pk == user.pk for other in active):
        raise ConflictError(f"{user.email} is the last administrator", mend="make somebody else an administrator first")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _spelled(at: int | None) -> str:
    return rfc3339(at) if at is not None else "never"
