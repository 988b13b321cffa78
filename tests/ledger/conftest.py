"""A small ledger on disk, made by the real writer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from watchbill.core.clock import SECOND, FixedClock
from watchbill.ledger import Writer

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # pytest in importlib mode adds nothing
START = 1_772_618_400 * SECOND


@dataclass
class Place:
    """Where a ledger stands, and the clock its writers use."""

    ledger: Path
    keys: Path
    clock: FixedClock

    def writer(self, shard: int = 0) -> Writer:
        return Writer.open(self.ledger, shard=shard, keys=self.keys, clock=self.clock)

    def events(self, shard: int = 0) -> list[Path]:
        return sorted((self.ledger / f"shard-{shard:04}" / "events").iterdir())


@pytest.fixture(scope="session")
def new_place(tmp_path_factory):
    """Makes places; hypothesis needs one for each example."""

    def make() -> Place:
        folder = tmp_path_factory.mktemp("installation")
        return Place(folder / "ledger", folder / "keys", FixedClock(START))

    return make


@pytest.fixture
def place(new_place) -> Place:
    return new_place()


@pytest.fixture
def filled(place) -> Place:
    """Four segments of 300 records by two sources, with a declared loss, in one volume."""
    with place.writer() as writer:
        web, db = writer.source("web-01", "syslog-udp"), writer.source("db-01", "file", path="/var/log/auth.log")
        for segment in range(4):
            for group in range(3):
                lines = [b"record %d of group %d of segment %d" % (n, group, segment) for n in range(50)]
                writer.append(web, lines, place.clock.now(), place.clock.now() - 5)
                writer.append(db, lines, place.clock.now())
                writer.commit()
            if segment == 2:
                writer.drop(web, 7, "kernel buffer full")
            place.clock.advance(SECOND)
            writer.tick()
    return place
