"""One record a line, and for senders that count: one stream, stored exactly once.

A sender may number its records, beginning with 1, and say which stream they belong to: ``?stream=NAME&sequence=N`` is
the number of the first line. Such a stream is a source of its own, whose numbers the ledger itself keeps. So what
came already is known without any other memory, also after kill -9; what was skipped is declared as a gap.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict, deque
from hashlib import sha256
from typing import NamedTuple

from watchbill.engine.collect import notes
from watchbill.engine.collect.origin import Origin
from watchbill.engine.collect.push.messages import RefusedError, Request
from watchbill.engine.collect.sink import Sink

#: Batches of a stream that are remembered: a retransmission of one of them is answered as if it were the first.
RECENT = 64
STREAMS = 10_000
#: More than this a sender cannot have skipped.
_LONGEST_GAP = 1_000_000_000
_STREAM = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:@-]{0,99}")


def split_lines(body: bytes) -> list[bytes]:
    """The records of a body: its lines, empty ones left out."""
    return [line for part in body.split(b"\n") if (line := part.removesuffix(b"\r"))]


class Batch(NamedTuple):
    """A numbered batch as it came."""

    first: int
    records: int
    digest: bytes


class _Stream:
    """What is known of a stream in this run. ``next`` is the number that comes next, by the ledger; 0: not asked yet."""

    __slots__ = ("next", "recent")

    def __init__(self) -> None:
        self.next = 0
        self.recent: deque[Batch] = deque(maxlen=RECENT)


class Streams:
    """The numbered streams. One that was not used for long is forgotten, and the ledger asked again."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._streams: OrderedDict[tuple[str, str], _Stream] = OrderedDict()
        self._asking = asyncio.Lock()

    async def following(self, origin: Origin) -> int:
        """The number that a stream's next record has."""
        async with self._asking:
            stream = self._streams.pop(origin.key, None) or _Stream()
            self._streams[origin.key] = stream
            if len(self._streams) > STREAMS:
                self._streams.popitem(last=False)
            if not stream.next:
                stream.next = await self._sink.following(origin)
        return stream.next

    def take(self, origin: Origin, request: Request, first: int, raws: list[bytes]) -> list[bytes]:
        """What of a batch is new; to be given to the sink at once, after ``following`` was asked.

        Declares what was skipped. Refuses what was acknowledged long ago and tells of it, and what contradicts itself.
        """
        stream = self._streams[origin.key]
        batch = Batch(first, len(raws), sha256(request.body).digest())
        end, due = first + len(raws), stream.next
        if first > due:
            if first - due > _LONGEST_GAP:
                raise RefusedError(400, f"the sequence {first} is too far from {due}, which comes next")
            self._sink.gap(origin, "the sender left numbers out", missing=first - due, first=due)
        elif first < due and batch not in stream.recent and (stream.recent or end < due):
            self._refuse(origin, request, batch, due)
        if batch not in stream.recent:
            stream.recent.append(batch)
        stream.next = max(due, end)
        return raws[max(0, due - first) :]

    def _refuse(self, origin: Origin, request: Request, batch: Batch, due: int) -> None:
        last = batch.first + batch.records - 1
        if last < due:
            detail = {"first": batch.first, "last": last, "expected": due}
            self._sink.note(notes.replayed(self._sink.now(), origin, request.peer.address, **detail))
        raise RefusedError(409, f"records {batch.first} to {last} do not follow on: {due} comes next")


def stream_of(request: Request) -> tuple[str, int] | None:
    """The stream and the number of its first line that a request names, None for one that does not count."""
    name, first = request.query.get("stream", ""), request.query.get("sequence", "")
    if not (name or first):
        return None
    if not _STREAM.fullmatch(name):
        raise RefusedError(400, "stream must be a name of letters, digits and -_.:@, at most 100")
    if first and not (first.isascii() and first.isdigit() and 0 < int(first[:18]) == int(first)):
        raise RefusedError(400, "sequence must be the number of the first line, counted from 1")
    return name, int(first or 0)
