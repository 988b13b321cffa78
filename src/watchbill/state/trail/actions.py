"""The only writer of the trail. Called by the actions of the other apps, inside their transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction

from watchbill.core import canonical
from watchbill.core.errors import ConflictError
from watchbill.state.trail.models import Entry
from watchbill.state.trail.values import Act


def record(actor: str, action: str, kind: str, object_id: str, detail: Mapping[str, Any], at: int) -> int:
    """Write one entry and return its id. Belongs into the transaction of the change that it tells of."""
    (entry,) = record_many([Act(actor, action, kind, object_id, dict(detail), at)])
    return entry


def record_many(acts: Iterable[Act]) -> list[int]:
    """Write many entries at once, in order, and return their ids."""
    rows = [
        Entry(
            at=act.at,
            actor=act.actor,
            action=act.action,
            kind=act.kind,
            object_id=act.object_id,
            detail=canonical.dumps(act.detail).decode(),
        )
        for act in acts
    ]
    return [row.pk for row in Entry.objects.bulk_create(rows, batch_size=500)]


@transaction.atomic
def mark_forwarded(ids: Sequence[int], shard: int, first_position: int) -> None:
    """Note that these entries stand in the ledger, one after the other from ``first_position`` of ``shard``."""
    rows = {row.pk: row for row in Entry.objects.filter(pk__in=ids, forwarded_position__isnull=True)}
    if len(rows) != len(set(ids)):
        raise ConflictError("some of these trail entries are not there or were forwarded before")
    for offset, pk in enumerate(ids):
        rows[pk].forwarded_shard = shard
        rows[pk].forwarded_position = first_position + offset
    Entry.objects.bulk_update(rows.values(), ["forwarded_shard", "forwarded_position"], batch_size=200)
