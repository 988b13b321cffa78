"""Exports of the console and the API: made beside the requests, one at a time, and kept for a day to be fetched.

Jobs live in the web process: a restart forgets them and removes their files. A bundle counts as handed out, and goes on
the trail, when somebody fetches it.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

import msgspec

from watchbill.core.clock import DAY, Clock, SystemClock
from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.flows import installation
from watchbill.flows.export import companions, record_export
from watchbill.ledger import export_bundle
from watchbill.ledger.note import Checkpoint

log = logging.getLogger(__name__)
#: So many are kept, waiting and running ones included; and so long.
MOST = 8
KEPT_FOR = DAY
#: An export stops before it leaves less than this to the ledger, in bytes.
LEAST_FREE = 512 << 20
_CHUNK = 1 << 16


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"


class Export(msgspec.Struct, frozen=True):
    """``percent`` of the period is read; ``size`` in bytes and ``events`` are known once it is ready, ``failure`` says
    what went wrong. It is kept until ``until``.
    """

    id: str
    by: str
    at: int
    start: int
    end: int
    controls: tuple[str, ...]
    state: State
    percent: int
    size: int
    events: int
    failure: str
    until: int


class _StoppedError(Exception):
    """Somebody removed the export while it was made."""


class _Job:
    def __init__(self, export: Export, extra: dict[str, bytes], held: Sequence[Checkpoint]) -> None:
        self.export = export
        self.extra = extra
        self.held = held
        self.stopped = False
        self.done = threading.Event()

    def tell(self, **changes: object) -> None:
        self.export = msgspec.structs.replace(self.export, **changes)


class Exports:
    """The exports of one installation."""

    def __init__(self, data: DataDir, clock: Clock) -> None:
        self._data, self._clock = data, clock
        self._folder = data.run / "exports"
        shutil.rmtree(self._folder, ignore_errors=True)  # what a process before this one left
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._thread: threading.Thread | None = None

    def begin(
        self, by: str, start: int, end: int, *, named: Sequence[str] = (), held: Sequence[Checkpoint] = ()
    ) -> Export:
        """Begin to export [start, end), with the state of the controls ``named``; ``held`` are the auditor's checkpoints.

        Raises NotFoundError for an unknown control, ConflictError when as many as can be kept wait to be made.
        """
        now = self._clock.now()
        end = min(end, now + 1)
        extra = companions(named, end)
        export = Export(
            id=secrets.token_hex(8), by=by, at=now, start=start, end=end, controls=tuple(named), state=State.WAITING,
            percent=0, size=0, events=0, failure="", until=now + KEPT_FOR,
        )  # fmt: skip
        with self._lock:
            self._tidy(now)
            self._make_room()
            self._jobs[export.id] = _Job(export, extra, held)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="export", daemon=True)
                self._thread.start()
        return export

    def all(self) -> tuple[Export, ...]:
        """Newest first."""
        with self._lock:
            self._tidy(self._clock.now())
            return tuple(job.export for job in reversed(self._jobs.values()))

    def one(self, export_id: str) -> Export:
        """Raises NotFoundError."""
        return self._job(export_id).export

    def wait(self, export_id: str, seconds: float) -> Export:
        """Wait until it is ready or failed, at most so long. Raises NotFoundError."""
        job = self._job(export_id)
        job.done.wait(seconds)
        return job.export

    def remove(self, export_id: str) -> None:
        """Stop it, or remove its file. Raises NotFoundError."""
        with self._lock:
            job = self._jobs.pop(export_id, None)
            if job is None:
                raise _unknown(export_id)
            self._drop(job)

    def take(self, export_id: str, *, by: str) -> tuple[Iterator[bytes], int, str]:
        """Return the bundle's bytes, their number and a name for the file; that ``by`` got it goes on the trail.

        Raises NotFoundError, and ConflictError while it is not ready.
        """
        export = self._job(export_id).export
        if export.state != State.READY:
            why = export.failure or f"it is {export.state}, {export.percent} % done"
            raise ConflictError(f"this export cannot be fetched: {why}", mend="wait until its state is ready")
        name = f"watchbill-{rfc3339(export.at)[:19].replace(':', '')}.zip"
        try:
            file = self._path(export_id).open("rb")
        except OSError:
            raise _unknown(export_id) from None
        try:
            record_export(by, name, export.start, export.end, export.controls, self._clock.now())
        except BaseException:
            file.close()
            raise

        def pieces() -> Iterator[bytes]:
            with file:
                while piece := file.read(_CHUNK):
                    yield piece

        return pieces(), export.size, name

    def _job(self, export_id: str) -> _Job:
        with self._lock:
            self._tidy(self._clock.now())
            job = self._jobs.get(export_id)
        if job is None:
            raise _unknown(export_id)
        return job

    def _path(self, export_id: str) -> Path:
        return self._folder / f"{export_id}.zip"

    def _drop(self, job: _Job) -> None:
        job.stopped = True
        self._path(job.export.id).unlink(missing_ok=True)

    def _tidy(self, now: int) -> None:
        for job in [one for one in self._jobs.values() if one.export.until <= now and one.done.is_set()]:
            self._drop(self._jobs.pop(job.export.id))

    def _make_room(self) -> None:
        while len(self._jobs) >= MOST:
            over = next((one for one in self._jobs.values() if one.done.is_set()), None)
            if over is None:
                raise ConflictError(f"{MOST} exports are waiting already", mend="wait, or remove one of them")
            self._drop(self._jobs.pop(over.export.id))

    def _work(self) -> None:
        while True:
            with self._lock:
                job = next((one for one in self._jobs.values() if one.export.state == State.WAITING), None)
                if job is None:
                    self._thread = None
                    return
                job.tell(state=State.RUNNING)
            self._make(job)

    def _make(self, job: _Job) -> None:
        path, asked = self._path(job.export.id), job.export

        def progress(done: int, total: int) -> None:
            if job.stopped:
                raise _StoppedError
            if shutil.disk_usage(self._folder).free < LEAST_FREE:
                raise ConflictError("the disk is nearly full", mend="make room, or export a shorter period")
            job.tell(percent=100 * done // total if total else 0)

        try:
            made = export_bundle(
                self._data.ledger, self._data.keys, path, asked.start, asked.end,
                held=job.held, extra=job.extra, progress=progress,
            )  # fmt: skip
            events = sum(shard["events"] for shard in made["shards"])
            job.tell(state=State.READY, percent=100, size=path.stat().st_size, events=events)
        except _StoppedError:
            job.tell(state=State.FAILED, failure="it was removed")
        except WatchbillError as error:
            job.tell(state=State.FAILED, failure=str(error))
        except Exception as error:
            # It is shown to whoever asked; the thread goes on with the next one.
            log.exception("an export could not be made")
            job.tell(state=State.FAILED, failure=f"the export could not be made: {type(error).__name__}")
        finally:
            if job.stopped:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            job.done.set()


def _unknown(export_id: str) -> NotFoundError:
    return NotFoundError(f"there is no export {export_id[:40]!r}", mend="they are kept for a day: ask for a new one")


@cache
def _exports(root: Path) -> Exports:
    return Exports(DataDir(root), SystemClock())


def exports() -> Exports:
    """Those of the installation that this process serves."""
    return _exports(installation.data().root)
