"""Second copies of the ledger."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.operation import Topic
from watchbill.flows import copies as flow
from watchbill.flows import installation
from watchbill.state.copies import actions, queries
from watchbill.state.copies.values import CopyView

topic = Topic("copies")


class AddCopy(fields.Body):
    """A folder has `path`; s3 has `bucket`, and may have `prefix`, `endpoint`, `region`, `access_key_id` and
    `secret_access_key`, which is sealed and never given out.
    """

    name: Annotated[fields.Word, Field(min_length=1, max_length=80)]
    kind: Literal["folder", "s3"]
    config: Annotated[dict[fields.Word, fields.Word], Field(max_length=8)]


@topic.get("/copies", needs="copies.read")
def list_copies(request: Request) -> tuple[CopyView, ...]:
    """List copies, and how far each has come."""
    return queries.copies()


@topic.post("/copies", needs="copies.write")
def add_copy(request: Request, body: AddCopy) -> CopyView:
    """Add a place, which is written to and read from once; then it is kept up to date."""
    flow.add(installation.data(), body.name, body.kind, body.config, by=request.auth.email, at=now())
    return queries.copy(body.name.strip())


@topic.delete("/copies/{name}", needs="copies.write")
def remove_copy(request: Request, name: fields.Word) -> None:
    """Copy no more to a place; what lies there stays."""
    actions.remove_copy(name, by=request.auth.email, at=now())
