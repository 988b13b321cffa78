"""The half of judging that knows no database: a range of the ledger becomes events, the rules that they meet, what they
say of their sources, and rows of the lake.

Everything it gives back is in a ``Judgement``, small enough to be handed from process to process: see
``judge_process``. What of it counts is decided by who takes it (``ingest``), in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import NamedTuple

import msgspec

from watchbill.core.clock import HOUR, Clock
from watchbill.core.paths import DataDir
from watchbill.engine.detect import Matcher, RuleSet
from watchbill.engine.normalise import Normaliser
from watchbill.engine.normalise.attempts import WINDOW as MEMORY
from watchbill.flows.lake_writer import LakeWriter
from watchbill.lake import Lake
from watchbill.ledger import Reader, SourceFacts, StoredRecord
from watchbill.sdk import Event, LogSource, Parser
from watchbill.state.assets.tally import tally
from watchbill.state.assets.values import HostBatch, SourceBatch

#: What a normaliser remembers of open connections is not stored: one that starts in the middle of a shard first reads
#: the records again that were received within ``MEMORY`` before its place, at most so many.
_READ_AGAIN = 200_000
_PIECE = 10_000
#: Records are taken up to so many bytes at a time (and to the end of their group), so that long ones cannot fill memory.
_MOST_BYTES = 8 << 20


class CarriedEvent(Event, array_like=True, gc=False):
    """An event on its way between processes: its fields without their names."""


class Kind(NamedTuple):
    """What rules are routed by, and the hour of receipt (its first nanosecond)."""

    hour: int
    logsource: LogSource
    class_uid: int
    #: Not quarantined.
    good: bool


class Judgement(msgspec.Struct, array_like=True, tag=True, gc=False):
    """What came of the records [start, end) of a shard.

    ``events`` are those that met rules, ``rules`` the names of the rules that each of them met; ``kinds`` counts all
    events that were held against the rules; ``skipped`` the ledger's own records, of which nothing is made.
    """

    shard: int
    start: int
    end: int
    events: list[CarriedEvent]
    rules: list[tuple[str, ...]]
    sources: list[SourceBatch]
    hosts: list[HostBatch]
    kinds: list[tuple[Kind, int]]
    skipped: int


class _Line:
    """A shard's records in order, and the normaliser that has seen those before ``at``."""

    def __init__(self, number: int, reader: Reader, normaliser: Normaliser, at: int) -> None:
        self.number, self.reader, self.normaliser, self.at = number, reader, normaliser, at

    def read(self, end: int) -> list[StoredRecord]:
        """The next records before ``end``, and at least one step towards it: records that were deleted are left out."""
        records = self.reader.read(self.at, end - self.at, _MOST_BYTES)
        if not records or records[-1].position >= end:
            self.at = end
            return [record for record in records if record.position < end]
        self.at = records[-1].position + 1
        return records


class _Batch(NamedTuple):
    events: list[Event]
    sources: list[SourceFacts]
    rules: list[tuple[str, ...]]
    skipped: int
    end: int


class Judge:
    """Judges shards in order of their records. One at a time for an installation: it writes the lake."""

    def __init__(
        self, data: DataDir, parsers: Sequence[Parser], rules: RuleSet, clock: Clock, timezone: str = "UTC"
    ) -> None:
        self._data = data
        self._new_normaliser: Callable[[], Normaliser] = lambda: Normaliser(parsers, clock=clock, timezone=timezone)
        self._matcher = Matcher(rules.rules)
        self._lines: dict[int, _Line] = {}
        self.lake = LakeWriter(Lake(data.lake), self._read_again)

    def use(self, rules: RuleSet) -> None:
        """Judge by these rules from here on."""
        self._matcher = Matcher(rules.rules)

    def judge(self, shard: int, start: int, end: int) -> Judgement:
        """Judge records from ``start`` on, at most to ``end`` (which is durable); where it stopped is in the result.

        It reads on where it stopped the last time. At any other place it first reads again what was before.
        """
        line = self._lines.get(shard)
        if line is None or line.at != start:
            line = self._lines[shard] = self._line(shard, start)
        batch = self._batch(line, end)
        sources, hosts = tally(zip(batch.sources, batch.events, strict=True))
        self.lake.add(shard, start, batch.end, batch.events, batch.rules)
        met = [(event, names) for event, names in zip(batch.events, batch.rules, strict=True) if names]
        return Judgement(
            shard=shard,
            start=start,
            end=batch.end,
            events=[CarriedEvent(*msgspec.structs.astuple(event)) for event, _ in met],
            rules=[names for _, names in met],
            sources=sources,
            hosts=hosts,
            kinds=list(_kinds(batch.events).items()),
            skipped=batch.skipped,
        )

    def _batch(self, line: _Line, end: int) -> _Batch:
        """Read, normalise and match. Only the normaliser remembers what it has seen, so a line is read once and in order."""
        records = line.read(end)
        sources, events = self._normalise(line, records)
        names: list[tuple[str, ...]] = [()] * len(events)
        for rule, at in self._matcher.match(events):
            names[at] += (rule,)
        return _Batch(events, sources, names, len(records) - len(events), line.at)

    def _normalise(self, line: _Line, records: list[StoredRecord]) -> tuple[list[SourceFacts], list[Event]]:
        records = [record for record in records if record.source]  # source 0 is the ledger's own bookkeeping
        known = {number: line.reader.source(number) for number in {record.source for record in records}}
        sources = [known[record.source] for record in records]
        return sources, line.normaliser.normalise(zip(records, sources, repeat(line.number), strict=False))

    def _line(self, number: int, position: int) -> _Line:
        """Read a shard from a position on, with what the records before it have told."""
        reader = Reader(self._data.ledger, number)
        line = _Line(number, reader, self._new_normaliser(), max(0, position - _READ_AGAIN))
        newest = reader.read(max(0, position - 1), 1)
        since = newest[0].received - MEMORY if newest else 0
        while line.at < position:
            self._normalise(line, [one for one in line.read(min(position, line.at + _PIECE)) if one.received >= since])
        return line

    def _read_again(self, shard: int, start: int) -> Callable[[int], tuple[int, list[Event], list[tuple[str, ...]]]]:
        """For the lake: what gives, called with an end, the next events from ``start`` on and where they end."""
        line = self._line(shard, start)

        def more(end: int) -> tuple[int, list[Event], list[tuple[str, ...]]]:
            batch = self._batch(line, min(end, line.at + _PIECE))
            return batch.end, batch.events, batch.rules

        return more


def _kinds(events: Sequence[Event]) -> Counter[Kind]:
    times = [event.received for event in events] or [0]
    hour = min(times) // HOUR * HOUR
    if max(times) < hour + HOUR:
        found = Counter([(event.logsource, event.class_uid, event.flaw == "") for event in events])
        return Counter({Kind(hour, *kind): count for kind, count in found.items()})
    return Counter(
        Kind(event.received // HOUR * HOUR, event.logsource, event.class_uid, event.flaw == "") for event in events
    )
