"""Recorded logs through the same door as live ones; without a running server straight into the ledger.

Replaying a file again is a new delivery: the ledger keeps both, as it would for a source that sends twice.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from watchbill.core.clock import SECOND, Clock
from watchbill.core.errors import LedgerError, WatchbillError
from watchbill.core.paths import DataDir
from watchbill.engine.collect import Cut, DoorClient, Origin, notes
from watchbill.engine.collect.framing import LINE_LIMIT
from watchbill.engine.collect.recorded import Batch, find, read, time_of
from watchbill.flows.receive import SHARD
from watchbill.ledger import Writer

TRANSPORT = "replay"
_COMMIT_BYTES = 4 << 20
_PATIENCE = 15.0
_LONGEST_NAP = 0.2


class Problem(NamedTuple):
    """A file that could not be read to its end, and why; what came before was taken."""

    file: str
    reason: str


class Replayed(NamedTuple):
    """What was handed in. Everything below ``head`` of ``shard`` is durable, and all of it is below."""

    records: int
    bytes: int
    shard: int
    head: int
    problems: tuple[Problem, ...]


class Hand(Protocol):
    """Takes records for the ledger: through the door of a running server, or directly."""

    head: int

    def hello(self, source: str, transport: str, **facts: str) -> None: ...
    def send(self, raws: Sequence[bytes], cuts: Sequence[Cut] = ()) -> None: ...
    def flush(self) -> int: ...
    def close(self) -> None: ...


def replay(
    data: DataDir,
    names: Sequence[str],
    clock: Clock,
    *,
    source: str = "",
    form: str = "",
    speed: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
    limit: int = LINE_LIMIT,
    stdin: IO[bytes] | None = None,
) -> Replayed:
    """Hand in files, folders or "-" and return when all is durable.

    ``source`` is the name of the source (default: the file's name), ``form`` a parser's id. ``speed`` 0 is as fast
    as it goes, 1 in real time by the records' own times, 60 a minute a second. ``progress`` gets bytes done and
    bytes in all (0: unknown). Raises NotFoundError before anything is sent; a file that breaks off is a problem in
    the result. Raises WatchbillError when the server goes away; what it acknowledged is stored.
    """
    files = find(names)
    total = sum(path.stat().st_size for path in files if str(path) != "-")
    done = records = size = 0
    problems: list[Problem] = []
    pace = Pace(speed)
    with contextlib.closing(open_hand(data, clock)) as hand:
        for path in files:
            facts = {"format": form} if form else {}
            hand.hello(source or ("stdin" if str(path) == "-" else path.name), TRANSPORT, **facts)
            before = done
            try:
                for batch in _batches(path, limit, stdin):
                    for raws in pace.slices(batch.raws):
                        hand.send(raws)
                    hand.send([], batch.cuts)
                    records += len(batch.raws)
                    size += sum(map(len, batch.raws))
                    done = before + batch.read
                    if progress is not None:
                        progress(done, total)
            except OSError as error:
                problems.append(Problem(str(path), error.strerror or str(error)))
            except WatchbillError as error:
                if error.retry:  # the way into the ledger is gone, not the file
                    raise
                problems.append(Problem(str(path), str(error)))
            done = before + (path.stat().st_size if str(path) != "-" else 0)
        hand.flush()
        if progress is not None:
            progress(done, total)
        return Replayed(records, size, SHARD, hand.head, tuple(problems))


def _batches(path: Path, limit: int, stdin: IO[bytes] | None) -> Iterator[Batch]:
    if str(path) == "-":
        yield from read(stdin or sys.stdin.buffer, limit=limit)
        return
    with path.open("rb") as stream:
        yield from read(stream, limit=limit)


def open_hand(data: DataDir, clock: Clock) -> Hand:
    """The door of the running server, else the ledger itself. Raises LedgerError when somebody else writes it."""
    until = time.monotonic() + _PATIENCE
    while True:
        with contextlib.suppress(OSError):
            return DoorClient.connect(data.run / "door.sock")
        try:
            return _Direct(data.create(), clock)
        except LedgerError as error:
            if not error.retry or time.monotonic() > until:
                raise
        time.sleep(0.1)  # a server is starting, or ending


class _Direct:
    """Writes the ledger itself."""

    def __init__(self, data: DataDir, clock: Clock) -> None:
        self._clock = clock
        self._writer = Writer.open(data.ledger, shard=SHARD, keys=data.keys, clock=clock)
        self._origin = Origin("", TRANSPORT)
        self._number = 0
        self._waiting = 0
        self._sent = 0
        self.head = self._writer.commit()

    def hello(self, source: str, transport: str, **facts: str) -> None:
        self._origin = Origin(source, transport, **facts)
        self._number = self._writer.source(source, transport, **facts)

    def send(self, raws: Sequence[bytes], cuts: Sequence[Cut] = ()) -> None:
        now = self._clock.now()
        if raws:
            self._writer.append(self._number, raws, now)
        if cuts:
            internal = self._writer.source(notes.NAME, notes.TRANSPORT, format=notes.NAME)
            self._writer.append(internal, [notes.cut_short(cut, now, self._origin) for cut in cuts], now)
        self._sent += len(raws)
        self._waiting += sum(map(len, raws))
        if self._waiting >= _COMMIT_BYTES:
            self.flush()

    def flush(self) -> int:
        self.head = self._writer.commit()
        self._writer.tick()
        self._waiting = 0
        return self._sent

    def close(self) -> None:
        self._writer.close()


class Pace:
    """Lets records go at ``speed`` times the speed of their own times; 0 lets them all go at once."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._first = 0

    def slices(self, raws: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """Give the records in groups, each when it is due. Records that go back in time, or tell none, go at once."""
        if not self._speed:
            yield raws
            return
        start = 0
        for index, raw in enumerate(raws):
            at = time_of(raw)
            self._first = self._first or at
            due = self._began + (at - self._first) / SECOND / self._speed
            if at and due > time.monotonic():
                if index > start:
                    yield raws[start:index]
                    start = index
                while (left := due - time.monotonic()) > 0:
                    time.sleep(min(left, _LONGEST_NAP))
        yield raws[start:]
