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
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

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
STOP = threading.Event()


class Figures(NamedTuple):
    """What a fault came to: how often it was done, what failed, and what was measured."""

    done: int
    failures: list[str]
    facts: dict[str, object]


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
        if now - self._told < (0.2 if sys.stderr.isatty() else 30) and self._done < self._total:
            return
        self._told = now
        share = min(1.0, self._done / max(1, self._total))
        left = (now - self._began) / max(share, 1e-9) * (1 - share)
        text = f"{self._name:<12} [{'#' * int(30 * share):<30}] {self._done:,} of {self._total:,}, {left:.0f} s left"
        end = "" if sys.stderr.isatty() and self._done < self._total else "\n"
        print(f"\r{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)


def _states(total: int) -> Iterator[tuple[int, State, str]]:
    """Crash states of all scenarios, seed after seed, until there are enough."""
    count = 0
    with Nursery() as nursery:
        for seed in range(1, 1_000_000):
            for scenario in SCENARIOS:
                with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
                    for state in play(nursery, scenario, Path(folder), seed, random.Random(seed), EACH):
                        yield seed, state, scenario.name
                        count += 1
                        if count >= total:
                            return


def _judge_state(task: tuple[int, State, str]) -> tuple[str, str]:
    """In a process of the pool: the name of the scenario, and what is wrong ("" if nothing)."""
    seed, state, scenario = task
    folder = _scratch() / f"{os.getpid()}"
    try:
        build(state, folder)
        judge(folder, seed, state.acknowledged)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return scenario, f"{scenario}, seed {seed}, {state.story}: {type(error).__name__}: {error}"
    return scenario, ""


def _scratch() -> Path:
    return Path(os.environ["WATCHBILL_TORTURE"])


def crash_states(scale: float, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 3, and 4 as far as the page cache: every disk that a crash may leave."""
    total = int(STATES * scale)
    progress, failures, by_scenario = bar("crash states", total), [], Counter()
    with multiprocessing.get_context("spawn").Pool(initializer=_leave_it_to_the_parent) as pool:
        for scenario, wrong in pool.imap_unordered(_judge_state, _bounded(_states(total)), chunksize=16):
            by_scenario[scenario] += 1
            if wrong:
                failures.append(wrong)
            if not progress.step():
                break
    return Figures(sum(by_scenario.values()), failures, {"states": dict(by_scenario)})


def _leave_it_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _bounded(tasks: Iterator[tuple[int, State, str]]) -> Iterator[tuple[int, State, str]]:
    """A pool reads all its tasks at once: wait while too much memory is held by those that are under way."""
    for number, task in enumerate(tasks):
        if number % 512 == 0:
            while resident() > MEMORY_LIMIT // 2:
                time.sleep(0.05)
        yield task


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def kill(scale: float, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 1: kill -9."""
    total = max(1, int(KILLS * scale))
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


def injected(scale: float, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 2: an error or the end at every system call."""
    with Nursery() as nursery, tempfile.TemporaryDirectory(dir=_scratch()) as folder:
        found = Injector(nursery, Path(folder)).known()
    chosen = random.Random(1).sample(found, max(1, int(len(found) * scale)))
    progress, failures, done = bar("injections", len(chosen)), [], Counter()
    with multiprocessing.get_context("spawn").Pool(initializer=_leave_it_to_the_parent) as pool:
        for call, wrong in pool.imap_unordered(_inject, chosen, chunksize=4):
            done[call] += 1
            if wrong:
                failures.append(wrong)
            if not progress.step():
                break
    return Figures(done.total(), failures, {"calls": dict(done)})


@lru_cache(1)
def _injector() -> Injector:
    """In a process of the pool: victims and a folder of its own; the folder goes with that of the run."""
    return Injector(Nursery(), Path(tempfile.mkdtemp(dir=_scratch())))


def _inject(one: Injection) -> tuple[str, str]:
    """In a process of the pool: the name of the call, and what is wrong ("" if nothing)."""
    try:
        _injector().inject(one)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return one.call, f"{type(error).__name__}: {error}"
    return one.call, ""


def flips(scale: float, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 8: a file is truncated, or one of its bits flips."""
    total = max(1, int(FLIPS * scale))
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


def cuts(scale: float, bar: Callable[[str, int], Bar]) -> Figures:
    """Fault 4: the power of a disk is cut between two of its blocks. Needs root, /dev/fuse and loop devices."""
    total = max(1, int(CUTS * scale))
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


def whole_product(scale: float, bar: Callable[[str, int], Bar]) -> Figures:
    """Senders to alerts: kill -9 of the running product's processes, every alert there once, with all of its events."""
    total = max(1, int(PROCESS_KILLS * scale))
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
            figures = FAULTS[name](options.scale, Bar)
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
