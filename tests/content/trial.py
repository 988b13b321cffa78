"""Runs records through the real parsers and the real engine, as the tests of rules need it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from watchbill.core.clock import FixedClock
from watchbill.core.times import from_rfc3339
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import load_rules
from watchbill.engine.normalise import Normaliser

#: The records of the rules' own tests are of the day before.
RECEIVED = from_rfc3339("2026-03-05T00:00:00Z")


class Record(NamedTuple):
    position: int
    raw: bytes
    source: int
    received: int
    source_time: int = 0
    sequence: int = 0


class Source(NamedTuple):
    number: int
    name: str
    transport: str
    facts: dict[str, str]


@cache
def catalog():
    return Catalog.load("watchbill.content", outside=False)


@cache
def ruleset():
    return load_rules(catalog().rule_files)


def normalised(lines, *, format_id="", name="trial", received=RECEIVED, host=""):
    """Events of raw records of one source, received at once."""
    normaliser = Normaliser(catalog().parsers, clock=FixedClock(received))
    source = Source(1, name, "trial", {"format": format_id, "host": host})
    records = [
        Record(at, line if isinstance(line, bytes) else line.encode(), 1, received) for at, line in enumerate(lines)
    ]
    return normaliser.normalise((record, source, 0) for record in records)
