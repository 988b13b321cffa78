"""Tokens of senders are made and revoked, and certificates noted; every act with its trail entry."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from hashlib import sha256

from django.db import transaction

from watchbill.core.errors import NotFoundError, WatchbillError
from watchbill.state.receivers.models import SenderToken
from watchbill.state.trail.actions import record

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:@-]{0,99}")
_FORMAT = re.compile(r"[0-9A-Za-z_.:-]{0,64}")


@transaction.atomic
def issue(name: str, *, by: str, at: int, form: str = "") -> tuple[int, str]:
    """Make a token for a source and return its id and the secret, which cannot be shown again."""
    if not _NAME.fullmatch(name):
        raise WatchbillError(
            f"{name!r} is no name for a source", mend="use letters, digits and -_.:@, at most 100, such as web-01"
        )
    if not _FORMAT.fullmatch(form):
        raise WatchbillError(f"{form!r} is no format", mend="use a parser's id such as nginx, or leave it out")
    secret = "wbp_" + secrets.token_urlsafe(32)
    row = SenderToken.objects.create(
        name=name, format=form, prefix=secret[:10], digest=sha256(secret.encode()).hexdigest(), created_by=by,
        created_at=at,
    )  # fmt: skip
    detail = {"name": name, "prefix": row.prefix, "format": form}
    record(by, "receiver.token.issue", "sender_token", str(row.pk), detail, at)
    return row.pk, secret


@transaction.atomic
def revoke(token_id: int, *, by: str, at: int) -> None:
    """End a token at once. Raises NotFoundError."""
    row = SenderToken.objects.filter(pk=token_id).first()
    if row is None:
        raise NotFoundError(f"there is no token {token_id}", mend="see: watchbill receivers token list")
    if row.revoked_at is None:
        row.revoked_at = at
        row.save(update_fields=["revoked_at"])
        detail = {"name": row.name, "prefix": row.prefix}
        record(by, "receiver.token.revoke", "sender_token", str(row.pk), detail, at)


def note_certificate(act: str, serial: str, detail: Mapping[str, str], *, by: str, at: int) -> None:
    """Put on the trail that a certificate was issued ("issue") or revoked ("revoke")."""
    record(by, f"receiver.certificate.{act}", "certificate", serial, detail, at)
