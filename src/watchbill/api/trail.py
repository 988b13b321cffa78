"""Who did what, when."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request
from watchbill.api.operation import Topic
from watchbill.state.trail import queries
from watchbill.state.trail.values import Entry, TrailFilter

topic = Topic("trail")


class TrailPage(msgspec.Struct, frozen=True):
    """``next`` is what `before` wants for the page that follows; null on the last one."""

    items: tuple[Entry, ...]
    next: int | None


@topic.get("/trail", needs="trail.read")
def list_trail(
    request: Request,
    actor: fields.Word = "",
    action: Annotated[fields.Word, Field(description='An action; one that ends in a dot is a family ("alert.").')] = "",
    object: Annotated[fields.Word, Field(description="What was acted on, as kind:id")] = "",
    range: fields.Range = "all",
    before: fields.Number | None = None,
    limit: fields.Limit = 100,
) -> TrailPage:
    """List what was done, the newest first; each entry names its place in the ledger."""
    kind, _, object_id = object.partition(":")
    start, end = fields.bounds(range)
    wanted = TrailFilter(
        actor=actor, action=action, kind=kind, object_id=object_id, start=start, end=end, before=before,
        limit=limit + 1,
    )  # fmt: skip
    found = queries.entries(wanted)
    return TrailPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
