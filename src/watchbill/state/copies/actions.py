"""The only writer of what is known of copies. Secrets are sealed and never shown again."""

from __future__ import annotations

import json
from collections.abc import Mapping

from django.db import transaction

from watchbill.core.clock import MINUTE
from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.state import secrets
from watchbill.state.copies.models import Copy
from watchbill.state.trail.actions import record
from watchbill.state.trail.values import SYSTEM

#: A copy that does not hold what is older than this is behind, and that is told.
BEHIND = 15 * MINUTE


@transaction.atomic
def add_copy(name: str, kind: str, config: Mapping[str, str], secret: Mapping[str, str], *, by: str, at: int) -> None:
    """Add a place for a second copy."""
    name = name.strip()
    if not name or len(name) > 80:
        raise WatchbillError("a copy needs a name of at most 80 characters")
    if Copy.objects.filter(name=name).exists():
        raise ConflictError(f"there is a copy {name!r} already", mend="choose another name, or remove that one")
    sealed = secrets.seal(json.dumps(dict(secret))) if secret else ""
    Copy.objects.create(
        name=name, kind=kind, config=dict(config), sealed=sealed, secret_fields=sorted(secret), added_by=by, added_at=at
    )
    record(by, "copy.add", "copy", name, {"kind": kind, **config}, at)


@transaction.atomic
def remove_copy(name: str, *, by: str, at: int) -> None:
    """Copy no more to a place; what lies there stays."""
    row = _copy(name)
    row.delete()
    record(by, "copy.remove", "copy", name, {"kind": row.kind}, at)


@transaction.atomic
def note_copied(name: str, upto: Mapping[int, int], behind_since: int, at: int) -> None:
    """Note how far a copy has come; tells once when it has fallen behind, and once when it has caught up."""
    row = _copy(name)
    row.copied_at, row.error, row.behind_since = at, "", behind_since
    row.upto = {str(shard): position for shard, position in upto.items()}
    _tell(row, at)
    row.save()


@transaction.atomic
def note_failed(name: str, error: str, *, behind_since: int, at: int, damage: bool = False) -> None:
    """Note why nothing could be copied. ``damage``: the ledger or the copy is not as it was written, told at once."""
    row = _copy(name)
    fresh = row.error != error[:500]
    row.error, row.behind_since = error[:500], row.behind_since or behind_since or at
    if damage and fresh:
        record(SYSTEM, "copy.damaged", "copy", name, {"error": row.error}, at)
    _tell(row, at)
    row.save()


@transaction.atomic
def note_verified(name: str, *, events: int, error: str, by: str, at: int) -> None:
    """Note what a verification of the copy found; ``error`` "" when all of it is as it was signed."""
    row = _copy(name)
    row.verified_at, row.error = at, error[:500]
    row.save(update_fields=["verified_at", "error"])
    detail: dict[str, object] = {"events": events} | ({"error": row.error} if error else {})
    record(by, "copy.damaged" if error else "copy.verified", "copy", name, detail, at)


def _tell(row: Copy, at: int) -> None:
    late = row.behind_since and at - row.behind_since > BEHIND
    if late and not row.told_at:
        row.told_at = at
        record(SYSTEM, "copy.behind", "copy", row.name, {"since": row.behind_since, "error": row.error}, at)
    elif row.told_at and not row.behind_since:
        row.told_at = 0
        record(SYSTEM, "copy.caught_up", "copy", row.name, {}, at)


def _copy(name: str) -> Copy:
    row = Copy.objects.select_for_update().filter(name=name).first()
    if row is None:
        raise NotFoundError(f"there is no copy {name!r}", mend="see the list: watchbill copies")
    return row
