"""The ledger is guarded all the time: patrolled on disk, its heads remembered, witnessed and time-stamped.

A thread of the worker's own, so that neither a slow witness nor a long verification keeps notifications waiting; it asks
the kernel for little priority. Damage is on the trail within a round, and becomes a critical alert by its rule.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from threading import Event as StopSignal

from watchbill.core.clock import SECOND, Clock
from watchbill.core.config import Config
from watchbill.core.errors import LedgerError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration
from watchbill.flows.anchor import Anchoring
from watchbill.flows.prove import DAMAGED, VERIFIED
from watchbill.ledger import Finding
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.patrol import Patrol
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path
from watchbill.state.readers import actions as readers
from watchbill.state.readers import queries
from watchbill.state.trail import actions
from watchbill.state.trail.values import SYSTEM

log = logging.getLogger(__name__)

_ROUND_SECONDS = 10.0
_ANCHOR_SECONDS = 60.0
_NICE = 10
_MOST_TOLD = 20


class Guard:
    """What the thread does, one step at a time."""

    def __init__(self, data: DataDir, config: Config, clock: Clock) -> None:
        self._data, self._clock = data, clock
        cycle = parse_duration(config.ledger.verify_every) / SECOND
        self._patrol = Patrol(data.ledger, data.keys, data.run / "patrol.json", cycle)
        self._anchoring = Anchoring(data, config, clock)
        self._told_cycle = 0.0
        self._compared: set[int] = set()

    def look(self) -> list[Finding]:
        """Do one round; what is wrong goes on the trail. Returns what was found."""
        found = self._compare_heads() + self._patrol.round()
        for place, what in found[:_MOST_TOLD]:
            log.error("the ledger is damaged: %s: %s", place, what)
            self._tell(DAMAGED, self._name(place), {"place": place, "what": what, "findings": len(found)})
        if not found:
            self._remember_heads()
        cycle = self._patrol.cycle
        if cycle.complete and cycle.started != self._told_cycle:
            self._told_cycle = cycle.started
            if not cycle.findings:
                upto = {str(shard): position for shard, position in cycle.upto.items()}
                self._tell(VERIFIED, "all", {"events": sum(cycle.upto.values()), "upto": upto})
        return found

    def anchor(self) -> None:
        """Have the heads cosigned and stamped."""
        self._anchoring.witness()
        self._anchoring.stamp()

    def _compare_heads(self) -> list[Finding]:
        """Compare, once for each shard, with the heads that the state of record remembers: they are not the ledger's files."""
        found = []
        for shard, known in queries.known_heads().items():
            if shard in self._compared:
                continue
            self._compared.add(shard)
            log_tiles = TileReader(shard_path(self._data.ledger, shard) / "log")
            place = str(log_tiles.path / "checkpoint")
            try:
                signed = Checkpoint.parse(log_tiles.checkpoint() or "")
                if signed.origin != known.origin:
                    what = f"this log is {signed.origin}, it was {known.origin}"
                elif signed.size < known.size:
                    what = f"the log had {known.size} entries and has {signed.size}: it was cut back"
                elif log_tiles.root(known.size).hex() != known.root:
                    what = f"the first {known.size} entries of the log are not what they were: it was written anew"
                else:
                    continue
            except (ValueError, LedgerError) as error:
                what = f"the log had {known.size} entries, and its head cannot be read now: {error}"
            found.append(Finding(place, what))
        return found

    def _remember_heads(self) -> None:
        known = queries.known_heads()
        for shard, head in self._patrol.heads().items():
            before = known.get(shard)
            if before is None or before.size < head.size:
                readers.remember_head(shard, head.origin, head.size, head.root.hex(), self._clock.now())

    def _name(self, place: str) -> str:
        """Return the file that a finding is about, relative to the installation: findings of one file are one alert."""
        path = place.partition(" (byte ")[0]
        with contextlib.suppress(ValueError):
            return str(Path(path).relative_to(self._data.root))
        return path[-200:]

    def _tell(self, action: str, name: str, detail: dict[str, object]) -> None:
        kind = "ledger" if name == "all" else "file"
        actions.record(SYSTEM, action, kind, name, detail, self._clock.now())


@contextlib.contextmanager
def guarding(data: DataDir, config: Config, clock: Clock):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a generator context
    """Guard the ledger in a thread of its own, until the context ends."""
    stop = StopSignal()
    thread = threading.Thread(target=_run, args=(data, config, clock, stop), name="guard", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def _run(data: DataDir, config: Config, clock: Clock, stop: StopSignal) -> None:
    from django.db import close_old_connections, connections

    with contextlib.suppress(OSError, AttributeError):  # Linux: this thread alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    guard = Guard(data, config, clock)
    anchored = -_ANCHOR_SECONDS
    try:
        while not stop.is_set():
            try:
                close_old_connections()
                guard.look()
                if time.monotonic() - anchored >= _ANCHOR_SECONDS:
                    anchored = time.monotonic()
                    guard.anchor()
            except Exception:
                log.exception("guarding the ledger failed; it is tried again in %d seconds", _ROUND_SECONDS)
            stop.wait(_ROUND_SECONDS)
    finally:
        connections.close_all()
