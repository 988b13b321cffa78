"""kill -9 of a writing process at random points, again and again over one ledger."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

from judging import LATER, RESTART_LIMIT, acknowledged, check_records
from nursery import Nursery

from watchbill.core.clock import FixedClock
from watchbill.ledger import Writer, verify_ledger

ENDLESS = 1_000_000
#: Every so many kills all records are read and everything is verified; at each, acknowledgements and restart are checked.
WHOLE = 50


def kills(nursery: Nursery, folder: Path, times: int, chance: random.Random, seed: int = 1) -> Iterator[float]:
    """Kill a writer ``times`` times; gives the seconds that each restart took. Raises AssertionError.

    One in four is killed at any moment from its start on, so also while it recovers from the kill before; the others once
    they have acknowledged twice.
    """
    ledger, keys = folder / "ledger", folder / "keys"
    for number in range(1, times + 1):
        victim, said = nursery.start(folder, seed, ENDLESS), b""
        while number % 4 and said.count(b"\n") < 2 and (more := victim.said.read(4096)):
            said += more
        time.sleep(chance.random() * 0.05)
        victim.kill()
        ended = nursery.ended(victim, said)
        assert ended.code == -9, ended
        began = time.monotonic()
        writer = Writer.open(ledger, shard=0, keys=keys, clock=FixedClock(LATER))
        took = time.monotonic() - began
        kept = writer.commit()
        writer.close()
        assert took < RESTART_LIMIT, f"the restart took {took:.1f} s"
        known = acknowledged(ended.said)
        assert kept >= known, f"{known} records were acknowledged, {kept} are there"
        if number % WHOLE == 0 or number == times:
            check_records(ledger, seed, kept)
            report = verify_ledger(ledger, keys=keys, workers=1)
            assert report.ok, report.findings
            assert report.events == kept
        yield took
