"""Files through the rules without a server: every record is judged, in as many processes as there are cores.

    files ─► parts ─┬─► process: read ─► normalise ─► match ─┬─► correlate ─► hits
                    └─► process: …                           ┘

Only what meets a rule leaves a process, so memory is bounded whatever the size of the files. Correlations see all
matches; they are judged as if the records had come in order, whatever the order of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import IO, NamedTuple

import msgspec

from watchbill.core.clock import DAY, Clock
from watchbill.core.errors import WatchbillError
from watchbill.core.values import Criticality, Severity
from watchbill.engine.detect import Detector, Match, Rule, RuleSet
from watchbill.engine.detect.evidence import Entities
from watchbill.engine.offline import evtx, text
from watchbill.engine.offline.batches import Batch, Fault
from watchbill.engine.offline.judge import Found, Judge, Seen, Tally
from watchbill.engine.offline.pool import Part, work
from watchbill.engine.offline.sources import Source, opened
from watchbill.sdk import Detection, Event, Parser

#: A window never closes because of another file's later records.
_FOR_EVER = 100 * 366 * DAY
#: So large are the parts of a file that are read in several places at once. Towards its end they are smaller, so that all
#: processes end at about the same time.
_PART, _LEAST_PART = text.CHUNK, 2 << 20
_FAULTS = 1_000


class Hit(msgspec.Struct, frozen=True, gc=False):
    """A rule met: by one record (``event``), or by several together (``detection``)."""

    rule: Rule
    severity: Severity
    host: str
    first: int
    last: int
    count: int
    why: tuple[str, ...]
    entities: Entities
    file: str
    place: int
    found: Found | None = None
    detection: Detection | None = None

    @property
    def event(self) -> Event | None:
        """The record, normalised; where another process found it, made anew each time."""
        return None if self.found is None else self.found.event


class Trouble(NamedTuple):
    """A part of a file that could not be read."""

    file: str
    place: int
    reason: str


class Triage:
    """Runs once over some sources. After ``run`` is exhausted, ``tally`` and ``troubles`` say what was looked at."""

    def __init__(
        self, ruleset: RuleSet, parsers: Sequence[Parser], clock: Clock, *, least: Severity = Severity.INFORMATIONAL,
        parser: str = "", timezone: str = "UTC", within: tuple[int, int] = (0, 1 << 62),
    ) -> None:  # fmt: skip
        self.ruleset = ruleset
        self.tally = Tally()
        self.troubles: list[Trouble] = []
        self.below = 0
        self._least = least
        self._within = within
        self._detector = Detector(ruleset, _medium, _FOR_EVER, stores=False)
        rules = [rule for rule in ruleset.rules if rule.expression is not None]
        self._correlated = frozenset(rule.name for rule in rules if self._detector.correlator.wants(rule.name))
        shown = {rule.name for rule in rules if rule.alerts}
        self._judge = Judge(
            ruleset, parsers, clock, frozenset(shown | self._correlated), parser=parser, timezone=timezone
        )

    def run(self, sources: Sequence[Source], count: int, tell: Callable[[int], None]) -> Generator[Hit]:
        """Yield what is found, as it is found. ``count`` processes are used; ``tell`` gets bytes that were read.

        Closing it ends those processes; what was looked at until then is in ``tally``.
        """
        parts = [part for number, source in enumerate(sources) for part in _parts(number, source, count)]
        with closing(work(lambda part: self._read(part, sources), parts, count)) as messages:
            for message in messages:
                if message.size:
                    tell(message.size)
                self.tally.add(message.seen)
                for place, reason in message.faults:
                    if len(self.troubles) < _FAULTS:
                        self.troubles.append(Trouble(sources[message.number].name, place, reason))
                yield from self._hits(message.found, sources)
        # What is known only when a window is over: nothing comes any more.
        yield from self._correlations(self._detector.finish(), sources)

    def looked_at(self) -> set[str]:
        """The names of the rules for which at least one record was there."""
        kinds = [(source, class_uid) for _, source, class_uid in self.tally.kinds]
        found = {
            rule.name
            for rule in self.ruleset.rules
            if rule.expression is not None and any(rule.route.takes(*kind) for kind in kinds)
        }
        for rule in self.ruleset.rules:  # correlations stand behind the rules that they need
            if rule.correlation is not None and found & set(rule.correlation.rules):
                found.add(rule.name)
        return found

    def _read(self, part: Part, sources: Sequence[Source]) -> Iterator[tuple[Batch, list[Found], Seen]]:
        source = sources[part.number]
        try:
            with opened(source, part.start) as stream:
                for batch, found, tally in self._judge.file(part.number, source, _batches(source, part, stream)):
                    yield batch, found, tally.seen()
        except (OSError, WatchbillError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else error.what
            yield Batch([], [], 0, [Fault(part.start, reason)]), [], Seen()

    def _hits(self, found: Sequence[Found], sources: Sequence[Source]) -> Iterator[Hit]:
        start, end = self._within
        events: list[Event] = []
        matches: list[Match] = []
        for one in found:
            if not start <= one.time < end:
                continue
            for name, why in zip(one.rules, one.why, strict=True):
                rule = self.ruleset.by_name[name]
                if rule.alerts and self._told(rule.level):
                    yield Hit(
                        rule, rule.level, one.host, one.time, one.time, 1, (why,), one.entities,
                        sources[one.shard].name, one.position, one,
                    )  # fmt: skip
                if name in self._correlated:
                    matches.append(Match(name, len(events)))
            if matches and matches[-1].at == len(events):
                events.append(one.event)
        yield from self._correlations(self._detector.feed(events, matches), sources)

    def _correlations(self, detections: Iterable[Detection], sources: Sequence[Source]) -> Iterator[Hit]:
        for detection in detections:
            rule = self.ruleset.by_name[detection.rule]
            if rule.correlation is not None and self._told(detection.severity):
                ref = detection.events[0]
                yield Hit(
                    rule, detection.severity, detection.host, detection.first, detection.last, detection.count,
                    detection.why, detection.entities, sources[ref.shard].name, ref.position, None, detection,
                )  # fmt: skip

    def _told(self, severity: Severity) -> bool:
        if severity.rank >= self._least.rank:
            return True
        self.below += 1
        return False


def _medium(_host: str) -> Criticality:
    return Criticality.MEDIUM


def _parts(number: int, source: Source, count: int) -> list[Part]:
    """A big plain file of records that stand alone is read in several places at once, by so many processes."""
    is_evtx = source.form == "evtx"
    at = evtx.HEADER if is_evtx else 0
    alone = source.packing or source.path == "-" or source.form not in {"evtx", "jsonl"} or source.encoding != "utf-8"
    parts = []
    while count > 1 and not alone:
        left = source.size - at
        size = min(_PART, max(left // (2 * count), _LEAST_PART))
        if is_evtx:
            size = -(-size // evtx.CHUNK) * evtx.CHUNK
        if size >= left:
            break
        parts.append(Part(number, at, at + size))
        at += size
    return [*parts, Part(number, at, None)]


def _batches(source: Source, part: Part, stream: IO[bytes]) -> Iterator[Batch]:
    if source.form == "evtx":
        if source.packing or source.path == "-":
            stream.read(evtx.HEADER)
        return evtx.read(stream, part.start, part.end)
    if source.form in {"json", "xml", "csv"}:
        return {"json": text.json_values, "xml": text.event_xml, "csv": text.rows}[source.form](stream)
    if part.start:
        # A line belongs to the part in which it begins.
        stream.seek(part.start - 1)
        skipped = len(stream.readline(text.LONGEST)) - 1
        passed = iter([Batch([], [], skipped, [])])
        return chain(passed, text.lines(stream, part.start + skipped, part.end))
    return text.lines(stream, part.start, part.end, live=source.path == "-")
