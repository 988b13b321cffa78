"""One record a line, and for senders that count: one stream, stored exactly once.

A sender may number its records, beginning with 1, and say which stream they belong to: ``?stream=NAME&sequence=N`` is
the number of the first line. Such a stream is a source of its own, whose numbers the ledger itself keeps. So what
came already is known without any other memory, also after kill -9; what was skipped is declared as a gap.

Who has several batches under way says with each ``answered=M``: all numbers below M were answered to it. Without that,
a batch says that everything before it was. That tells a retransmission from a replay: nobody sends again what was
answered to him.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from watchbill.engine.collect import notes
from watchbill.engine.collect.framing import Cut
from watchbill.engine.collect.origin import Origin
from watchbill.engine.collect.positions import Positions
from watchbill.engine.collect.push.messages import RefusedError, Request
from watchbill.engine.collect.sink import Sink

#: Batches of a stream that are remembered: a retransmission of one of them is answered as if it were the first. A sender
#: may have as many under way.
RECENT = 64
STREAMS = 10_000
#: Seconds that a batch waits for those before it, which come by other connections; of a sender that does not say what it
#: has under way, they count as left out then.
TURN = 2.0
UNTOLD_TURN = 1.0
#: More than this a sender cannot have skipped.
_LONGEST_GAP = 1_000_000_000
_STREAM = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:@-]{0,99}")


def split_lines(body: bytes) -> list[bytes]:
    """The records of a body: its lines, empty ones left out."""
    return [line for part in body.split(b"\n") if (line := part.removesuffix(b"\r"))]


class Numbered(NamedTuple):
    """What a request says of its place in a stream. ``first``: the number of its first line, 0 when it names none.

    ``answered``: all numbers below it were answered to the sender; ``says_so``: by its own word, not by our reading.
    """

    stream: str
    first: int
    answered: int
    says_so: bool


class Batch(NamedTuple):
    """A numbered batch as it came."""

    first: int
    records: int
    digest: bytes

    @property
    def end(self) -> int:
        return self.first + self.records


class _Stream:
    """What is known of a stream in this run."""

    __slots__ = ("answered", "known_from", "moved", "next", "recent")

    def __init__(self) -> None:
        #: The number that comes next, by the ledger; 0: not asked yet.
        self.next = 0
        #: What came before this number is not remembered.
        self.known_from = 0
        #: All numbers below were answered to the sender.
        self.answered = 0
        self.recent: deque[Batch] = deque(maxlen=RECENT)
        self.moved = asyncio.Event()


class Streams:
    """The numbered streams. One that was not used for long is forgotten, and the ledger asked again."""

    def __init__(self, sink: Sink, positions: Positions | None = None) -> None:
        """``positions`` keeps what was answered, so that a replay is told from a retransmission after a restart, too."""
        self._sink = sink
        self._positions = positions
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._asking = asyncio.Lock()

    async def following(self, origin: Origin) -> int:
        """The number that a stream's next record has."""
        return (await self._stream(origin)).next

    async def _stream(self, origin: Origin) -> _Stream:
        async with self._asking:
            stream = self._streams.pop(origin.key, None) or _Stream()
            self._streams[origin.key] = stream
            if len(self._streams) > STREAMS:
                self._streams.popitem(last=False)
            if not stream.next:
                stream.next = stream.known_from = await self._sink.following(origin)
                kept = self._positions.get(_kept_as(origin)).get("answered", 0) if self._positions else 0
                stream.answered = min(int(kept), stream.next)
        return stream

    async def take(
        self, origin: Origin, request: Request, numbered: Numbered, raws: list[bytes], cuts: Sequence[Cut] = ()
    ) -> tuple[int, Coroutine[None, None, tuple[int, int]]]:
        """Give what of a batch is new to the sink; return how many records that is, and what to wait for (``Sink.store``).

        Waits for batches before it that are under way. Declares what was skipped. Refuses what was answered before and tells of
        it, and what contradicts itself.
        """
        batch = Batch(numbered.first, len(raws), sha256(request.body).digest())
        stream = await self._in_turn(origin, numbered)
        due = stream.next
        if batch not in stream.recent:
            if batch.first < due:
                self._admit_again(origin, request, stream, batch, numbered)
            self._answered(origin, stream, numbered)
            stream.recent.append(batch)
        stream.next = max(due, batch.end)
        stream.moved.set()
        stream.moved = asyncio.Event()
        fresh = raws[max(0, due - batch.first) :]
        return len(fresh), self._sink.store(origin, fresh, cuts if len(fresh) == len(raws) else ())

    async def _in_turn(self, origin: Origin, numbered: Numbered) -> _Stream:
        """Wait until the numbers before a batch have come, but for those that its sender left out."""
        now = asyncio.get_running_loop().time
        until = now() + (TURN if numbered.says_so else UNTOLD_TURN)
        while True:
            stream = await self._stream(origin)
            is_over = now() >= until
            missing = numbered.answered - stream.next
            if missing > _LONGEST_GAP:
                raise RefusedError(400, f"{numbered.answered} is too far from {stream.next}, which comes next")
            if missing > 0 and (numbered.says_so or is_over):
                self._sink.gap(origin, "the sender left numbers out", missing=missing, first=stream.next)
                stream.next = numbered.answered
            if numbered.first <= stream.next:
                return stream
            if is_over:
                why = f"{stream.next} comes before {numbered.first} and was not answered: send it first"
                raise RefusedError(503, why, retry_after=1)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await stream.moved.wait()

    def _admit_again(self, origin: Origin, request: Request, stream: _Stream, batch: Batch, numbered: Numbered) -> None:
        """Let in a batch of used numbers that is not remembered, if it can be a retransmission. Raises RefusedError."""
        last, due = batch.end - 1, stream.next
        if last < stream.answered:
            detail = {"first": batch.first, "last": last, "expected": due}
            self._sink.note(notes.replayed(self._sink.now(), origin, request.peer.address, **detail))
        elif batch.first < stream.known_from and (numbered.says_so or batch.end >= due):
            return  # it came in an earlier run, whose answer did not arrive
        raise RefusedError(409, f"records {batch.first} to {last} do not follow on: {due} comes next")

    def _answered(self, origin: Origin, stream: _Stream, numbered: Numbered) -> None:
        """Remember what a sender has answers for. Of one that does not say so, what it may have under way is left out of
        the memory that survives: there a false alert would be worse.
        """
        stream.answered = max(stream.answered, min(numbered.answered, stream.next))
        full = len(stream.recent) == RECENT
        if full and stream.recent[0].end > stream.answered:
            raise RefusedError(429, f"more than {RECENT} batches are under way", retry_after=1)
        kept = stream.answered if numbered.says_so else stream.recent[0].first if full else 0
        if self._positions and kept > self._positions.get(_kept_as(origin)).get("answered", 0):
            self._positions.set(_kept_as(origin), {"answered": kept}, self._sink.head)


def _kept_as(origin: Origin) -> str:
    return f"{origin.transport}:{origin.name}"


def stream_of(request: Request) -> Numbered | None:
    """The place in a stream that a request names, None for one that does not count. Raises RefusedError."""
    name, first = request.query.get("stream", ""), request.query.get("sequence", "")
    if not (name or first):
        return None
    if not _STREAM.fullmatch(name):
        raise RefusedError(400, "stream must be a name of letters, digits and -_.:@, at most 100")
    number = _number(first, "sequence must be the number of the first line, counted from 1") if first else 0
    answered = request.query.get("answered", "")
    if not answered:
        return Numbered(name, number, number, says_so=False)
    why = "answered must be the first number that has no answer yet, at most that of the first line"
    unanswered = _number(answered, why)
    if unanswered > number:
        raise RefusedError(400, why)
    return Numbered(name, number, unanswered, says_so=True)


def _number(text: str, why: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:18]) == int(text)):
        raise RefusedError(400, why)
    return int(text)
