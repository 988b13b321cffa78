"""A record becomes an event at rest and, where a rule is met, an alert.

    ledger ─► judge (normalise, match) ─► correlate ─► one transaction: alerts, group states, counts, position
                │                   └────────────────► statistics of sources and hosts, at most once a second
                └─► lake, at most every second or two, with a position of its own

The judge knows no database and works in a process of its own where there is a second core (``judge_process``). All three
results resume where they end themselves, so that kill -9 at any moment costs nothing but the time to read again. A
transaction that fails ends the process rather than the position: it starts again from what is stored. Django must be set
up before this module is imported (``watchbill.state.setup``).
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event as StopSignal
from typing import IO, TypeVar

from django.db import transaction

from watchbill.core.clock import SECOND, Clock
from watchbill.core.config import Config
from watchbill.core.errors import WatchbillError
from watchbill.core.memory import settle_memory
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration
from watchbill.core.values import Criticality
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Detector, Match, RuleSet
from watchbill.flows import content, engine_status
from watchbill.flows.engine_status import EngineStatus
from watchbill.flows.judge import Judge, Judgement
from watchbill.flows.judge_process import JudgeGoneError, JudgePort, JudgeProcess, OwnJudge
from watchbill.flows.rule_stats import editions_rules
from watchbill.ledger import Reader, shards
from watchbill.sdk import LogSource
from watchbill.state.alerts import actions as alerts
from watchbill.state.assets import actions as assets
from watchbill.state.assets import queries as inventory
from watchbill.state.assets.tally import Tally
from watchbill.state.coverage import actions as coverage
from watchbill.state.coverage.values import KindCount
from watchbill.state.readers import actions as progress
from watchbill.state.readers import queries as readers

log = logging.getLogger(__name__)

#: The most records judged in one transaction. Whoever keeps up takes what has arrived, which is much less; whoever is
#: behind pays what a transaction costs more rarely.
BATCH = 10_000
_IDLE_SECONDS = 0.03
_STATISTICS = "statistics"
_STATISTICS_EVERY = SECOND
_TICK_EVERY = SECOND
_INVENTORY_SECONDS = 2.0
_RULES_SECONDS = 2.0
_STATUS_SECONDS = 5.0
#: How often rules are loaded anew when they change while that is done.
_TRIES = 5
#: A judge that ends so often without having judged anything is not started again.
_MOST_DEATHS = 5


T = TypeVar("T")


@dataclass(slots=True)
class _Shard:
    """How far one shard is judged, counted in the statistics, and asked for."""

    number: int
    reader: Reader
    position: int
    counted: int
    asked: int
    #: Where the ranges end that were asked for and are not answered yet.
    ends: deque[int] = field(default_factory=deque)


class Ingest:
    """The engine's work, one step at a time; ``run`` below gives it a process.

    ``start_judge`` starts a judge for this installation, and another one when that ends. With ``folders`` it takes up
    changed rules while it runs.
    """

    def __init__(
        self,
        data: DataDir,
        config: Config,
        catalog: Catalog,
        rules: RuleSet,
        clock: Clock,
        start_judge: Callable[[], JudgePort] | None = None,
        folders: content.RuleFolders | None = None,
    ) -> None:
        self.data = data
        self.clock = clock
        self._lateness = parse_duration(config.detect.lateness), config.detect.bounds()
        self._use(rules)
        self._folders = folders
        self._seen = folders.loaded if folders else 0
        self._rules_due = 0.0
        self._ticked = 0
        self._status_due = 0.0
        self._start_judge = start_judge or partial(_own_judge, data, config, catalog, rules, clock)
        self._judge = self._start_judge()
        self._deaths = 0
        self._criticalities: dict[str, Criticality] = {}
        self._inventory_due = 0.0
        self._shards: dict[int, _Shard] = {}
        self._tally = Tally()
        self._stored_statistics = clock.now()

    def _use(self, rules: RuleSet) -> None:
        """Judge by these rules from here on; the windows of those that are as before go on."""
        self.rules = rules
        self._digest = content.digest(rules)
        self._edition = coverage.use_rules(self._digest, editions_rules(rules), self.clock.now())
        self.detector = Detector(rules, self._criticality, *self._lateness, folder=self.data.run)
        self.detector.restore(readers.states())
        for problem in rules.problems:
            log.warning("a rule does not run: %s", problem)

    def _criticality(self, host: str) -> Criticality:
        return self._criticalities.get(host.lower(), Criticality.MEDIUM)

    def step(self) -> int:
        """Judge what has arrived, at most one batch. Returns the number of records read, 0 when there are none."""
        self._refresh_inventory()
        self._refresh_rules()
        for number in shards(self.data.ledger):
            if number not in self._shards:
                self._open(number)
        count = self._survive(self._advance)
        if not count and abs(self.clock.now() - self._ticked) >= _TICK_EVERY:
            self._tick()
        if time.monotonic() >= self._status_due:
            self._say_status()
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
        self._survive(self._flush)
        self._store_statistics()

    def close(self) -> None:
        """Let go of the judge."""
        self._judge.close()

    def _advance(self) -> int:
        if self._folders and self._judge.digest() != self._digest:
            self._load_rules(self._folders)  # they changed between our loading them and the judge's
        for shard in self._shards.values():
            self._ask(shard)
        count = self._take(self._judge.answer()) if self._waits else 0
        self._judge.tick()
        return count

    def _flush(self) -> None:
        while self._waits:
            self._take(self._judge.answer())
        self._judge.flush()

    @property
    def _waits(self) -> bool:
        """Whether something was asked and is not answered."""
        return any(shard.ends for shard in self._shards.values())

    def _ask(self, shard: _Shard) -> None:
        """Ask for what has arrived: one range, and when there is much more than that the next one too."""
        while len(shard.ends) < self._judge.depth:
            # What the statistics lack was judged already, so a range ends where that does.
            known = shard.position if shard.asked < shard.position else shard.reader.head()
            end = min(known, shard.asked + BATCH)
            if end <= shard.asked or (shard.ends and end < shard.asked + BATCH):
                return
            self._judge.ask(shard.number, shard.asked, end)
            shard.asked = end
            shard.ends.append(end)

    def _take(self, judgement: Judgement) -> int:
        """Make a judgement count, as far as it does not count already. Returns the number of its records."""
        self._deaths = 0
        shard = self._shards[judgement.shard]
        if judgement.end > shard.position:
            self._store(judgement)
            shard.position = judgement.end
        self._tally.merge(judgement.sources, judgement.hosts)
        shard.counted = judgement.end
        if judgement.end == shard.ends[0]:
            shard.ends.popleft()
        return judgement.end - judgement.start

    def _store(self, judgement: Judgement) -> None:
        matches = [Match(name, at) for at, names in enumerate(judgement.rules) for name in names]
        covers = judgement.shard, range(judgement.start, judgement.end)
        detections = self.detector.feed(judgement.events, matches, covers)
        with transaction.atomic():
            alerts.raise_alerts(detections, self.rules.infos, self.clock.now())
            progress.save("detect", {judgement.shard: judgement.end}, self.detector.dirty())
            coverage.count(judgement.shard, self._edition, _by_source(judgement), _by_kind(judgement))

    def _say_status(self) -> None:
        self._status_due = time.monotonic() + _STATUS_SECONDS
        behind = sum(shard.reader.head() - shard.position for shard in self._shards.values())
        rules, problems = len(self.rules.rules), len(self.rules.problems)
        counters = self.detector.counters._asdict()
        engine_status.write(self.data, EngineStatus(self.clock.now(), rules, problems, max(behind, 0), **counters))

    def _tick(self) -> None:
        """Store what time alone has decided, now that all that has arrived is judged."""
        now = self._ticked = self.clock.now()
        detections = self.detector.tick(now)
        states = self.detector.dirty()
        if detections or states:
            with transaction.atomic():
                alerts.raise_alerts(detections, self.rules.infos, now)
                progress.save_states(states)

    def _store_statistics(self) -> None:
        now = self._stored_statistics = self.clock.now()
        if not self._tally:
            return
        with transaction.atomic():
            assets.observe(*self._tally.take(), now)
            progress.save(_STATISTICS, {number: shard.counted for number, shard in self._shards.items()})

    def _open(self, number: int) -> None:
        """Resume a shard where its judged events end. What the statistics lack before that is counted now."""
        position = readers.position("detect", number)
        coverage.begin(number, position)
        counted = readers.positions(_STATISTICS).get(number)
        if counted is None:
            progress.save(_STATISTICS, {number: position})
            counted = position
        shard = self._shards[number] = _Shard(number, Reader(self.data.ledger, number), position, counted, counted)
        self._survive(partial(self._judge_expects, shard))
        while shard.counted < position:
            self._survive(self._advance)

    def _judge_expects(self, shard: _Shard) -> None:
        self._judge.expect(shard.number, shard.position)

    def _survive(self, do: Callable[[], T]) -> T:
        """Do something with the judge; when it ends, again with another one."""
        while True:
            try:
                return do()
            except JudgeGoneError as error:
                self._replace_judge(error)

    def _replace_judge(self, error: JudgeGoneError) -> None:
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            raise error
        log.warning("%s; another one goes on", error)
        code = self._judge.close()
        note = {"process": "judge", "code": code, "at": time.time_ns() // SECOND * SECOND}
        with contextlib.suppress(OSError), (self.data.run / "restarts.jsonl").open("a") as notes:
            notes.write(json.dumps(note) + "\n")  # the worker puts it on the trail
        self._judge = self._start_judge()
        for shard in self._shards.values():
            shard.ends.clear()
            shard.asked = shard.counted
            self._judge_expects(shard)

    def _refresh_rules(self) -> None:
        """Take up rules that were changed on disk, once nobody changes them any more."""
        if self._folders is None or time.monotonic() < self._rules_due:
            return
        self._rules_due = time.monotonic() + _RULES_SECONDS
        before, self._seen = self._seen, self._folders.fingerprint()
        if self._seen != self._folders.loaded and self._seen == before:
            self._survive(partial(self._load_rules, self._folders))

    def _load_rules(self, folders: content.RuleFolders) -> None:
        """Load the rules here and in the judge, at the same time, and go over to them between two judgements."""
        while self._waits:
            self._take(self._judge.answer())
        for _ in range(_TRIES):
            loaded = self._judge.load()
            rules = folders.load()
            if loaded() == content.digest(rules):
                break
        else:
            raise WatchbillError("the rules change faster than they can be loaded", retry=True)
        self._use(rules)
        log.info("judging by %d rules now, %d do not run", len(rules.rules), len(rules.problems))

    def _refresh_inventory(self) -> None:
        """Take over what people say of the assets; thresholds follow within seconds."""
        if time.monotonic() >= self._inventory_due:
            self._criticalities = inventory.criticalities()
            self._inventory_due = time.monotonic() + _INVENTORY_SECONDS


def _by_source(judgement: Judgement) -> list[tuple[int, int, int]]:
    """(Source, records, quarantined); source 0 are the ledger's own records."""
    found = [(one.number, one.events, one.quarantined) for one in judgement.sources]
    return [(0, judgement.skipped, 0), *found] if judgement.skipped else found


