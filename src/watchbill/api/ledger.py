"""The ledger: what it holds, verify it, take evidence out of it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request
from watchbill.api.events import stored
from watchbill.api.files import File, bundle, file
from watchbill.api.operation import Topic
from watchbill.core.clock import SystemClock
from watchbill.flows import installation, keys, prove
from watchbill.flows.export import prove as prove_one
from watchbill.flows.keys import KeysState
from watchbill.flows.ledger_state import (
    ShardState,
    checkpoint,
    consistency_proof,
    root_fingerprint,
    states,
    verification,
)
from watchbill.flows.prove import Verification
from watchbill.ledger import Reader, StoredRecord
from watchbill.ledger.note import Checkpoint

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


class LogHead(msgspec.Struct, frozen=True):
    """A shard's signed head: keep it, and ask for a consistency proof from it later. ``note`` is a C2SP checkpoint."""

    shard: int
    note: str


class ConsistencyProof(msgspec.Struct, frozen=True):
    """RFC 6962, section 2.1.2: hashes in base64 by which the log of ``new`` entries extends that of ``old``."""

    shard: int
    old: int
    new: int
    proof: tuple[str, ...]


class Period(fields.Body):
    range: fields.Range


class Verify(fields.Body):
    #: Only the records of a period; empty: all.
    range: str = ""


@topic.get("/ledger", needs="ledger.read")
def ledger_state(request: Request) -> LedgerState:
    """Say what each shard holds, and when it was last verified."""
    return LedgerState(states(), root_fingerprint(), prove.newest())


@topic.post("/ledger/verify", needs="ledger.verify")
def verify_ledger(request: Request, body: Verify | None = None) -> VerifyState:
    """Verify all of it, or the records of a `range`. What takes longer than five seconds goes on; ask
    `GET /ledger/verify` how far it is.
    """
    period = fields.within(body.range) if body and body.range else None
    verification.start(request.auth.email, period)
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
    """Hand out one record with its proof, as JSON: `watchbill verify FILE` checks it anywhere."""
    stored(record_id)
    shard, position = fields.place(record_id)
    body = prove_one(installation.data(), shard, position, SystemClock(), by=request.auth.email)
    return file(request, [body], "application/json", f"watchbill-{record_id}.json", size=len(body))


@topic.get("/ledger/keys", needs="ledger.read")
def list_keys(request: Request) -> KeysState:
    """Say which keys sign the logs, and whether the root is on this machine."""
    return keys.state(installation.data())


@topic.get("/ledger/checkpoint", needs="ledger.read")
def show_checkpoint(request: Request, shard: Annotated[int, Field(ge=0, le=99_999)] = 0) -> LogHead:
    """Show the signed head of a shard's log, with what witnesses said of it."""
    return LogHead(shard, checkpoint(shard))


@topic.get("/ledger/consistency", needs="ledger.read")
def show_consistency(
    request: Request, old: fields.Number = 0, new: fields.Number = 0,
    shard: Annotated[int, Field(ge=0, le=99_999)] = 0,
) -> ConsistencyProof:  # fmt: skip
    """Prove that the log has only grown from `old` entries to `new` (0: those of the newest head)."""
    upto = new or Checkpoint.parse(checkpoint(shard)).size
    return ConsistencyProof(shard, old, upto, tuple(consistency_proof(shard, old, upto)))


def _verify_state() -> VerifyState:
    return VerifyState(verification.running, verification.percent, verification.failure, prove.newest())


def _record(shard: int, one: StoredRecord, reader: Reader) -> Record:
    source = reader.source(one.source).name if one.source else ""
    raw = one.raw.decode("utf-8", "backslashreplace")
    return Record(f"{shard}-{one.position}", source, one.received, one.source_time, one.sequence, raw)
