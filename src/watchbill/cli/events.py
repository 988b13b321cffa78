"""``watchbill events``: search events at rest. Needs no running server."""

from __future__ import annotations

import json
import sys

import click

from watchbill.cli.options import (
    Topic,
    installed,
    json_option,
    moment,
    print_facts,
    print_json,
    print_table,
    range_option,
)
from watchbill.core.errors import NotFoundError, QueryError
from watchbill.core.paths import DataDir

_query = click.argument("query", nargs=-1)


@click.group(cls=Topic, usual="search", takes_words=True)
def events() -> None:
    """Search events."""


@events.command()
@_query
@range_option("last 24h")
@click.option("--limit", default=100, show_default=True)
@click.option("--oldest-first", is_flag=True)
@installed
@json_option
def search(
    data: DataDir, query: tuple[str, ...], within: tuple[int, int], limit: int, *, oldest_first: bool, as_json: bool
) -> None:
    """Find events, the newest first.

    QUERY: words and "quoted phrases" of the message, field:value, field:val*, src_ip:192.0.2.0/24, status:failure,
    rule:NAME, is:quarantined, -not, OR, (parentheses). docs/search.md has all of it.
    """
    from watchbill.lake import Lake

    found = Lake(data.lake).search(" ".join(query), *within, limit=limit, oldest_first=oldest_first)
    if as_json:
        print_json({"id": row.id, "class_uid": row.class_uid, **_hot(row)} for row in found.rows)
        return
    print_table(
        ("Time", "Host", "Source", "Id", "Message"),
        [(moment(row.time), row.host, row.parser, row.id, (row.flaw and f"[{row.flaw}] {row.message}") or row.message) for row in found.rows],
        empty="Nothing matches. Widen --range, or ask for less.",
        note=f"{len(found.rows)} of {found.total} in {found.took:.2f} s",
    )  # fmt: skip


@events.command()
@click.argument("event_id", metavar="EVENT")
@installed
@json_option
def show(data: DataDir, event_id: str, *, as_json: bool) -> None:
    """Show one event (its id is SHARD-POSITION): the OCSF event and the raw record from the ledger."""
    from watchbill.lake import Lake
    from watchbill.ledger import Reader

    shard, _, position = event_id.partition("-")
    if not (shard.isdigit() and position.isdigit()):
        raise QueryError(f"{event_id!r} is no event id", mend="an event is named like 0-4711")
    row = Lake(data.lake).get(int(shard), int(position))
    if row is None:
        raise NotFoundError(f"there is no event {event_id} at rest", mend="it may wait for the lake: try again in 2 s")
    raw = Reader(data.ledger, int(shard)).get(int(position)).raw
    if as_json:
        print_json([{"id": row.id, **_hot(row), "ocsf": row.ocsf, "raw": raw.decode("utf-8", "backslashreplace")}])
        return
    print_facts({
        "Event": row.id, "Time": moment(row.time), "Received": moment(row.received), "Host": row.host,
        "Source": f"{row.source} ({row.parser})", "Flaw": row.flaw or "none", "Rules": ", ".join(row.rules) or "none",
        "OCSF": json.dumps(row.ocsf, indent=1, ensure_ascii=False), "Raw": raw.decode("utf-8", "backslashreplace"),
    })  # fmt: skip


@events.command()
@_query
@range_option("last 24h")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True)
@installed
def export(data: DataDir, query: tuple[str, ...], within: tuple[int, int], form: str) -> None:
    """Write every event that matches to standard output, as lines of JSON or CSV."""
    from watchbill.lake import Lake

    for part in Lake(data.lake).export(" ".join(query), *within, form):
        sys.stdout.buffer.write(part)


def _hot(row: object) -> dict[str, object]:
    names = ("time", "received", "host", "source", "parser", "message", "flaw", "rules", "ocsf")
    return {name: getattr(row, name) for name in names}
