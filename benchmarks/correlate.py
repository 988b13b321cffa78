"""Correlations of each kind, fed matched events of 100,000 live keys, beside orjson parsing of the same events.

Then hours of events, of which the old ones are let go of, and a million live keys: what they take of memory. Figures per
CPU second; compare them within one run only.
"""

from __future__ import annotations

import gc
import random
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import orjson

from watchbill.core.memory import settle_memory
from watchbill.core.values import Criticality
from watchbill.engine.detect import Detector, Match, parse_rules
from watchbill.sdk import Event, LogSource

BATCH = 5_000
EVENTS = 200_000
KEYS = 100_000
START = 1_767_225_600 * 10**9
SOURCE = LogSource("linux", "", "")
BASES = "".join(
    f"title: {name}\nname: {name}\nlogsource: {{product: linux}}\ndetection: {{s: {{kind: {name}}}, condition: s}}\n---\n"
    for name in "ab"
)
KINDS = {
    "event_count": "{type: event_count, rules: [a, b], group-by: [user], timespan: 10m, condition: {gte: 50}}",
    "value_count": "{type: value_count, rules: [a, b], group-by: [user], timespan: 10m, condition: {gte: 50, field: port}}",
    "temporal": "{type: temporal, rules: [a, b, c], group-by: [user], timespan: 10m}",
    "temporal_ordered": "{type: temporal_ordered, rules: [a, b, c], group-by: [user], timespan: 10m}",
}


def main() -> None:
    settle_memory()  # as the engine does
    for kind, correlation in KINDS.items():
        compare(kind, correlation)
    for kind in ("event_count", "value_count"):
        compare(f"{kind}, hours", KINDS[kind], EVENTS * 3, minutes=120, rounds=1)
    million(KINDS["event_count"])


def compare(kind: str, correlation: str, total: int = EVENTS, minutes: int = 8, rounds: int = 5) -> None:
    """Print the best and the median of some rounds: others on the machine only ever make one slower."""
    told = sorted(round_(correlation, total, minutes) for _ in range(rounds))
    print(f"{kind:<20} best of {rounds}: {told[0].line()}; median: {1 / told[rounds // 2].feeding:,.0f}/s", flush=True)


class Round(NamedTuple):
    """What one round took, in CPU seconds an event, and what came of it."""

    feeding: float
    parsing: float
    stored: float
    groups: int
    told: int

    def line(self) -> str:
        return (
            f"{1 / self.feeding:9,.0f} matched events/s  {self.feeding * 1e6:5.2f} µs an event  "
            f"{self.parsing / self.feeding:.2f} of orjson parsing  {self.stored:4.0f} bytes stored an event  "
            f"{self.groups:,} groups, {self.told} detections"
        )


def round_(correlation: str, total: int, minutes: int) -> Round:
    """Feed batches that have just been made, as the engine does; the first half fills the keys and is not counted."""
    detector = _detector(correlation)
    gc.collect()
    gc.freeze()
    parsing = feeding = 0.0
    count = stored = told = 0
    for number, batch in enumerate(batched(events(total, KEYS, minutes))):
        raws = [orjson.dumps({**event.native, "message": event.message, "time": event.time}) for event in batch]
        parsed = _seconds(lambda raws=raws: [orjson.loads(raw) for raw in raws])
        matches = [Match(event.native["kind"], place) for place, event in enumerate(batch)]
        start = time.process_time()
        found, rows = detector.feed(batch, matches, _covers(batch)), detector.dirty()
        spent = time.process_time() - start
        if number >= total // BATCH // 2:
            parsing, feeding, count = parsing + parsed, feeding + spent, count + len(batch)
            told += len(found)
            stored += sum(len(blob or b"") for _, blob in rows)
    gc.unfreeze()
    return Round(feeding / count, parsing / count, stored / count, len(detector.correlator), told)


def batched(made: Iterable[Event]) -> Iterator[list[Event]]:
    made = iter(made)
    while batch := list(islice(made, BATCH)):
        yield batch


def million(correlation: str) -> None:
    """Feed a million keys that all stay live; print what the process has grown by."""
    detector = _detector(correlation)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = 0.0
    for batch in batched(events(1_000_000, 0)):
        matches = [Match(one.native["kind"], place) for place, one in enumerate(batch)]
        start = time.process_time()
        detector.feed(batch, matches, _covers(batch))
        detector.dirty()
        seconds += time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{len(detector.correlator):,} live keys, {detector.counters.spilled:,} on disk: the process grew by "
        f"{grown / 1024:,.0f} MB; {1_000_000 / seconds:,.0f} matched events/s"
    )


def events(count: int, keys: int, minutes: int = 8) -> Iterator[Event]:
    """Matched events within so many minutes; each of a key of its own when ``keys`` is 0."""
    chance = random.Random(3)
    step = minutes * 60 * 10**9 // count
    for place in range(count):
        key = chance.randrange(keys) if keys else place
        user, kind, time_ = f"user{key}", "ab"[place & 1], START + place * step
        fields = {"kind": kind, "user": user, "port": str(chance.randrange(30)), "bytes": str(place % 1500)}
        ocsf = {"user.name": user, "src_endpoint.ip": f"192.0.2.{key % 256}", "device.hostname": f"web-{key % 50}"}
        message = (
            f"sshd[{place % 30000}]: Failed password for {user} from 192.0.2.{key % 256} port {fields['port']} ssh2"
        )
        yield Event(
            3002, ocsf, fields, message, time=time_, logsource=SOURCE, host=ocsf["device.hostname"], source="bench",
            received=time_ + 10**9, position=place,
        )  # fmt: skip


def _covers(batch: list[Event]) -> tuple[int, range]:
    """The stretch of the ledger that a batch was chosen from."""
    return 0, range(batch[0].position, batch[-1].position + 1)


def _detector(correlation: str) -> Detector:
    text = BASES + (
        "title: c\nname: c\nlogsource: {product: linux}\ndetection: {s: {kind: c}, condition: s}\n---\n"
        f"title: One\nname: one\ncorrelation: {correlation}\n"
    )
    rules = parse_rules(text, "one.yml")
    assert not rules.problems, rules.problems
    return Detector(rules, lambda _host: Criticality.MEDIUM)


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
