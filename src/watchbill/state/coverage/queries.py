"""What was judged, by which rules, and how that stands to the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Sum

from watchbill.core.clock import HOUR
from watchbill.state.coverage.models import JudgedKind, JudgedSource, Reconciliation, RuleEdition
from watchbill.state.coverage.values import Counts, Edition, KindCount


@contextmanager
def snapshot() -> Iterator[None]:
    """All that is read inside is of one moment."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def counts(shard: int) -> Counts | None:
    """What was counted of a shard; None before an engine has begun with it. Read it within a ``snapshot``."""
    row = Reconciliation.objects.filter(shard=shard).first()
    if row is None:
        return None
    sources = JudgedSource.objects.filter(shard=shard).values_list("source", "events", "quarantined")
    by_kind = JudgedKind.objects.filter(shard=shard).aggregate(total=Sum("events"))["total"]
    return Counts(
        shard=shard, since=row.since, judged={source: (events, bad) for source, events, bad in sources},
        by_kind=int(by_kind or 0), entry=row.entry, sealed=row.sealed, records=row.records, known=row.known,
        position=row.position, at=row.at,
    )  # fmt: skip


def all_counts() -> list[Counts]:
    """What was counted of each shard."""
    with snapshot():
        shards = Reconciliation.objects.order_by("shard").values_list("shard", flat=True)
        return [found for shard in shards if (found := counts(shard))]


def kinds(start: int, end: int) -> dict[str, list[KindCount]]:
    """The events received in [start, end), to the hour, by kind; for each edition of the rules (its digest)."""
    fields = ("edition__digest", "product", "service", "category", "class_uid")
    rows = (
        JudgedKind.objects.filter(hour__gt=start - HOUR, hour__lt=end)
        .values_list(*fields)
        .annotate(Sum("events"), Sum("quarantined"))
    )
    found: dict[str, list[KindCount]] = {}
    for digest, product, service, category, class_uid, events, quarantined in rows:
        kind = KindCount(0, product, service, category, class_uid, int(events), int(quarantined))
        found.setdefault(digest, []).append(kind)
    return found


def editions(digests: list[str]) -> dict[str, Edition]:
    """These editions of the rules, by digest."""
    return {
        row.digest: Edition(
            row.digest,
            row.since,
            {name: (version, tuple(tuple(route) for route in routes)) for name, (version, routes) in row.rules.items()},
        )
        for row in RuleEdition.objects.filter(digest__in=digests)
    }
