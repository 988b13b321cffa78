"""The ledger: what it holds, verify it, take evidence out of it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request
from watchbill.api.events import stored
from watchbill.api.files import File, bundle
from watchbill.api.operation import Topic
from watchbill.flows import installation, prove
from watchbill.flows.ledger_state import ShardState, root_fingerprint, states, verification
from watchbill.flows.prove import Verification
from watchbill.ledger import Reader, StoredRecord

topic = Topic("ledger")

#: A small ledger is verified within the request.
_PATIENCE_SECONDS = 5.0


class LedgerState(msgspec.Struct, frozen=True):
    """``root`` is the root key's fingerprint: with it anybody can tell this ledger from another."""

    shards: tuple[ShardState, ...]
    root: str
    verified: Verification | None


class VerifyState(msgspec.Struct, frozen=True):
    """While ``running``, ask again; then ``verified`` is the newest verdict, or ``failure`` says why there is none."""

    running: bool
    percent: int
    failure: str
    verified: Verification | None


class Record(msgspec.Struct, frozen=True):
    """A record as it was received; bytes that are not UTF-8 are spelled as their hexadecimal escapes."""

    id: str
    source: str
    received: int
    source_time: int
    sequence: int
    raw: str


class Period(fields.Body):
    range: fields.Range


@topic.get("/ledger", needs="ledger.read")
def ledger_state(request: Request) -> LedgerState:
    """Say what each shard holds, and when it was last verified."""
    return LedgerState(states(), root_fingerprint(), prove.newest())


@topic.post("/ledger/verify", needs="ledger.verify")
def verify_ledger(request: Request) -> VerifyState:
    """Verify all of it. What takes longer than five seconds goes on; ask `GET /ledger/verify` how far it is."""
    verification.start(request.auth.email)
    verification.wait(_PATIENCE_SECONDS)
    return _verify_state()


@topic.get("/ledger/verify", needs="ledger.read")
def verify_state(request: Request) -> VerifyState:
    """Say how far a verification is, and what the newest one found."""
    return _verify_state()


@topic.post("/ledger/export", needs="ledger.export")
def export_ledger(request: Request, body: Period) -> File:
    """Hand out a bundle of all records received in a period, with their proofs: `watchbill verify` checks it anywhere."""
    return bundle(request, *fields.within(body.range))


@topic.get("/ledger/records", needs="events.raw")
def list_records(
    request: Request, shard: Annotated[int, Field(ge=0, le=99_999)] = 0, start: fields.Number = 0,
    limit: fields.Limit = 20,
) -> tuple[Record, ...]:  # fmt: skip
    """List raw records of a shard from position `start` on; none beyond its head."""
    reader = Reader(installation.data().ledger, shard)
    try:
        return tuple(_record(shard, one, reader) for one in reader.read(start, limit))
    finally:
        reader.close()


@topic.get("/ledger/records/{record_id}", needs="events.raw")
def show_record(request: Request, record_id: fields.EventId) -> Record:
    """Show one raw record; its id is shard-position, as an event's."""
    found = stored(record_id)
    shard, _ = fields.place(record_id)
    reader = Reader(installation.data().ledger, shard)
    try:
        return _record(shard, found, reader)
    finally:
        reader.close()


@topic.post("/ledger/records/{record_id}/proof", needs="ledger.export")
def prove_record(request: Request, record_id: fields.EventId) -> File:
    """Hand out a bundle with the segment that holds one record, and its proof."""
    found = stored(record_id)
    return bundle(request, found.received, found.received + 1)


def _verify_state() -> VerifyState:
    return VerifyState(verification.running, verification.percent, verification.failure, prove.newest())


def _record(shard: int, one: StoredRecord, reader: Reader) -> Record:
    source = reader.source(one.source).name if one.source else ""
    raw = one.raw.decode("utf-8", "backslashreplace")
    return Record(f"{shard}-{one.position}", source, one.received, one.source_time, one.sequence, raw)
