"""What delivers logs, and how well."""

from __future__ import annotations

from typing import Annotated

from ninja import Query
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.state.assets import actions, queries
from watchbill.state.assets.values import HourCount, SourceState, SourceView

topic = Topic("sources")

_NEVER, _AUTO = "never", "auto"


class SilentAfter(fields.Body):
    duration: Annotated[
        fields.Word, Field(description='"2h", "never", or "auto" to let the history of the source decide.')
    ]


@topic.get("/sources", needs="sources.read")
def list_sources(
    request: Request, text: fields.Word = "", state: Query[tuple[SourceState, ...]] = ()
) -> tuple[SourceView, ...]:  # fmt: skip
    """List sources with rate, delay, clock skew, parse failures and state."""
    words = text.lower().split()
    return tuple(
        one
        for one in queries.sources(now=now())
        if (not state or one.state in state)
        and all(word in f"{one.name} {one.transport} {one.format}".lower() for word in words)
    )


@topic.get("/sources/{source_id}", needs="sources.read")
def show_source(request: Request, source_id: fields.EventId) -> SourceView:
    """Show one source; its id is shard-number."""
    return queries.source(source_id, now=now())


@topic.get("/sources/{source_id}/hours", needs="sources.read")
def source_hours(
    request: Request, source_id: fields.EventId, days: Annotated[int, Field(ge=1, le=90)] = 7
) -> tuple[HourCount, ...]:  # fmt: skip
    """Count what a source sent in each of the last hours, oldest first."""
    return queries.source_hours(source_id, now=now(), days=days)


@topic.put("/sources/{source_id}/silent-after", needs="sources.write")
def set_silent_after(request: Request, source_id: fields.EventId, body: SilentAfter) -> SourceView:
    """Set the longest normal silence of a source."""
    at = now()
    known: dict[str, int | None] = {_NEVER: 0, _AUTO: None}
    length = known[body.duration] if body.duration in known else fields.length(body.duration)
    actions.set_silent_after(source_id, length, by=request.auth.email, at=at)
    return queries.source(source_id, now=at)
