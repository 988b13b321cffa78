"""Keeping the counts beside the alerts, so that a page never counts a million rows. Called by actions only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection
from django.db.models import Count

from watchbill.state.alerts.models import Alert, Tally

# Django's own upsert can replace a value and cannot add to it. SQLite and PostgreSQL spell this the same.
_ADD = """
    INSERT INTO alerts_tally (dimension, value, status, severity, count) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (dimension, value, status, severity) DO UPDATE SET count = alerts_tally.count + excluded.count
"""


class Cell(NamedTuple):
    rule: str
    host: str
    status: str
    severity: int


def cell(row: Alert) -> Cell:
    return Cell(row.rule, row.host, row.status, row.severity)


def move(away: Iterable[Cell], to: Iterable[Cell]) -> None:
    """Count alerts out of their old cells and into their new ones."""
    changes: Counter[tuple[str, str, str, int]] = Counter()
    for cells, step in ((away, -1), (to, 1)):
        for one in cells:
            changes["rule", one.rule, one.status, one.severity] += step
            changes["host", one.host, one.status, one.severity] += step
    # Sorted, so that two writers on PostgreSQL lock the rows in the same order.
    rows = [(*key, count) for key, count in sorted(changes.items()) if count]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(_ADD, rows)


def recount() -> None:
    """Count everything anew from the alerts."""
    Tally.objects.all().delete()
    for dimension in ("rule", "host"):
        cells = Alert.objects.values(dimension, "status", "severity").annotate(n=Count("pk")).order_by()
        Tally.objects.bulk_create(
            [
                Tally(
                    dimension=dimension, value=one[dimension], status=one["status"], severity=one["severity"],
                    count=one["n"],
                )
                for one in cells
            ],
            batch_size=150,
        )  # fmt: skip
