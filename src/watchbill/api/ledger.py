"""The ledger: what it holds, verify it, take evidence out of it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from watchbill.api import fields
from watchbill.api.auth import Request, now
from watchbill.api.events import stored
from watchbill.api.files import File, bundle, file
from watchbill.api.operation import Topic
from watchbill.core.clock import SystemClock
from watchbill.core.times import parse_period
from watchbill.flows import installation, keys, prove
from watchbill.flows.export import held
from watchbill.flows.export import prove as prove_one
from watchbill.flows.exports import Export, exports
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
ExportId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="As it was given when the export began.")]


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


#: A checkpoint that an auditor kept; some hundred bytes, more with many witnesses.
Note = Annotated[str, Field(max_length=64 << 10, description="The text of a checkpoint, with its signatures.")]
Since = Annotated[
    tuple[Note, ...],
    Field(max_length=20, description="Checkpoints that the auditor has: it is proven that they are extended."),
]


class Period(fields.Body):
    """A `range` in words or, instead, `from` and `to`, as the command line has them. `controls` go along for reading."""

    range: fields.Range = "last 24h"
    start: Annotated[fields.Word, Field(alias="from", description="The beginning, instead of `range`.")] = ""
    end: Annotated[fields.Word, Field(alias="to", description="The end, instead of `range` (default: now).")] = ""
    controls: fields.Words = ()
    since: Since = ()

    def bounds(self) -> tuple[int, int]:
        start, end = parse_period(self.range, self.start, self.end, now())
        return max(start, 0), end

    def held(self) -> list[Checkpoint]:
        return held(self.since)


class Held(fields.Body):
    since: Since = ()


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
    """Hand out a bundle of all records received in a period, with their proofs: `watchbill verify` checks it anywhere.

    The answer begins when the whole bundle is made; for a long period begin an export (`POST /ledger/exports`).
    """
    return bundle(request, *body.bounds(), body.controls, body.held())


@topic.post("/ledger/exports", needs="ledger.export")
def begin_export(request: Request, body: Period) -> Export:
    """Begin to make a bundle of a period. What takes longer than five seconds goes on; ask `GET /ledger/exports/{id}`
    until its state is `ready` (or `failed`), then fetch `GET /ledger/exports/{id}/file`. One is made at a time, eight
    are kept, for a day or until a restart.
    """
    begun = exports().begin(request.auth.email, *body.bounds(), named=body.controls, held=body.held())
    return exports().wait(begun.id, _PATIENCE_SECONDS)


@topic.get("/ledger/exports", needs="ledger.export")
def list_exports(request: Request) -> tuple[Export, ...]:
    """List the exports that are kept, newest first."""
    return exports().all()


@topic.get("/ledger/exports/{export_id}", needs="ledger.export")
def show_export(request: Request, export_id: ExportId) -> Export:
    """Say how far an export is."""
    return exports().one(export_id)


@topic.get("/ledger/exports/{export_id}/file", needs="ledger.export")
def fetch_export(request: Request, export_id: ExportId) -> File:
    """Hand out the bundle of an export that is ready, as often as you like; each time goes on the trail."""
    pieces, size, name = exports().take(export_id, by=request.auth.email)
    return file(request, pieces, "application/zip", name, size=size)


@topic.delete("/ledger/exports/{export_id}", needs="ledger.export")
def remove_export(request: Request, export_id: ExportId) -> None:
    """Stop an export, or remove its bundle."""
    exports().remove(export_id)


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
def prove_record(request: Request, record_id: fields.EventId, body: Held | None = None) -> File:
    """Hand out one record with its proof, as JSON: `watchbill verify FILE` checks it anywhere."""
    stored(record_id)
    shard, position = fields.place(record_id)
    made = prove_one(
        installation.data(),
        shard,
        position,
        SystemClock(),
        by=request.auth.email,
        held=held(body.since if body else ()),
    )
    return file(request, [made], "application/json", f"watchbill-{record_id}.json", size=len(made))


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
