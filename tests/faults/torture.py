"""The fault battery at length: ``make torture``, or ``python tests/faults/torture.py [--fault NAME] [--scale SHARE]``.

Figures go to standard output, one line a fault as it ends (also when it is interrupted); progress to standard error. Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from block_device import power_cuts
from crash_states import State, build
from injections import Injection, Injector
from judging import judge
from kills import kills
from nursery import Nursery
from scenarios import SCENARIOS, play
from tampering import tampered
from whole_product import killed_at_random

from watchbill.core.errors import WatchbillError

KILLS = 1_000
STATES = 100_000
FLIPS = 10_000
CUTS = 500
PROCESS_KILLS = 40
#: States that one recording gives at each of its moments.
EACH = 40
MEMORY_LIMIT = 512 << 20
MOST_UNDER_WAY = 256
STOP = threading.Event()
Task, Found = TypeVar("Task"), TypeVar("Found")


class Figures(NamedTuple):
    """What a fault came to: how often it was done, what failed, and what was measured."""

    done: int
    failures: list[str]
    facts: dict[str, object]


class Extent(NamedTuple):
    """How much is to be done: a share of the full numbers, by so many processes at once."""

    scale: float
    processes: int

    def of(self, full: int) -> int:
        return max(1, int(full * self.scale))


class Bar:
    """A progress bar on standard error: a line that is rewritten on a terminal, one every half minute elsewhere."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._began = time.monotonic()
        self._told = 0.0

    def step(self, count: int = 1) -> bool:
        """Count what was done; tell whether to go on (no, once it was interrupted)."""
        self._done += count
        self._tell()
        return not STOP.is_set()

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told < (0.2 if sys.stderr.isatty() else 30) and self._done != self._total:
            return
        self._told = now
        share = min(1.0, self._done / max(1, self._total))
        left = (now - self._began) / max(share, 1e-9) * (1 - share)
        text = f"{self._name:<12} [{'#' * int(30 * share):<30}] {self._done:,} of {self._total:,}, {left:.0f} s left"
        end = "" if sys.stderr.isatty() and self._done < self._total else "\n"
        print(f"\r{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


def _states(total: int) -> Iterator[tuple[int, State, str]]:
    """Crash states of all scenarios, seed after seed, until there are ``total`` whose files differ."""
    disks: set[bytes] = set()
    with Nursery() as nursery:
        for seed in range(1, 1_000_000):
            for scenario in SCENARIOS:
                with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
                    for state in play(nursery, scenario, Path(folder), seed, random.Random(seed), EACH):
                        disks.add(state.digest)
                        yield seed, state, scenario.name
                        if len(disks) >= total:
                            return


def _judge_state(task: tuple[int, State, str]) -> tuple[str, bytes, str]:
    """The name of the scenario, the digest of the disk, and what is wrong ("" if nothing)."""
    seed, state, scenario = task
    folder = _scratch() / f"{os.getpid()}"
    try:
        build(state, folder)
        judge(folder, seed, state.acknowledged)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return scenario, state.digest, f"{scenario}, seed {seed}, {state.story}: {type(error).__name__}: {error}"
    return scenario, state.digest, ""


def _scratch() -> Path:
    return Path(os.environ["WATCHBILL_TORTURE"])


def crash_states(extent: Extent, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 3, and 4 as far as the page cache: every disk that a crash may leave.

    A disk that comes again is judged again only if more had been acknowledged by then; it counts once.
    """
    total = extent.of(STATES)
    progress, failures, by_scenario = bar("crash states", total), [], Counter()
    disks: set[bytes] = set()
    with _spread(_judge_state, _states(total), extent.processes) as judged:
        for scenario, disk, wrong in judged:
            by_scenario[scenario] += 1
            disks.add(disk)
            if wrong:
                failures.append(wrong)
                print(wrong, file=sys.stderr, flush=True)
            if not progress.step():
                break
    return Figures(by_scenario.total(), failures, {"different disks": len(disks), "states": dict(by_scenario)})


@contextmanager
def _spread(work: Callable[[Task], Found], tasks: Iterable[Task], processes: int) -> Iterator[Iterator[Found]]:
    """Do tasks, in this process if it is to be one; the results come as they are ready."""
    if processes == 1:
        yield map(work, tasks)
        return
    under_way = threading.BoundedSemaphore(MOST_UNDER_WAY)

    def bounded() -> Iterator[Task]:
        for task in tasks:  # a pool takes up all the tasks there are at once
            while not under_way.acquire(timeout=0.1):
                if STOP.is_set():
                    return
            yield task

    def results() -> Iterator[Found]:
        for found in pool.imap_unordered(work, bounded(), chunksize=4):
            under_way.release()
            yield found

    with multiprocessing.get_context("spawn").Pool(processes, initializer=_leave_it_to_the_parent) as pool:
        yield results()


def _leave_it_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def kill(extent: Extent, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 1: kill -9."""
    total = extent.of(KILLS)
    progress, took, failures = bar("kills", total), [], []
    try:
        with Nursery() as nursery, tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            for seconds in kills(nursery, Path(folder), total, random.Random(1)):
                took.append(seconds)
                if not progress.step():
                    break
    except AssertionError as error:
        failures.append(f"kill {len(took) + 1}: {error}")
    slowest = round(max(took, default=0), 3)
    return Figures(len(took), failures, {"slowest restart, seconds": slowest})


def injected(extent: Extent, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 2: an error or the end at every system call."""
    with Nursery() as nursery, tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        found = Injector(nursery, Path(folder)).known()
    chosen = random.Random(1).sample(found, extent.of(len(found)))
    progress, failures, done = bar("injections", len(chosen)), [], Counter()
    with _spread(_inject, chosen, extent.processes) as injections:
        for call, wrong in injections:
            done[call] += 1
            if wrong:
                failures.append(wrong)
            if not progress.step():
                break
    return Figures(done.total(), failures, {"calls": dict(done)})


@lru_cache(1)
def _injector() -> Injector:
    """Victims and a folder for each process; the folder goes with that of the run."""
    return Injector(Nursery(), Path(tempfile.mkdtemp(dir=_scratch())))


def _inject(one: Injection) -> tuple[str, str]:
    """The name of the call, and what is wrong ("" if nothing)."""
    try:
        _injector().inject(one)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return one.call, f"{type(error).__name__}: {error}"
    return one.call, ""


def flips(extent: Extent, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 8: a file is truncated, or one of its bits flips."""
    total = extent.of(FLIPS)
    progress, failures, harmless, done = bar("tampering", total), [], Counter(), 0
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        for one in tampered(Path(folder), total, random.Random(1)):
            done += 1
            if one.wrong:
                failures.append(one.wrong)
            if not one.found:
                harmless[one.file] += 1
            if not progress.step():
                break
    return Figures(done, failures, {"without any effect": dict(harmless)})


def cuts(extent: Extent, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 4: the power of a disk is cut between two of its blocks. Needs root, /dev/fuse and loop devices."""
    total = extent.of(CUTS)
    progress, failures, done = bar("power cuts", total), [], 0
    for seed in range(1, 1 + -(-total // 100)):
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            try:
                for _ in power_cuts(Path(folder), min(100, total - done), random.Random(seed), seed):
                    done += 1
                    if not progress.step():
                        return Figures(done, failures, {})
            except (AssertionError, WatchbillError) as error:
                failures.append(f"cut {done + 1} (seed {seed}): {error}")
    return Figures(done, failures, {})


def whole_product(extent: Extent, bar: Callable[[str, int], Bar]) -> Figures:
    """Senders to alerts: kill -9 of the running product's processes, every alert there once, with all of its events."""
    total = extent.of(PROCESS_KILLS)
    progress, failures, killed = bar("whole product", total), [], Counter()
    with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        try:
            for process in killed_at_random(Path(folder), total, random.Random(1)):
                killed[process] += 1
                if not progress.step():
                    break
        except AssertionError as error:
            failures.append(str(error))
    return Figures(killed.total(), failures, {"killed": dict(killed)})


FAULTS = {
    "kills": kill, "injections": injected, "tampering": flips, "power-cuts": cuts, "whole-product": whole_product,
    "crash-states": crash_states,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", choices=sorted(FAULTS), action="append", help="only this one; may be given again")
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the full number, as 0.01")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="at once, where a fault's cases allow it")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # what was done until then is told
        signal.signal(number, lambda *_: STOP.set())
    failed = False
    with tempfile.TemporaryDirectory(prefix="wb-torture-", dir=_memory()) as folder:
        os.environ["WATCHBILL_TORTURE"] = folder
        for name in options.fault or FAULTS:
            if STOP.is_set():
                break
            began = time.monotonic()
            figures = FAULTS[name](Extent(options.scale, options.processes), Bar)
            seconds = time.monotonic() - began
            failed = failed or bool(figures.failures)
            if options.json:
                row = {"fault": name, "done": figures.done, "failed": len(figures.failures), "seconds": round(seconds)}
                print(json.dumps({**row, **figures.facts, "failures": figures.failures}), flush=True)
                continue
            print(f"{name}: {figures.done:,} done, {len(figures.failures)} failed, {seconds:.0f} s; {figures.facts}")
            for failure in figures.failures[:20]:
                print(f"    {failure}", flush=True)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        most = max(most, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
    print(f"largest process: {most >> 20} MiB", file=sys.stderr)
    return 1 if failed or most > MEMORY_LIMIT else 0


def _memory() -> str | None:
    """A folder in memory, where there is one: a hundred thousand ledgers are synced."""
    shared = "/dev/shm"  # noqa: S108 - the folder in it is made by tempfile
    return shared if os.access(shared, os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
