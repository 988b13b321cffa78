"""A record becomes an event at rest and, where a rule is met, an alert.

    ledger ─► normalise ─► match ─► correlate ─► one transaction: alerts, group states, position
                 │           └─────────────────► lake, at most every second or two, with a position of its own
                 └─────────────────────────────► statistics of sources and hosts, likewise

All three resume where their own results end, so that kill -9 at any moment costs nothing but the time to read again. A
transaction that fails ends the process rather than the position: it starts again from what is stored. Django must be set up before this module is imported (``watchbill.state.setup``).
"""

from __future__ import annotations

import fcntl
import gc
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from threading import Event as StopSignal
from typing import NamedTuple

from django.db import transaction

from watchbill.core.clock import SECOND, Clock
from watchbill.core.config import Config
from watchbill.core.errors import LakeError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration
from watchbill.core.values import Criticality
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Detector, Match, RuleSet
from watchbill.engine.normalise import Normaliser
from watchbill.engine.normalise.attempts import WINDOW as MEMORY
from watchbill.flows import content
from watchbill.lake import Lake
from watchbill.ledger import Reader, SourceFacts, StoredRecord, shards
from watchbill.sdk import Event
from watchbill.state.alerts import actions as alerts
from watchbill.state.assets import actions as assets
from watchbill.state.assets import queries as inventory
from watchbill.state.assets.tally import Tally
from watchbill.state.readers import actions as progress
from watchbill.state.readers import queries as readers

log = logging.getLogger(__name__)

#: The most records judged in one transaction. Whoever keeps up takes what has arrived, which is much less; whoever is
#: behind pays what a transaction costs more rarely.
BATCH = 10_000
#: What a normaliser remembers of open connections is not stored: one that starts in the middle of a shard first reads
#: the records again that were received within ``MEMORY`` before its place, at most so many.
_READ_AGAIN = 200_000
_IDLE_SECONDS = 0.03
_LAKE_ROWS = 20_000
_LAKE_SECONDS = 1.5
_STATISTICS = "statistics"
_STATISTICS_EVERY = SECOND
_INVENTORY_SECONDS = 2.0


class Judged(NamedTuple):
    """A batch of one shard: its events, the source and the rules met of each, and where to read on."""

    events: list[Event]
    sources: list[SourceFacts]
    matches: list[Match]
    rules: list[tuple[str, ...]]
    end: int


class _Line(NamedTuple):
    """A shard's records in order, and the normaliser that has seen those before."""

    number: int
    reader: Reader
    normaliser: Normaliser


class _Writing(NamedTuple):
    """What of a shard is on its way to the lake."""

    done: Future[int]
    events: list[Event]
    rules: list[tuple[str, ...]]
    upto: int


@dataclass(slots=True)
class _Shard:
    """How far one shard is read, and what of it waits for the lake."""

    line: _Line
    position: int
    in_lake: int
    events: list[Event] = field(default_factory=list)
    rules: list[tuple[str, ...]] = field(default_factory=list)
    writing: _Writing | None = None