def _by_kind(judgement: Judgement) -> list[KindCount]:
    found: dict[tuple[int, LogSource, int], list[int]] = {}
    for kind, count in judgement.kinds:
        counts = found.setdefault((kind.hour, kind.logsource, kind.class_uid), [0, 0])
        counts[0] += count
        counts[1] += 0 if kind.good else count
    return [KindCount(hour, *source, class_uid, *counts) for (hour, source, class_uid), counts in found.items()]


def _own_judge(data: DataDir, config: Config, catalog: Catalog, rules: RuleSet, clock: Clock) -> JudgePort:
    judge = Judge(data, catalog.parsers, rules, clock, config.timezone)
    return OwnJudge(judge, rules, content.RuleFolders(data, config).load)


def open_ingest(
    data: DataDir, config: Config, clock: Clock, start_judge: Callable[[], JudgePort] | None = None
) -> Ingest:
    """Load content and state for judging."""
    catalog = content.installed(data, config)
    folders = content.RuleFolders(data, config)
    return Ingest(data, config, catalog, folders.load(), clock, start_judge, folders)


@contextmanager
def only_engine(data: DataDir) -> Iterator[IO[str] | None]:
    """The lock of the one process that judges (None: another one does); it goes with that, however it ends."""
    with (data.run / "engine.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
        else:
            yield lock


def run(data: DataDir, config: Config, clock: Clock, stop: StopSignal) -> None:
    """Judge until told to stop. Waits while another process (a replay without a server) judges."""
    while not stop.is_set():
        with only_engine(data) as lock:
            if lock:
                start = partial(JudgeProcess, data, holds=(lock.fileno(),)) if cores() > 1 else None
                ingest = open_ingest(data, config, clock, start)
                gc.collect()
                settle_memory()
                _run(ingest, stop)
        stop.wait(1)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _run(ingest: Ingest, stop: StopSignal) -> None:
    with closing(ingest):
        while not stop.is_set():
            if not ingest.step():
                stop.wait(_IDLE_SECONDS)
        ingest.flush()
