"""Reads of what is known of copies."""

from __future__ import annotations

import json

from watchbill.core.errors import NotFoundError
from watchbill.state import secrets
from watchbill.state.copies.models import Copy
from watchbill.state.copies.values import CopyView


def copies() -> tuple[CopyView, ...]:
    """All copies by name."""
    return tuple(_view(row) for row in Copy.objects.order_by("name"))


def copy(name: str) -> CopyView:
    """One copy. Raises NotFoundError."""
    return _view(_row(name))


def whole_config(name: str) -> dict[str, str]:
    """The configuration with its secrets, for opening the place. Never to be shown or logged."""
    row = _row(name)
    found: dict[str, str] = json.loads(secrets.unseal(row.sealed)) if row.sealed else {}
    config: dict[str, str] = row.config
    return config | found


def _row(name: str) -> Copy:
    row = Copy.objects.filter(name=name).first()
    if row is None:
        raise NotFoundError(f"there is no copy {name!r}", mend="see the list: watchbill copies")
    return row


def _view(row: Copy) -> CopyView:
    return CopyView(
        row.name, row.kind, row.config, tuple(row.secret_fields), row.added_by, row.added_at, row.copied_at, row.upto,
        row.behind_since, row.verified_at, row.error,
    )  # fmt: skip
