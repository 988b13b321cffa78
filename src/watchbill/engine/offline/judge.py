"""One batch of records: normalised, matched, and for each that meets a rule what a person wants to know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from watchbill.core.clock import Clock
from watchbill.engine.detect import Matcher, RuleSet
from watchbill.engine.detect.why import matched_words
from watchbill.engine.normalise import Normaliser
from watchbill.engine.offline.batches import Batch
from watchbill.engine.offline.sources import Source
from watchbill.engine.offline.text import LONGEST
from watchbill.sdk import Event, LogSource, Parser


class Found(msgspec.Struct, array_like=True):
    """A record that meets rules. ``why`` is one sentence for each of ``rules``; ``event.shard`` is the file's number and
    ``event.position`` the place in it.
    """

    event: Event
    rules: tuple[str, ...]
    why: tuple[str, ...]


class Seen(msgspec.Struct, array_like=True):
    """What was read, found or not: numbers of records by (parser, log source, OCSF class) and of flawed ones by reason."""

    records: int = 0
    kinds: list[tuple[str, LogSource, int, int]] = []
    flaws: dict[str, int] = {}


class Tally:
    """Adds up what batches saw."""

    def __init__(self) -> None:
        self.records = 0
        self.kinds: Counter[tuple[str, LogSource, int]] = Counter()
        self.flaws: Counter[str] = Counter()

    def see(self, events: Sequence[Event]) -> None:
        self.records += len(events)
        self.kinds.update((event.parser, event.logsource, event.class_uid) for event in events)
        self.flaws.update(event.flaw for event in events if event.flaw)

    def add(self, seen: Seen) -> None:
        self.records += seen.records
        for parser, source, class_uid, count in seen.kinds:
            self.kinds[parser, source, class_uid] += count
        self.flaws.update(seen.flaws)

    def seen(self) -> Seen:
        return Seen(self.records, [(*kind, count) for kind, count in self.kinds.items()], dict(self.flaws))


class _Record(NamedTuple):
    """What the normaliser reads of a ledger record, for one that comes from a file."""

    position: int
    raw: bytes
    source: int
    received: int
    source_time: int


class _From(NamedTuple):
    """What the normaliser reads of a source. The host is what the records say, never this machine."""

    number: int
    name: str
    transport: str
    facts: dict[str, str]


class Judge:
    """Judges the records of one file after the other. ``wanted`` are the names of the rules to be told of."""

    def __init__(
        self, ruleset: RuleSet, parsers: Sequence[Parser], clock: Clock, wanted: frozenset[str], *, parser: str = "",
        timezone: str = "UTC",
    ) -> None:  # fmt: skip
        self._rules = ruleset.by_name
        self._parsers = parsers
        self._clock = clock
        self._wanted = wanted
        self._parser = parser
        self._timezone = timezone
        self._matcher = Matcher(ruleset.rules)

    def file(self, number: int, source: Source, batches: Iterator[Batch]) -> Iterator[tuple[Batch, list[Found], Tally]]:
        """Yield each batch with what was found in it, in order."""
        normaliser = Normaliser(self._parsers, clock=self._clock, timezone=self._timezone, longest=LONGEST)
        facts = {"format": self._parser, "host": ""} if self._parser else {}
        told = _From(1, source.name, "offline", facts)
        # A header without a year is of the year in which the file was written.
        received = source.modified if source.form == "lines" and source.modified else self._clock.now()
        for batch in batches:
            records = [
                (_Record(place, raw, 1, received, 0), told, number)
                for raw, place in zip(batch.raws, batch.places, strict=True)
            ]
            events = normaliser.normalise(records)
            tally = Tally()
            tally.see(events)
            yield batch, list(self._judged(events)), tally

    def _judged(self, events: Sequence[Event]) -> Iterator[Found]:
        met: dict[int, list[str]] = {}
        for match in self._matcher.match(events):
            if match.rule in self._wanted:
                met.setdefault(match.at, []).append(match.rule)
        for at, names in met.items():
            event = events[at]
            yield Found(event, tuple(names), tuple(matched_words(self._rules[name], event) for name in names))
