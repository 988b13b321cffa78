"""The worker: what has to happen every so often, each on its own, so that one that fails stops no other."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event as StopSignal
from typing import NamedTuple

from watchbill.core.clock import DAY, SECOND, Clock
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.engine.catalog import Catalog
from watchbill.state import setup

log = logging.getLogger(__name__)

#: From this share of its disk the storage counts as near full (row D5).
NEARLY_FULL = 0.85


class Task(NamedTuple):
    name: str
    seconds: float
    do: Callable[[], object]


def run(data: DataDir, config: Config, clock: Clock, stop: StopSignal) -> None:
    """Do every task when it is due, until told to stop; then forward what is left."""
    setup(data)
    from watchbill.flows.forward import Forwarder
    from watchbill.flows.guard import guarding

    with ExitStack() as stack:
        stack.callback(end_all)
        forwarder = stack.enter_context(Forwarder(data, clock))
        stack.enter_context(guarding(data, config, clock))
        due = dict.fromkeys(tasks(data, config, clock, forwarder.forward), 0.0)
        while not stop.is_set():
            for task, when in due.items():
                if time.monotonic() >= when:
                    _do(task)
                    due[task] = time.monotonic() + task.seconds
            stop.wait(0.2)
        forwarder.forward()


#: Commands of ours that run beside the worker, one of each at a time; they want memory, or time, that it has not.
_running: dict[str, subprocess.Popen[bytes]] = {}


def _beside(command: str, data: DataDir, *arguments: str) -> None:
    """Start a command of ours unless it still runs; how it ended is said when it is due again."""
    before = _running.get(command)
    if before is not None:
        if before.poll() is None:
            return
        if before.returncode:
            log.warning("%s ended with code %d", command, before.returncode)
    _running[command] = subprocess.Popen(
        [sys.executable, "-m", "watchbill", command, *arguments, "--data", str(data.root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def end_all() -> None:
    """End what runs beside the worker. All of it can be cut off at any moment, and is taken up again."""
    for process in _running.values():
        process.terminate()
    for process in _running.values():
        process.wait()
    _running.clear()


def _copy(data: DataDir) -> None:
    """See that the process that keeps the copies up to date runs, if there are any."""
    from watchbill.state.copies import queries

    if queries.copies():
        _beside("copies", data, "follow")


def _do(task: Task) -> None:
    from django.db import close_old_connections

    try:
        close_old_connections()
        task.do()
    except Exception:
        log.exception("%s failed; it is tried again in %s seconds", task.name, task.seconds)


def tasks(data: DataDir, config: Config, clock: Clock, forward: Callable[[], object]) -> list[Task]:
    """All of the worker's tasks, most urgent first."""
    from watchbill.flows.deliver import deliver
    from watchbill.flows.reconcile import Reconciler
    from watchbill.flows.source_health import watch_receivers, watch_sources
    from watchbill.state.assets import actions as assets
    from watchbill.state.coverage import actions as coverage

    catalog = Catalog.load("watchbill.content")
    return [
        Task("forwarding the trail to the ledger", 0.3, forward),
        Task("notifications", 1.0, lambda: deliver(catalog, config.console.url, clock)),
        Task("restarted processes", 2.0, lambda: note_restarts(data)),
        Task("sources", 15.0, lambda: watch_sources(clock.now())),
        Task("receivers", 15.0, lambda: watch_receivers(data, clock.now())),
        Task("what was judged, held against the ledger", 10.0, Reconciler(data, clock).reconcile),
        Task("storage", 60.0, lambda: watch_storage(data, clock)),
        Task("checks of controls", 60.0, lambda: _assess(data, config, clock)),
        Task("the lake, and the ledger's closed volumes", 300.0, lambda: _beside("maintain", data)),
        Task("retention", DAY / SECOND, lambda: _beside("retention", data, "run", "--yes")),
        Task("second copies", 5.0, lambda: _copy(data)),
        Task("old counts", 3600.0, lambda: assets.forget_hours(clock.now() - 35 * DAY)),
        Task("old counts of what was judged", 3600.0, lambda: coverage.fold_hours(clock.now() - 35 * DAY)),
    ]


def _assess(data: DataDir, config: Config, clock: Clock) -> None:
    from watchbill.flows import content
    from watchbill.flows.assess import assess

    catalog = content.installed(data, config)
    assess(data, catalog, content.rules(catalog), clock)


def note_restarts(data: DataDir) -> None:
    """Put on the trail what the supervisor noted: it has no database of its own."""
    from django.db import transaction

    from watchbill.state.trail import actions
    from watchbill.state.trail.values import SYSTEM

    notes = data.run / "restarts.jsonl"
    taken = data.run / "restarts.taken"
    if not taken.exists():
        if not notes.exists():
            return
        notes.rename(taken)
    with transaction.atomic():
        for line in taken.read_bytes().splitlines():
            try:
                note = json.loads(line)
                process, code, at = str(note["process"]), int(note["code"]), int(note["at"])
            except (ValueError, TypeError, KeyError):
                log.warning("a note of a restarted process cannot be read: %r", line)  # the supervisor was cut off
                continue
            actions.record(SYSTEM, "process.restarted", "process", process, {"code": code}, at)
    taken.unlink()


def watch_storage(data: DataDir, clock: Clock) -> None:
    """Tell once a day when the disk under the installation is nearly full."""
    from watchbill.state.trail import actions, queries
    from watchbill.state.trail.values import SYSTEM, TrailFilter

    usage = shutil.disk_usage(data.root)
    percent = 100 * usage.used // usage.total
    if percent < 100 * NEARLY_FULL:
        return
    now = clock.now()
    if queries.entries(TrailFilter(action="storage.near_full", start=now - DAY, limit=1)):
        return
    detail = {"percent": percent, "free_bytes": usage.free, "total_bytes": usage.total}
    actions.record(SYSTEM, "storage.near_full", "storage", "data", detail, now)