class Ingest:
    """The engine's work, one step at a time; ``run`` below gives it a process."""

    def __init__(self, data: DataDir, config: Config, catalog: Catalog, rules: RuleSet, clock: Clock) -> None:
        self.data = data
        self.clock = clock
        self.rules = rules
        self._new_normaliser = partial(Normaliser, catalog.parsers, clock=clock, timezone=config.timezone)
        self.detector = Detector(rules, self._criticality, parse_duration(config.detect.lateness))
        self.detector.restore(readers.states())
        self.lake = Lake(data.lake)
        # The lake belongs to this one thread. Most of what it does there needs no interpreter, and the disk makes it wait.
        self._lake_thread = ThreadPoolExecutor(1, thread_name_prefix="lake")
        self._criticalities: dict[str, Criticality] = {}
        self._inventory_due = 0.0
        self._shards: dict[int, _Shard] = {}
        self._flush_due = time.monotonic() + _LAKE_SECONDS
        self._tally = Tally()
        self._stored_statistics = clock.now()

    def _criticality(self, host: str) -> Criticality:
        return self._criticalities.get(host.lower(), Criticality.MEDIUM)

    def step(self) -> int:
        """Judge what has arrived, at most one batch a shard. Returns the number of records read."""
        self._refresh_inventory()
        count = 0
        for number in shards(self.data.ledger):
            if number not in self._shards:
                self._shards[number] = self._open(number)
            count += self._judge(self._shards[number])
        waiting = sum(len(shard.events) for shard in self._shards.values())
        if waiting >= _LAKE_ROWS or (waiting and time.monotonic() >= self._flush_due):
            self._fill_lake(wait=waiting >= 2 * _LAKE_ROWS)
        # By the clock of the installation, for a story that is played faster than it happened wants them in time too.
        if self._tally and abs(self.clock.now() - self._stored_statistics) >= _STATISTICS_EVERY:
            self._store_statistics()
        return count

    def drain(self, tell: Callable[[int], None] | None = None) -> int:
        """Judge everything that is durable now and write it to the lake. Returns the number of records read."""
        total = 0
        while count := self.step():
            total += count
            if tell:
                tell(count)
        self.flush()
        return total

    def flush(self) -> None:
        """Write what waits: events to the lake, statistics to the state."""
        self._fill_lake(wait=True)
        self._store_statistics()

    def _store_statistics(self) -> None:
        now = self._stored_statistics = self.clock.now()
        if not self._tally:
            return
        with transaction.atomic():
            assets.observe(*self._tally.take(), now)
            progress.save(_STATISTICS, {number: shard.position for number, shard in self._shards.items()})

    def _fill_lake(self, *, wait: bool) -> None:
        """Write to the lake. One that refuses is tried again later; detection goes on meanwhile."""
        self._flush_due = time.monotonic() + _LAKE_SECONDS
        for number, shard in self._shards.items():
            if shard.writing and not wait and not shard.writing.done.done():
                continue
            try:
                self._finish(shard)
                self._fill(number, shard)
                if shard.events:
                    done = self._append(number, shard.events, shard.rules, shard.position)
                    shard.writing = _Writing(done, shard.events, shard.rules, shard.position)
                    shard.events, shard.rules = [], []
                    if wait:
                        self._finish(shard)
            except LakeError as error:
                if not error.retry:
                    raise
                log.warning("events of shard %d wait for the lake: %s", number, error)
                if len(shard.events) >= 10 * _LAKE_ROWS:
                    # Too many to hold: they are read from the ledger again when the lake is back.
                    shard.events, shard.rules = [], []

    def _append(self, number: int, events: list[Event], rules: list[tuple[str, ...]], upto: int) -> Future[int]:
        return self._lake_thread.submit(self.lake.append, number, events, rules, upto)

    @staticmethod
    def _finish(shard: _Shard) -> None:
        """Wait for what is on its way to the lake; what did not arrive waits again. Raises LakeError."""
        writing, shard.writing = shard.writing, None
        if writing is None:
            return
        try:
            writing.done.result()
        except LakeError:
            shard.events = writing.events + shard.events
            shard.rules = writing.rules + shard.rules
            raise
        shard.in_lake = writing.upto

    def _fill(self, number: int, shard: _Shard) -> None:
        """Write to the lake what lies between its own position and the events that wait in memory."""
        held_from = shard.events[0].position if shard.events else shard.position
        if shard.in_lake >= held_from:
            return
        line = self._line(number, shard.in_lake)
        while shard.in_lake < held_from:
            judged = self._read(line, shard.in_lake, min(BATCH, held_from - shard.in_lake))
            self._append(number, judged.events, judged.rules, judged.end).result()
            shard.in_lake = judged.end

    def _open(self, number: int) -> _Shard:
        """Resume a shard where its judged events end. What the lake lacks before that follows with the next flush, what
        the statistics lack is counted now.
        """
        position = readers.position("detect", number)
        counted = readers.positions(_STATISTICS).get(number)
        if counted is None:
            progress.save(_STATISTICS, {number: position})
            counted = position
        line = self._line(number, counted)
        while counted < position:
            records = line.reader.read(counted, min(BATCH, position - counted))
            counted = records[-1].position + 1
            self._count(*self._normalise(line, records))
        return _Shard(line, position, self._lake_thread.submit(self.lake.position, number).result())

    def _line(self, number: int, position: int) -> _Line:
        """Read a shard from a position on, with what the records before it have told."""
        line = _Line(number, Reader(self.data.ledger, number), self._new_normaliser())
        at = max(0, position - _READ_AGAIN)
        since = line.reader.get(position - 1).received - MEMORY if position else 0
        while at < position:
            records = line.reader.read(at, min(BATCH, position - at))
            at = records[-1].position + 1
            self._normalise(line, [record for record in records if record.received >= since])
        return line

    def _count(self, sources: list[SourceFacts], events: list[Event]) -> None:
        self._tally.add(zip(sources, events, strict=True))

    def _normalise(self, line: _Line, records: list[StoredRecord]) -> tuple[list[SourceFacts], list[Event]]:
        records = [record for record in records if record.source]  # source 0 is the ledger's own bookkeeping
        known = {number: line.reader.source(number) for number in {record.source for record in records}}
        sources = [known[record.source] for record in records]
        return sources, line.normaliser.normalise(zip(records, sources, repeat(line.number), strict=False))

    def _read(self, line: _Line, start: int, limit: int) -> Judged:
        """Read, normalise and match. Only the normaliser remembers what it has seen, so a line is read once and in order."""
        records = line.reader.read(start, limit)
        end = records[-1].position + 1 if records else start
        sources, events = self._normalise(line, records)
        matches = self.detector.match(events)
        return Judged(events, sources, matches, self.detector.names(matches, len(events)), end)

    def _judge(self, shard: _Shard) -> int:
        start = shard.position
        judged = self._read(shard.line, start, BATCH)
        if judged.end == start:
            return 0
        detections = self.detector.feed(judged.events, judged.matches)
        with transaction.atomic():
            alerts.raise_alerts(detections, self.rules.infos, self.clock.now())
            progress.save("detect", {shard.line.number: judged.end}, self.detector.dirty())
        shard.position = judged.end
        self._count(judged.sources, judged.events)
        if judged.end > shard.in_lake:
            shard.events += judged.events
            shard.rules += judged.rules
        return judged.end - start

    def _refresh_inventory(self) -> None:
        """Take over what people say of the assets; thresholds follow within seconds."""
        if time.monotonic() >= self._inventory_due:
            self._criticalities = inventory.criticalities()
            self._inventory_due = time.monotonic() + _INVENTORY_SECONDS


def open_ingest(data: DataDir, config: Config, clock: Clock) -> Ingest:
    """Load content and state for judging."""
    catalog = content.installed(data, config)
    rules = content.rules(catalog)
    for problem in rules.problems:
        log.warning("a rule does not run: %s", problem)
    return Ingest(data, config, catalog, rules, clock)


@contextmanager
def only_engine(data: DataDir) -> Iterator[bool]:
    """Whether this process is the one that judges; the lock goes with it, however it ends."""
    with (data.run / "engine.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def run(data: DataDir, config: Config, clock: Clock, stop: StopSignal) -> None:
    """Judge until told to stop. Waits while another process (a replay without a server) judges."""
    while not stop.is_set():
        with only_engine(data) as alone:
            if alone:
                ingest = open_ingest(data, config, clock)
                settle_memory()
                _run(ingest, stop)
        stop.wait(1)


def settle_memory() -> None:
    """Keep Python's cycle collector from looking again and again at rules that stay and events that hold no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _run(ingest: Ingest, stop: StopSignal) -> None:
    while not stop.is_set():
        if not ingest.step():
            stop.wait(_IDLE_SECONDS)
    ingest.flush()
