"""The trail: nothing in it is ever changed, and each entry is forwarded once."""

from __future__ import annotations

import json

import pytest
from django.db import DatabaseError, connection, transaction

from watchbill.core.errors import ConflictError
from watchbill.state.trail import actions, queries
from watchbill.state.trail.values import Act, TrailFilter

NOW = 1_772_600_000_000_000_000


def entry(action="alert.comment", at=NOW, actor="ana@example.com") -> int:
    return actions.record(actor, action, "alert", "A-1", {"comment": "ümlaut"}, at)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trail_entry SET actor = 'somebody else'",
        "UPDATE trail_entry SET at = at - 1",
        "UPDATE trail_entry SET detail = '{}', forwarded_position = 7",
        "DELETE FROM trail_entry",
    ],
)
def test_the_database_refuses_to_change_history(statement):
    """Not even SQL written by hand can change or delete an entry."""
    kept = entry()
    with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert queries.entry(kept).actor == "ana@example.com"


def test_emptying_the_table_is_refused(state):
    """PostgreSQL could empty a table without touching a row; that is refused too."""
    entry()
    statement = "TRUNCATE trail_entry" if state == "postgresql" else "DELETE FROM trail_entry WHERE 1"
    with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_outbox_gives_each_entry_once_and_in_order():
    """What is pending goes to the ledger oldest first, and a second forwarding is refused."""
    ids = [entry(at=NOW + step) for step in range(5)]
    assert [one.id for one in queries.pending()] == ids
    actions.mark_forwarded(ids[:3], 1, 40)
    assert [one.id for one in queries.pending()] == ids[3:]
    assert [(queries.entry(one).shard, queries.entry(one).position) for one in ids[:3]] == [(1, 40), (1, 41), (1, 42)]
    with pytest.raises(ConflictError):
        actions.mark_forwarded(ids[2:], 1, 50)


def test_forwarded_place_is_written_once():
    """Where an entry stands in the ledger cannot be rewritten either."""
    kept = entry()
    actions.mark_forwarded([kept], 1, 5)
    with pytest.raises(DatabaseError, match="never"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE trail_entry SET forwarded_position = 6")


def test_record_is_canonical_and_complete():
    """The ledger's line says who, what, when and on what."""
    found = json.loads(queries.entry(entry()).record())
    assert found.pop("entry") > 0
    assert found == {
        "watchbill": 1,
        "event": "alert.comment",
        "at": NOW,
        "actor": "ana@example.com",
        "object": {"kind": "alert", "id": "A-1"},
        "detail": {"comment": "ümlaut"},
    }


def test_rolled_back_change_leaves_no_entry():
    """An entry shares the fate of its change."""
    with transaction.atomic():
        entry()
        transaction.set_rollback(True)
    assert queries.pending_count() == 0


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (TrailFilter(action="alert."), 3),
        (TrailFilter(action="alert.open"), 1),
        (TrailFilter(actor="system"), 2),
        (TrailFilter(kind="asset"), 1),
        (TrailFilter(start=NOW + 2), 2),
        (TrailFilter(end=NOW + 2), 2),
        (TrailFilter(limit=3), 3),
        (TrailFilter(object_id="A-1", actor="ana@example.com"), 1),
    ],
)
def test_filters(wanted, count):
    """Each filter narrows the trail to what it says."""
    actions.record_many(
        [
            Act("system", "alert.open", "alert", "A-1", {}, NOW),
            Act("ana@example.com", "alert.comment", "alert", "A-1", {}, NOW + 1),
            Act("system", "alert.raise", "alert", "A-2", {}, NOW + 2),
            Act("admin@example.com", "asset.owner", "asset", "web-01", {}, NOW + 3),
        ]
    )
    assert len(queries.entries(wanted)) == count


def test_paging_goes_back_in_time():
    """With ``before`` one sees the whole trail in pages."""
    ids = [entry() for _ in range(5)]
    first = queries.entries(TrailFilter(limit=3))
    rest = queries.entries(TrailFilter(limit=3, before=first[-1].id))
    assert [one.id for one in (*first, *rest)] == ids[::-1]
