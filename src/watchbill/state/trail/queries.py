"""Reading the trail."""

from __future__ import annotations

import msgspec
from django.db.models import QuerySet

from watchbill.state.trail import models
from watchbill.state.trail.values import Entry, TrailFilter


def entries(wanted: TrailFilter | None = None) -> tuple[Entry, ...]:
    """The newest entries first, at most ``limit``; page on with ``before`` = the last one's id."""
    wanted = wanted or TrailFilter()
    rows = _matching(wanted).order_by("-id")[: wanted.limit]
    return tuple(_entry(row) for row in rows)


def entry(entry_id: int) -> Entry | None:
    row = models.Entry.objects.filter(pk=entry_id).first()
    return _entry(row) if row else None


def about(kind: str, object_id: str, limit: int = 200) -> tuple[Entry, ...]:
    """Everything that was done to one thing, newest first."""
    return entries(TrailFilter(kind=kind, object_id=object_id, limit=limit))


def pending(limit: int = 500) -> tuple[Entry, ...]:
    """What still has to go to the ledger, oldest first."""
    rows = models.Entry.objects.filter(forwarded_position__isnull=True).order_by("id")[:limit]
    return tuple(_entry(row) for row in rows)


def pending_count() -> int:
    return models.Entry.objects.filter(forwarded_position__isnull=True).count()


def _matching(wanted: TrailFilter) -> QuerySet[models.Entry]:
    rows = models.Entry.objects.all()
    for field in ("actor", "kind", "object_id"):
        if value := getattr(wanted, field):
            rows = rows.filter(**{field: value})
    if wanted.action.endswith("."):
        rows = rows.filter(action__gte=wanted.action, action__lt=wanted.action[:-1] + "/")
    elif wanted.action:
        rows = rows.filter(action=wanted.action)
    if wanted.start is not None:
        rows = rows.filter(at__gte=wanted.start)
    if wanted.end is not None:
        rows = rows.filter(at__lt=wanted.end)
    if wanted.before is not None:
        rows = rows.filter(pk__lt=wanted.before)
    return rows


def _entry(row: models.Entry) -> Entry:
    return Entry(
        id=row.pk,
        at=row.at,
        actor=row.actor,
        action=row.action,
        kind=row.kind,
        object_id=row.object_id,
        detail=msgspec.json.decode(row.detail),
        shard=row.forwarded_shard,
        position=row.forwarded_position,
    )
