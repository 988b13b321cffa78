"""Counting what was judged. No trail entries: this is bookkeeping, not anybody's act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.db import connection, transaction
from django.db.models import Sum

from watchbill.state.coverage.models import JudgedKind, JudgedSource, Reconciliation, RuleEdition
from watchbill.state.coverage.values import KindCount, Route

# Django's own upsert can replace a value and cannot add to it. SQLite and PostgreSQL spell this the same.
_ADD_SOURCE = """
    INSERT INTO coverage_judgedsource (shard, source, events, quarantined) VALUES (%s, %s, %s, %s)
    ON CONFLICT (shard, source) DO UPDATE SET
        events = coverage_judgedsource.events + excluded.events,
        quarantined = coverage_judgedsource.quarantined + excluded.quarantined
"""
_ADD_KIND = """
    INSERT INTO coverage_judgedkind
        (shard, edition_id, hour, product, service, category, class_uid, events, quarantined)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (hour, shard, edition_id, product, service, category, class_uid) DO UPDATE SET
        events = coverage_judgedkind.events + excluded.events,
        quarantined = coverage_judgedkind.quarantined + excluded.quarantined
"""


def begin(shard: int, position: int) -> None:
    """Count from this position on, unless that began before."""
    values = {"since": position, "sealed": position, "position": position}
    Reconciliation.objects.get_or_create(shard=shard, defaults=values)


def use_rules(digest: str, rules: Mapping[str, tuple[str, Sequence[Route]]], at: int) -> int:
    """Note by which rules (name: version and routes) it is judged from now on; returns the edition's number."""
    edition, _ = RuleEdition.objects.get_or_create(digest=digest, defaults={"since": at, "rules": dict(rules)})
    return edition.pk


def count(shard: int, edition: int, sources: Iterable[tuple[int, int, int]], kinds: Iterable[KindCount]) -> None:
    """Add what was judged: (source, records, quarantined) and events by kind. Call it inside the transaction that
    stores the position.
    """
    # Sorted, so that two writers on PostgreSQL lock the rows in the same order.
    with connection.cursor() as cursor:
        cursor.executemany(_ADD_SOURCE, [(shard, *source) for source in sorted(sources)])
        cursor.executemany(_ADD_KIND, [(shard, edition, *_fitting(kind)) for kind in sorted(kinds)])


def _fitting(kind: KindCount) -> KindCount:
    return kind._replace(product=kind.product[:64], service=kind.service[:64], category=kind.category[:64])


def compared(
    shard: int, *, entry: int, sealed: int, records: Mapping[str, int], position: int, known: Mapping[str, int], at: int
) -> None:
    """Store how far the ledger's own counts were read, and what came of comparing them."""
    Reconciliation.objects.filter(shard=shard).update(
        entry=entry, sealed=sealed, records=dict(records), position=position, known=dict(known), at=at
    )


@transaction.atomic
def fold_hours(before: int) -> int:
    """Put the counts of hours before a time together, under hour 0; returns how many rows went."""
    old = JudgedKind.objects.filter(hour__gt=0, hour__lt=before)
    fields = ("shard", "edition_id", "product", "service", "category", "class_uid")
    sums = old.values_list(*fields).annotate(Sum("events"), Sum("quarantined"))
    rows = [(shard, edition, 0, *rest) for shard, edition, *rest in sums]
    with connection.cursor() as cursor:
        cursor.executemany(_ADD_KIND, rows)
    return old.delete()[0]


@transaction.atomic
def forget() -> None:
    """Begin to count anew, because everything is judged anew."""
    for model in (JudgedKind, JudgedSource, Reconciliation):
        model.objects.all().delete()
