"""Events at rest: search, count, show, hand out."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from ninja import Query, Schema
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request
from watchbill.api.files import File, file
from watchbill.api.operation import Topic
from watchbill.core.errors import LedgerError, NotFoundError
from watchbill.flows import installation
from watchbill.lake import Row
from watchbill.lake.results import Facets, Histogram
from watchbill.ledger import Reader, StoredRecord

topic = Topic("events")


class Form(StrEnum):
    JSON = "json"
    CSV = "csv"


class Asked(Schema):
    q: Annotated[
        str,
        Field(max_length=4000, description='Words, "phrases", field:value, -not, OR, (…): see docs/search.md.'),
    ] = ""
    range: fields.Range = "last 24h"


class Event(msgspec.Struct, frozen=True):
    """An event at rest. ``ocsf`` is flat (dotted path to value), its own times in milliseconds as OCSF has them."""

    id: str
    time: int
    received: int
    host: str
    source: str
    parser: str
    class_uid: int
    message: str
    flaw: str
    rules: tuple[str, ...]
    ocsf: dict[str, Any]


class EventPage(msgspec.Struct, frozen=True):
    """``total`` is exact when ``exact``, else there are at least that many. When the search took too long, ``reached``
    is the time up to which everything was looked at, and ``next`` goes on from there.
    """

    items: tuple[Event, ...]
    total: int
    exact: bool
    next: str
    took: float
    reached: int | None


@topic.get("/events", needs="events.read")
def search_events(
    request: Request, asked: Query[Asked], cursor: fields.Cursor = "", limit: fields.Limit = 100,
    oldest_first: bool = False,
) -> EventPage:  # fmt: skip
    """Find events, the newest first. Page on with `cursor` = the page's `next`, until that is empty."""
    start, end = fields.within(asked.range)
    found = installation.lake().search(asked.q, start, end, limit=limit, cursor=cursor, oldest_first=oldest_first)
    items = tuple(_event(row) for row in found.rows)
    return EventPage(items, found.total.count, found.total.exact, found.cursor, found.took, found.reached)


@topic.get("/events/histogram", needs="events.read")
def event_histogram(request: Request, asked: Query[Asked], buckets: fields.Buckets = 60) -> Histogram:
    """Count events over time, in equal parts of the range that has events."""
    return installation.lake().histogram(asked.q, *fields.within(asked.range), buckets)


@topic.get("/events/facets", needs="events.read")
def event_facets(
    request: Request, asked: Query[Asked], top: Annotated[int, Field(ge=1, le=100)] = 10
) -> Facets:  # fmt: skip
    """Name the most frequent hosts, users, source addresses, classes and rules of the matches."""
    return installation.lake().facets(asked.q, *fields.within(asked.range), top=top)


@topic.get("/events/export", needs="events.raw")
def export_events(request: Request, asked: Query[Asked], format: Form = Form.JSON) -> File:
    """Hand out every event that matches as lines of JSON or CSV, streamed."""
    pieces = installation.lake().export(asked.q, *fields.within(asked.range), format.value)
    if format is Form.CSV:
        return file(request, pieces, "text/csv; charset=utf-8", "events.csv")
    return file(request, pieces, "application/x-ndjson", "events.jsonl")


@topic.get("/events/{event_id}", needs="events.read")
def show_event(request: Request, event_id: fields.EventId) -> Event:
    """Show one event whole. Its raw record has an address of its own."""
    row = installation.lake().get(*fields.place(event_id))
    if row is None:
        raise NotFoundError(
            f"there is no event {event_id} at rest", mend="a new one comes to rest within 2 s; an old one may be gone"
        )
    return _event(row)


@topic.get("/events/{event_id}/raw", needs="events.raw")
def raw_event(request: Request, event_id: fields.EventId) -> File:
    """Hand out the record's bytes exactly as they arrived."""
    record = stored(event_id)
    return file(request, [record.raw], "application/octet-stream", f"{event_id}.log", size=len(record.raw))


def stored(event_id: str) -> StoredRecord:
    """A record of the ledger. Raises NotFoundError."""
    shard, position = fields.place(event_id)
    reader = Reader(installation.data().ledger, shard)
    try:
        return reader.get(position)
    except (NotFoundError, LedgerError, OSError) as error:
        raise NotFoundError(f"the ledger has no record {event_id}", mend="see what it holds: /api/v1/ledger") from error
    finally:
        reader.close()


def _event(row: Row) -> Event:
    return Event(
        row.id, row.time, row.received, row.host, row.source, row.parser, row.class_uid, row.message, row.flaw,
        row.rules, row.ocsf,
    )  # fmt: skip
