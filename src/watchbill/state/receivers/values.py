"""What the tokens of senders look like to others."""

from __future__ import annotations

import msgspec


class SenderTokenView(msgspec.Struct, frozen=True):
    """A token without its secret. ``format``: a parser's id, "": recognised by content."""

    id: int
    name: str
    format: str
    prefix: str
    created_by: str
    created_at: int
    revoked_at: int | None


class TokenDigest(msgspec.Struct, frozen=True):
    """What the receiving process has to know of a token that is good."""

    id: int
    name: str
    format: str
    digest: str
