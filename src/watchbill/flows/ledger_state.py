"""How the ledger stands, and what was last found when it was verified."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import NamedTuple

from watchbill.core.clock import SystemClock
from watchbill.flows import installation
from watchbill.flows.prove import DAMAGED, VERIFIED, verify
from watchbill.ledger import shards
from watchbill.ledger.keys import fingerprint, open_root_public
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import Head, shard_path, volumes
from watchbill.state.trail.queries import entries
from watchbill.state.trail.values import Entry, TrailFilter

log = logging.getLogger(__name__)
_NAMES = {0: "what arrives", 1: "what was done"}


class ShardState(NamedTuple):
    """``head``: durable records; ``sealed``: segments that are sealed; ``log_size``: entries that the log has signed."""

    number: int
    name: str
    head: int
    sealed: int
    log_size: int
    size: int


def states() -> tuple[ShardState, ...]:
    """Each shard as its writer published it; cheap, nothing is verified by it."""
    folder = installation.data().ledger
    found = []
    for number in shards(folder):
        path = shard_path(folder, number)
        head = Head.read(path)
        held = sum(volume.path.stat().st_size for volume in volumes(path))
        found.append(
            ShardState(
                number,
                _NAMES.get(number, ""),
                head.position if head else 0,
                head.sealed if head else 0,
                _log_size(path),
                held,
            )
        )
    return tuple(found)


def _log_size(path: Path) -> int:
    text = TileReader(path / "log").checkpoint()
    if not text:
        return 0
    try:
        return Checkpoint.parse(text).size
    except ValueError:
        return 0


def root_fingerprint() -> str:
    """What an auditor compares: the fingerprint of the root key; empty before there is one."""
    keys = installation.data().keys
    root = open_root_public(keys) if (keys / "root.pub").exists() else None
    return fingerprint(root.key) if root else ""


def last_verification() -> Entry | None:
    """The newest of all verdicts."""
    return next(iter(verifications(1)), None)


def verifications(limit: int = 20) -> list[Entry]:
    found = [one for action in (VERIFIED, DAMAGED) for one in entries(TrailFilter(action=action, limit=limit))]
    return sorted(found, key=lambda one: -one.at)[:limit]


class Verification:
    """One verification at a time in this process, in a thread of its own, so that pages go on answering."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.done = 0
        self.total = 0
        self.failure = ""

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def percent(self) -> int:
        return min(100 * self.done // self.total, 100) if self.total else 0

    def start(self, by: str) -> bool:
        """Begin; False when one is running already."""
        with self._lock:
            if self.running:
                return False
            self.done = self.total = 0
            self.failure = ""
            self._thread = threading.Thread(target=self._run, args=(by,), name="verify", daemon=True)
            self._thread.start()
            return True

    def wait(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, by: str) -> None:
        from django.db import connections

        try:
            verify(installation.data(), SystemClock(), by=by, progress=self._progress, workers=1)
        except Exception as error:
            # It is shown on the page: a verification that could not run is no verdict.
            log.exception("the verification could not run")
            self.failure = f"the verification could not run: {error}"
        finally:
            connections.close_all()

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total


verification = Verification()
