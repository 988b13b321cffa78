"""The month as it arrives: every record in order of receipt, the same for the same seed and end."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from watchbill.content.demo.company import CLOUD
from watchbill.content.demo.incidents import INCIDENTS
from watchbill.content.demo.lines import Day, Line
from watchbill.content.demo.rhythm import ordinary
from watchbill.core.clock import DAY, MINUTE

DAYS = 30


class DemoRecord(NamedTuple):
    """A record as a receiver would have got it. ``format`` is a parser's id where the sender is known for one, else ""."""

    received_ns: int
    source_name: str
    transport: str
    format: str
    raw: bytes


def month(seed: int, end_ns: int) -> Iterator[DemoRecord]:
    """Some 200,000 records of the thirty days before ``end_ns``, in order of receipt. Pure: the same for the same arguments."""
    begin = end_ns - DAYS * DAY
    told = {incident.at(end_ns): incident for incident in INCIDENTS}
    quiet = {
        incident.host: (at + MINUTE, at + incident.quiet * MINUTE if incident.quiet > 0 else end_ns)
        for at, incident in told.items()
        if incident.quiet
    }
    for number in range(begin // DAY, end_ns // DAY + 1):
        chance = Random(f"{seed} {number}")  # noqa: S311  a demo must be repeatable, not secret
        day = Day(number)
        ordinary(day, chance)
        day.lines = [line for line in day.lines if not _within(line, quiet)]
        for at, incident in told.items():
            if at // DAY == number:
                incident.tell(day, (at - day.start) / 1e9)
        arrivals = sorted(
            (time + chance.randrange(20_000_000, 900_000_000), host, raw) for time, host, raw in day.lines
        )
        for received, host, raw in arrivals:
            if begin <= received < end_ns:
                yield _record(received, host, raw)


def _within(line: Line, quiet: dict[str, tuple[int, int]]) -> bool:
    span = quiet.get(line[1])
    return span is not None and span[0] <= line[0] < span[1]


def _record(received: int, host: str, raw: bytes) -> DemoRecord:
    if host == CLOUD:
        return DemoRecord(received, "cloudtrail", "file", "cloudtrail", raw)
    return DemoRecord(received, host, "syslog-tcp", "", raw)
