"""Who may push."""

from __future__ import annotations

from watchbill.state.receivers.models import SenderToken
from watchbill.state.receivers.values import SenderTokenView, TokenDigest


def tokens() -> tuple[SenderTokenView, ...]:
    """All tokens, the newest first, revoked ones too."""
    return tuple(
        SenderTokenView(row.pk, row.name, row.format, row.prefix, row.created_by, row.created_at, row.revoked_at)
        for row in SenderToken.objects.order_by("-pk")
    )


def good() -> tuple[TokenDigest, ...]:
    """The tokens that open something."""
    rows = SenderToken.objects.filter(revoked_at=None).order_by("pk")
    return tuple(TokenDigest(row.pk, row.name, row.format, row.digest) for row in rows)
