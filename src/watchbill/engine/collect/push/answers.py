"""What the push listener answers once it knows who asks: for each protocol the records, and when they are durable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import NamedTuple, TypeVar

from watchbill.core.errors import LedgerError
from watchbill.engine.collect.framing import Cut
from watchbill.engine.collect.origin import Origin, Origins
from watchbill.engine.collect.positions import Positions
from watchbill.engine.collect.push import hec, ndjson, otlp
from watchbill.engine.collect.push.messages import Answer, RefusedError, Request
from watchbill.engine.collect.sink import Sink
from watchbill.ledger.consistency import prove
from watchbill.ledger.note import Checkpoint, b64
from watchbill.ledger.tiles import TileReader

HEC = "/services/collector"
#: Seconds that a request may wait for room in the queue, and then for the disk.
ROOM_LIMIT = 10.0
DURABLE_LIMIT = 30.0
#: Bodies longer than this are read in another thread, so that other receivers go on meanwhile.
_LONG_BODY = 256 << 10
_T = TypeVar("_T")


class Answers:
    """One method for each thing that can be asked. All raise RefusedError."""

    def __init__(
        self, sink: Sink, origins: Origins, checkpoints: TileReader, limit: int, positions: Positions | None = None
    ) -> None:
        self._sink, self._origins, self._checkpoints, self._limit = sink, origins, checkpoints, limit
        self._channels = hec.Channels()
        self._streams = ndjson.Streams(sink, positions)
        #: The process ends: nothing more is taken.
        self.stopping = False

    async def room(self) -> None:
        """Wait for room in the queue: meanwhile the body is not read. Raises RefusedError."""
        if self.stopping:
            raise RefusedError(503, "this receiver ends", retry_after=5, code=23, close=True)
        if self._sink.full:
            try:
                async with asyncio.timeout(ROOM_LIMIT):
                    await self._sink.room()
            except TimeoutError:
                why = self._sink.trouble or "the queue before the ledger is full"
                raise RefusedError(503, why, retry_after=10, code=9, close=True) from None

    async def _store(self, origin: Origin, raws: Sequence[bytes], cuts: Sequence[Cut] = ()) -> tuple[int, int]:
        """Store a batch durably. Raises RefusedError: it may be stored later, and then is there twice."""
        return await self._durable(self._sink.store(origin, raws, cuts))

    async def _durable(self, stored: Awaitable[tuple[int, int]]) -> tuple[int, int]:
        try:
            async with asyncio.timeout(DURABLE_LIMIT):
                return await asyncio.shield(stored)
        except TimeoutError:
            why = self._sink.trouble or "the disk is too slow"
            raise RefusedError(503, f"not durable yet: {why}", retry_after=30, code=9) from None

    def _origin(self, transport: str, name: str, **facts: str) -> Origin:
        """The source of a request. Raises RefusedError when there are too many."""
        told = {key: value for key, value in facts.items() if value}
        origin = self._origins.declared(f"{transport}:{name}", transport, **told)
        if origin.name != f"{transport}:{name}":
            raise RefusedError(503, "there are too many sources", retry_after=60, code=9)
        origin.state = "connected"
        return origin

    def _bounded(self, raws: list[bytes]) -> tuple[list[bytes], list[Cut]]:
        """Cut what is longer than a record may be, and say what it was."""
        if not raws or max(map(len, raws)) <= self._limit:
            return raws, []
        long = [raw for raw in raws if len(raw) > self._limit]
        cuts = [Cut(len(raw), self._limit, sha256(raw).hexdigest()) for raw in long]
        return [raw[: self._limit] for raw in raws], cuts

    async def hec_event(self, request: Request) -> Answer:
        hec.channel_of(request)
        raws, cuts = self._bounded(await _apart(request.body, hec.split_events))
        token = request.token
        await self._store(self._origin("hec", token.name, envelope="hec", format=token.format), raws, cuts)
        return hec.success(self._channels.give(request))

    async def hec_raw(self, request: Request) -> Answer:
        hec.channel_of(request)
        raws, cuts = self._bounded(await _apart(request.body, ndjson.split_lines))
        if not raws:
            raise RefusedError(400, "No data", code=5)
        name, host = _of_host(request)
        form = request.token.format or _word(request, "sourcetype")
        await self._store(self._origin("hec-raw", name, host=host, format=form), raws, cuts)
        return hec.success(self._channels.give(request))

    async def hec_ack(self, request: Request) -> Answer:
        return self._channels.asked(request)

    async def hec_health(self, request: Request) -> Answer:  # noqa: ARG002 - it is the same for everybody
        if self.is_busy:
            return Answer.json(503, {"text": "HEC is unhealthy, queues are full", "code": 18})
        return Answer.json(200, {"text": "HEC is healthy", "code": 17})

    async def otlp(self, request: Request) -> Answer:
        found, rejected, why = await _apart(request.body, lambda _: otlp.read(request))
        raws, cuts = self._bounded(found)
        if raws:
            token = request.token
            await self._store(self._origin("otlp", token.name, envelope="otlp", format=token.format), raws, cuts)
        return otlp.success(request, rejected, why)

    async def ingest(self, request: Request) -> Answer:
        raws, cuts = self._bounded(await _apart(request.body, ndjson.split_lines))
        form = request.token.format or _word(request, "format")
        if numbered := ndjson.stream_of(request):
            if not numbered.first:
                raise RefusedError(400, "a stream's records are numbered: say the first one's in sequence=")
            origin = self._origin("send", f"{request.token.name}/{numbered.stream}", format=form)
            fresh, stored = await self._streams.take(origin, request, numbered, raws, cuts)
            position, head = await self._durable(stored)
        else:
            name, host = _of_host(request)
            origin, fresh = self._origin("ndjson", name, host=host, format=form), len(raws)
            position, head = await self._store(origin, raws, cuts)
        answer: dict[str, object] = {"accepted": fresh, "duplicates": len(raws) - fresh, "durable": head}
        if fresh:
            answer |= {"first": f"0-{position}", "last": f"0-{position + fresh - 1}"}
        if numbered:
            answer["next"] = await self._streams.following(origin)
            answer["checkpoint"] = self._checkpoints.checkpoint() or ""
        return Answer.json(200, answer)

    async def stream_state(self, request: Request) -> Answer:
        numbered = ndjson.stream_of(request)
        if numbered is None:
            raise RefusedError(400, "say which stream: ?stream=NAME")
        form = request.token.format or _word(request, "format")
        origin = self._origin("send", f"{request.token.name}/{numbered.stream}", format=form)
        following = await self._streams.following(origin)
        return Answer.json(200, {"next": following, "checkpoint": self._checkpoints.checkpoint() or ""})

    async def checkpoint(self, request: Request) -> Answer:  # noqa: ARG002 - it is the same for everybody
        note = self._checkpoints.checkpoint()
        if note is None:
            raise RefusedError(404, "no checkpoint was signed yet", retry_after=1)
        return Answer(200, note.encode(), "text/plain; charset=utf-8")

    async def consistency(self, request: Request) -> Answer:
        """The proof that the present checkpoint extends the log of a smaller size (RFC 6962, section 2.1.2)."""
        note = self._checkpoints.checkpoint()
        try:
            old = int(request.query.get("from", "")[:18])
            new = Checkpoint.parse(note or "").size
        except ValueError:
            raise RefusedError(400, "say from which size: ?from=SIZE") from None
        if not 0 <= old <= new:
            raise RefusedError(404, f"the log has {new} entries, not {old}")
        try:
            proof = await asyncio.to_thread(prove, self._checkpoints, old, new)
        except LedgerError as error:
            raise RefusedError(500, str(error)) from None
        return Answer.json(200, {"from": old, "to": new, "proof": [b64(node) for node in proof], "checkpoint": note})

    async def health(self, request: Request) -> Answer:  # noqa: ARG002 - it is the same for everybody
        return Answer.json(503, {"status": "busy"}) if self.is_busy else Answer.json(200, {"status": "ok"})

    @property
    def is_busy(self) -> bool:
        return bool(self.stopping or self._sink.full or self._sink.trouble)


class Route(NamedTuple):
    """What is asked: ``takes_records`` waits for room first, ``is_open`` needs no token."""

    method: str
    handler: Callable[[Answers, Request], Awaitable[Answer]]
    takes_records: bool = False
    is_open: bool = False


ROUTES: dict[str, tuple[Route, ...]] = {
    HEC: (Route("POST", Answers.hec_event, takes_records=True),),
    f"{HEC}/event": (Route("POST", Answers.hec_event, takes_records=True),),
    f"{HEC}/raw": (Route("POST", Answers.hec_raw, takes_records=True),),
    f"{HEC}/ack": (Route("POST", Answers.hec_ack),),
    f"{HEC}/health": (Route("GET", Answers.hec_health, is_open=True),),
    "/v1/logs": (Route("POST", Answers.otlp, takes_records=True),),
    "/ingest": (Route("POST", Answers.ingest, takes_records=True), Route("GET", Answers.stream_state)),
    "/checkpoint": (Route("GET", Answers.checkpoint),),
    "/consistency": (Route("GET", Answers.consistency),),
    "/health": (Route("GET", Answers.health, is_open=True),),
}


def _word(request: Request, name: str) -> str:
    """What a request declares for all of its records, such as the host. Raises RefusedError."""
    word = request.query.get(name, "")
    if len(word) > 253 or not word.isprintable() or any(letter in "/ " for letter in word):
        raise RefusedError(400, f"{name} must be one word without a slash, at most 253 characters")
    return word


def _of_host(request: Request) -> tuple[str, str]:
    """The source's name and the host: what a token declares for whole requests makes sources of their own."""
    host = _word(request, "host")
    return (f"{request.token.name}/{host}" if host else request.token.name), host


async def _apart(body: bytes, work: Callable[[bytes], _T]) -> _T:
    """Do some work on a body; on a long one in another thread."""
    return await asyncio.to_thread(work, body) if len(body) > _LONG_BODY else work(body)
