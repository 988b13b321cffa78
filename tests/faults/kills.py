"""kill -9 of a writing process at random points, again and again over one ledger."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from judging import LATER, RESTART_LIMIT, acknowledged, check_records
from scenarios import command

from watchbill.core.clock import FixedClock
from watchbill.ledger import Writer, verify_ledger

ENDLESS = 1_000_000
#: Every so many kills all records are read and everything is verified; at each, acknowledgements and restart are checked.
WHOLE = 50


def kills(folder: Path, times: int, chance: random.Random, seed: int = 1) -> Iterator[float]:
    """Kill a writer ``times`` times; gives the seconds that each restart took. Raises AssertionError."""
    ledger, keys = folder / "ledger", folder / "keys"
    for number in range(1, times + 1):
        with subprocess.Popen(command(folder, seed, ENDLESS), stdout=subprocess.PIPE, start_new_session=True) as child:
            said = child.stdout.readline() + child.stdout.readline()
            time.sleep(chance.random() * 0.05)
            child.kill()
            said += child.stdout.read()
        began = time.monotonic()
        writer = Writer.open(ledger, shard=0, keys=keys, clock=FixedClock(LATER))
        took = time.monotonic() - began
        kept = writer.commit()
        writer.close()
        assert took < RESTART_LIMIT, f"the restart took {took:.1f} s"
        assert kept >= acknowledged(said), f"{acknowledged(said)} records were acknowledged, {kept} are there"
        if number % WHOLE == 0 or number == times:
            check_records(ledger, seed, kept)
            report = verify_ledger(ledger, keys=keys, workers=1)
            assert report.ok, report.findings
            assert report.events == kept
        yield took
