"""The one way into the ledger: receivers put batches into a bounded queue, one thread commits them in groups.

The ledger's writer lives in a thread of its own, so that sockets are read while the disk is waited for. What came
in during one fdatasync is the next group. Senders are told after their group is durable, in the order of arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import NamedTuple

from watchbill.core.clock import Clock
from watchbill.core.errors import WatchbillError
from watchbill.engine.collect import notes
from watchbill.engine.collect.framing import Cut
from watchbill.engine.collect.origin import Origin
from watchbill.ledger import Writer

log = logging.getLogger(__name__)

QUEUE_LIMIT = 32 << 20
#: Groups smaller than this wait a moment for company, because a group costs one fdatasync however small it is.
WORTH_A_COMMIT = 256 << 10
SETTLE = 0.004
#: The writer holds so much uncommitted at most (its own limit is higher).
GROUP_LIMIT = 16 << 20
IDLE = 0.2
#: What a record costs in memory beside its bytes.
OVERHEAD = 80


class Put(NamedTuple):
    """One batch of one origin; ``done`` gets the durable head once the batch is durable. No records: a drop."""

    origin: Origin
    raws: Sequence[bytes]
    received: int
    size: int
    done: Callable[[int], None] | None
    dropped: int = 0
    reason: str = ""
    #: Gets the position of the first record, or of a put without records the sequence that the source's next one will
    #: have, before ``done`` is called.
    landed: list[int] | None = None


def _settle(future: asyncio.Future[int], head: int) -> None:
    if not future.done():
        future.set_result(head)


class Sink:
    """The queue before a ledger's writer. All methods but the thread's own are called in the event loop's thread."""

    def __init__(self, writer: Writer, clock: Clock, *, limit: int = QUEUE_LIMIT) -> None:
        """Made inside the event loop; the writer is the sink's from now on."""
        self._writer = writer
        self._clock = clock
        self._limit = limit
        self._durable = writer.commit()
        self._taken = 0
        #: Number of each source, and the facts that the ledger has of it.
        self._numbers: dict[tuple[str, str], tuple[int, dict[str, str]]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._puts: list[Put] = []
        self._waiting = 0
        self._queued = 0
        self._closing = False
        self._give_up = False
        self._room = asyncio.Event()
        self._room.set()
        self._resumes: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._internal = Origin(notes.NAME, notes.TRANSPORT, format=notes.NAME)
        #: Why nothing is being written ("" when all is well), for the operator.
        self.trouble = ""
        #: Durable head after the last commit whose senders were told, and how many commits there were.
        self.head = self._durable
        self.commits = 0

    def start(self) -> None:
        self._thread.start()

    async def stop(self, patience: float = 10.0) -> bool:
        """Commit what is queued and close. False if the disk refused for longer than ``patience`` seconds."""
        self._closing = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join, patience)
        if self._thread.is_alive():
            self._give_up = True
            await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # lets the last acknowledgements go out
        return not self._puts

    def now(self) -> int:
        """UTC nanoseconds by the clock of the ledger."""
        return self._clock.now()

    @property
    def full(self) -> bool:
        return self._queued >= self._limit

    @property
    def queued(self) -> int:
        """Bytes taken in and not yet durable."""
        return self._queued

    def offer(
        self,
        origin: Origin,
        raws: Sequence[bytes],
        done: Callable[[int], None] | None = None,
        cuts: Sequence[Cut] = (),
        landed: list[int] | None = None,
    ) -> bool:
        """Take a batch. Returns False when the queue is now full: the caller then stops reading until there is room."""
        now = self._clock.now()
        size = sum(map(len, raws))
        origin.lines += len(raws)
        origin.bytes += size
        origin.last = now
        self._queue(Put(origin, raws, now, size + OVERHEAD * len(raws), None if cuts else done, landed=landed))
        if cuts:
            told = [notes.cut_short(cut, now, origin) for cut in cuts]
            self._queue(Put(self._internal, told, now, sum(map(len, told)), done))
        return not self.full

    async def put(
        self,
        origin: Origin,
        raws: Sequence[bytes],
        done: Callable[[int], None] | None = None,
        cuts: Sequence[Cut] = (),
    ) -> None:
        """Take a batch, after waiting until there is room."""
        await self.room()
        self.offer(origin, raws, done, cuts)

    async def room(self) -> None:
        while self.full:
            self._room.clear()
            await self._room.wait()

    def when_room(self, resume: Callable[[], None]) -> None:
        """Have ``resume`` called once there is room again."""
        self._resumes.append(resume)

    def drop(self, origin: Origin, count: int, reason: str) -> None:
        """Declare records that were lost before they could be taken; the ledger's manifest counts them."""
        origin.dropped += count
        self._queue(Put(origin, (), self._clock.now(), 0, None, count, reason))

    async def following(self, origin: Origin) -> int:
        """The sequence that an origin's next record will have, behind all that was taken so far: from 1, without gaps."""
        durable: asyncio.Future[int] = self._loop.create_future()
        landed: list[int] = []
        self.offer(origin, (), partial(_settle, durable), landed=landed)
        await durable
        return landed[0]

    def store(
        self, origin: Origin, raws: Sequence[bytes], cuts: Sequence[Cut] = ()
    ) -> Coroutine[None, None, tuple[int, int]]:
        """Take a batch at once; to be waited for until it is durable: the position of its first record, the durable head."""
        durable: asyncio.Future[int] = self._loop.create_future()
        landed: list[int] = []
        self.offer(origin, raws, partial(_settle, durable), cuts, landed)

        async def told() -> tuple[int, int]:
            head = await durable
            return landed[0], head

        return told()

    def gap(self, origin: Origin, reason: str, **detail: str | int) -> None:
        """Declare a loss: ``missing`` records, counted as one when nobody knows. Told as an internal event, too."""
        self.drop(origin, int(detail.get("missing", 1)), reason)
        self.note(notes.gap(self._clock.now(), origin, reason, **detail))

    def note(self, raw: bytes) -> None:
        """Put an internal event into the ledger."""
        self._queue(Put(self._internal, [raw], self._clock.now(), len(raw), None))

    def _queue(self, put: Put) -> None:
        self._queued += put.size
        with self._lock:
            self._puts.append(put)
            self._waiting += put.size
        self._wake.set()

    def _committed(self, puts: Sequence[Put], head: int) -> None:
        """In the event loop: the group is durable, tell its senders."""
        self.head = head
        self.commits += 1
        self._queued -= sum(put.size for put in puts)
        for put in puts:
            if put.done is not None:
                put.done(head)
        if not self.full:
            self._room.set()
            resumes, self._resumes = self._resumes, []
            for resume in resumes:
                resume()

    # From here on: the ledger's thread.

    def _run(self) -> None:
        while not self._give_up:
            self._wake.wait(IDLE)
            if self._waiting < WORTH_A_COMMIT and self._wake.is_set() and not self._closing:
                time.sleep(SETTLE)
            self._wake.clear()
            with self._lock:
                puts, self._puts, self._waiting = self._puts, [], 0
            if puts and not self._store(puts):
                self._puts = puts
                break
            if self._closing and not self._puts:
                break
            if not puts:
                self._tick()
        self._shut()

    def _store(self, puts: Sequence[Put]) -> bool:
        """Append and commit, for as long as it takes; False when told to give up.

        The writer keeps what it has taken when the disk refuses, so committing is tried again, never appending.
        """
        for put in puts:
            if not self._until_done(partial(self._append, put)):
                return False
        if not self._until_done(self._commit):
            return False
        self._out_of_trouble()
        self._tell(puts)
        self._tick()
        return True

    def _append(self, put: Put) -> None:
        facts = put.origin.facts
        number, known = self._numbers.get(put.origin.key, (0, facts))
        if not number or known is not facts:
            number = self._writer.source(put.origin.name, put.origin.transport, **facts)
            self._numbers[put.origin.key] = number, facts
        if put.dropped:
            self._writer.drop(number, put.dropped, put.reason)
        elif put.raws:
            if self._taken + put.size > GROUP_LIMIT:
                self._commit()
            first = self._writer.append(number, put.raws, put.received)
            self._taken += put.size
            if put.landed is not None:
                put.landed.append(first)
        elif put.landed is not None:
            put.landed.append(self._writer.following(number))

    def _commit(self) -> None:
        self._durable = self._writer.commit()
        self._taken = 0

    def _until_done(self, step: Callable[[], None]) -> bool:
        """Do one step, again and again while the disk refuses; False when told to give up."""
        pause = 0.05
        while True:
            try:
                step()
            except (OSError, WatchbillError) as error:
                self._in_trouble(error)
            else:
                return True
            until = time.monotonic() + pause
            pause = min(pause * 2, 2.0)
            while time.monotonic() < until:
                if self._give_up:
                    return False
                time.sleep(0.05)

    def _tell(self, puts: Sequence[Put]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody is left to be told
            self._loop.call_soon_threadsafe(self._committed, puts, self._durable)

    def _in_trouble(self, error: Exception) -> None:
        if self.trouble != str(error):
            log.error("nothing can be written to the ledger, receivers wait: %s", error)
            self.trouble = str(error)

    def _out_of_trouble(self) -> None:
        if self.trouble:
            log.warning("the ledger takes records again")
            self.trouble = ""

    def _tick(self) -> None:
        try:
            self._writer.tick()
        except (OSError, WatchbillError) as error:
            self._in_trouble(error)
        else:
            self._out_of_trouble()
        for event, detail in self._writer.notices():
            log.warning("%s: %s", event, detail)
            with contextlib.suppress(RuntimeError):  # the loop is gone: the manifest and the log say it
                self._loop.call_soon_threadsafe(self.note, notes.incident(event, self._clock.now(), **detail))

    def _shut(self) -> None:
        try:
            self._writer.close()
        except (OSError, WatchbillError) as error:
            self._in_trouble(error)
