"""Recorded runs of the victim: undisturbed, with a failing or a full disk, and over what an earlier crash left."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from crash_states import Disk, State, clear, states
from judging import acknowledged
from nursery import Nursery


class Scenario(NamedTuple):
    """What befalls a recorded run. ``before``: how the run before it ended, over whose files it starts."""

    name: str
    faults: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


SCENARIOS = (
    Scenario("undisturbed"),
    Scenario("a sync fails", ("fdatasync:error=EIO:when=6",)),
    Scenario("the disk is full for a while", ("fdatasync:error=ENOSPC:when=9..11",)),
    Scenario("over a crash", before=("fdatasync:signal=SIGKILL:when=9",)),
    Scenario("over a crash while a volume is begun", before=("fdatasync:signal=SIGKILL:when=14",)),
)


def play(
    nursery: Nursery, scenario: Scenario, folder: Path, seed: int, chance: random.Random, each: int
) -> Iterator[State]:
    """Run a scenario under strace in a folder, and give the states that crashes at each of its moments may leave."""
    live, log, at_first = folder / "live", folder / "strace", 0
    clear(live)
    if scenario.before:
        killed = nursery.run(live, seed, log, scenario.before)
        assert killed.code == -9, killed.errors
        at_first = acknowledged(killed.said)
    disk = Disk(live)
    disk.acknowledged = at_first
    ended = nursery.run(live, seed, log, scenario.faults)
    assert ended.code == 0, ended
    yield from states(disk, log, chance, each)
