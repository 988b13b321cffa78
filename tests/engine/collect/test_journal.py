"""Following the journal through the program that prints it."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import pytest

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect import Journal

#: Prints a journal as journalctl does (entries 1 to 5, or after the cursor that it is given), then waits or ends.
PROGRAM = """
import sys, time
after = [a.split("=")[1] for a in sys.argv if a.startswith("--after-cursor=")]
for number in range(int(after[0][1:]) + 1 if after else 1, 6):
    print('{"__CURSOR":"c%d","MESSAGE":"entry %d"}' % (number, number), flush=True)
time.sleep(float(sys.argv[1])) if float(sys.argv[1]) else sys.exit("no such file")
"""


def entries(*numbers):
    return [b'{"__CURSOR":"c%d","MESSAGE":"entry %d"}' % (number, number) for number in numbers]


def journal(here, stored, wait="60"):
    here.positions.get("journald") or here.positions.set("journald", {}, here.sink.head)
    origin = here.origins.add("journald", "journald")
    command = (sys.executable, "-c", PROGRAM, wait)
    return Journal(origin, here.sink, here.positions, Counter(stored), command=command)


async def follow_until(here, following, count):
    task = asyncio.create_task(following.run())
    await here.until(lambda: len(here.stored()) == count and not following.flying)
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_goes_on_after_the_cursor(collecting):
    """Entries come once, the cursor is kept after the commit, and the next run goes on from it."""

    async def story():
        async with collecting() as here:
            await follow_until(here, journal(here, []), 5)
            assert here.positions.get("journald")["cursor"] == "c5"
            await follow_until(here, journal(here, []), 5)
            assert here.stored() == entries(1, 2, 3, 4, 5)

    asyncio.run(story())


def test_what_is_stored_beyond_the_cursor_is_skipped(collecting):
    """After a crash the saved cursor is behind: entries that the ledger has are not stored again."""

    async def story():
        async with collecting() as here:
            here.positions.set("journald", {"cursor": "c1"}, here.sink.head)
            await follow_until(here, journal(here, entries(2, 3)), 2)
            assert here.stored() == entries(4, 5)

    asyncio.run(story())


def test_its_end_is_an_error_to_try_again(collecting):
    """When the program ends, what it said is the reason."""

    async def story():
        async with collecting() as here:
            with pytest.raises(WatchbillError, match="no such file") as caught:
                await journal(here, [], wait="0").run()
            assert caught.value.retry

    asyncio.run(story())
