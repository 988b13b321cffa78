"""One batch of records: normalised, matched, and for each that meets a rule what a person wants to know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from watchbill.core.clock import Clock
from watchbill.engine.detect import Matcher, RuleSet
from watchbill.engine.detect.asked import answers
from watchbill.engine.detect.conditions import folded
from watchbill.engine.detect.evidence import Entities, entities_of
from watchbill.engine.detect.jsonmatch import JsonMatcher
from watchbill.engine.detect.why import matched_words
from watchbill.engine.normalise import Normaliser
from watchbill.engine.offline.batches import Batch
from watchbill.engine.offline.sources import Source
from watchbill.engine.offline.text import LONGEST
from watchbill.sdk import Event, LogSource, Parser, Shape
from watchbill.sdk.shapes import Kind

#: Forms whose records are one JSON object each, or may be.
_JSON_FORMS = frozenset({"evtx", "jsonl", "json", "lines"})


class Found(msgspec.Struct, array_like=True):
    """A record that meets rules. ``why`` is one sentence for each of ``rules``; ``shard`` is the file's number and
    ``position`` the place in it. ``said`` is the event, as MessagePack where another process found it: few are looked at.
    """

    shard: int
    position: int
    time: int
    host: str
    entities: Entities
    rules: tuple[str, ...]
    why: tuple[str, ...]
    said: Event | bytes

    @property
    def event(self) -> Event:
        return _decode_event(self.said) if isinstance(self.said, bytes) else self.said

    def packed(self) -> Found:
        """The same for another process."""
        return msgspec.structs.replace(self, said=_encode(self.event))


_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_decode_event = msgspec.msgpack.Decoder(Event).decode


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


class _Raw:
    """Looks at raw JSON records of one shape and chooses those that must be parsed: most need not be."""

    def __init__(
        self, parser: str, matcher: JsonMatcher, wanted: frozenset[str], needs: Callable[[Kind], bool]
    ) -> None:
        self.parser = parser
        self._matcher = matcher
        self._wanted = wanted
        self._needs = needs

    def choose(self, raws: Sequence[bytes], tally: Tally) -> dict[int, list[str] | None]:
        """The places of the records that meet a rule, may meet one for OCSF, or are not of the shape, with the wanted
        rules of the usual taxonomy that they meet, None where that is not known; the others are counted here.
        """
        judged = self._matcher.match(raws)
        met: dict[int, list[str]] = {}
        for match in judged.matches:
            if match.rule in self._wanted:
                met.setdefault(match.at, []).append(match.rule)
        chosen: dict[int, list[str] | None] = dict.fromkeys(range(len(raws)))
        others = set(judged.others)
        for kind, of_kind in judged.kinds:
            places = [at for at in of_kind if at not in others] if others else of_kind
            passed = [] if self._needs(kind) else [at for at in places if at not in met]
            for at in passed:
                del chosen[at]
            tally.records += len(passed)
            tally.kinds[self.parser, kind.logsource, kind.class_uid or 0] += len(passed)
            if len(passed) < len(places):
                chosen.update((at, met.get(at, [])) for at in places if at in chosen)
        return chosen


def _decoded(raw: bytes) -> dict[str, Any] | None:
    try:
        record = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return record if isinstance(record, dict) else None


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
        self._facts = {"format": parser, "host": ""} if parser else {}
        self._timezone = timezone
        self._order = {rule.name: place for place, rule in enumerate(ruleset.rules)}
        self._matcher = Matcher(ruleset.rules)
        self._for_ocsf = [rule for rule in self._matcher.rules if rule.route.class_uid is not None]
        self._matcher_for_ocsf = Matcher(self._for_ocsf)
        self._raw_matchers: dict[Shape, JsonMatcher] = {}
        self._to_parse: dict[tuple[LogSource, int | None, int | None], bool] = {}

    def file(self, number: int, source: Source, batches: Iterator[Batch]) -> Iterator[tuple[Batch, list[Found], Tally]]:
        """Yield each batch with what was found in it, in order."""
        normaliser = Normaliser(self._parsers, clock=self._clock, timezone=self._timezone, longest=LONGEST)
        told = _From(1, source.name, "offline", self._facts)
        # A header without a year is of the year in which the file was written.
        received = source.modified if source.form == "lines" and source.modified else self._clock.now()
        raw: _Raw | None = None
        for batch in batches:
            if raw is None and batch.raws and source.form in _JSON_FORMS:
                raw = self._raw(batch.raws[0])
            tally = Tally()
            chosen = raw.choose(batch.raws, tally) if raw else dict.fromkeys(range(len(batch.raws)))
            records = [(_Record(batch.places[at], batch.raws[at], 1, received, 0), told, number) for at in chosen]
            events = normaliser.normalise(records)
            tally.see(events)
            known = [
                names if raw is not None and event.parser == raw.parser and not event.flaw else None
                for names, event in zip(chosen.values(), events, strict=True)
            ]
            yield batch, list(self._judged(events, known)), tally

    def _raw(self, first: bytes) -> _Raw | None:
        """How to look at raw records like this one, where the parser that takes it says it."""
        record = _decoded(first)
        if record is None:
            return None
        now = self._clock.now()
        alone = Normaliser(self._parsers, clock=self._clock, longest=LONGEST)
        (event,) = alone.normalise([(_Record(0, first, 1, now, 0), _From(1, "", "offline", self._facts), 0)])
        for parser in self._parsers:
            for shape in parser.shapes if parser.id == event.parser else ():
                if shape.read(record) is not None:
                    matcher = self._raw_matchers.get(shape)
                    if matcher is None:
                        matcher = self._raw_matchers[shape] = JsonMatcher(self._rules.values(), shape)
                    return _Raw(parser.id, matcher, self._wanted, self._needs_parsing)
        return None

    def _needs_parsing(self, kind: Kind) -> bool:
        """Whether rules for OCSF may be for such records, and hold: they need the parsed event."""
        source, class_uid, activity = asked = kind.logsource, kind.class_uid, kind.activity_id
        found = self._to_parse.get(asked)
        if found is None:
            judge = answers({} if activity is None else {"activity_id": activity}, "ocsf")
            found = self._to_parse[asked] = any(
                class_uid is None
                or (
                    rule.route.takes(source, class_uid)
                    and rule.expression
                    and folded(rule.expression, judge) is not False
                )
                for rule in self._for_ocsf
            )
        return found

    def _judged(self, events: Sequence[Event], known: Sequence[list[str] | None]) -> Iterator[Found]:
        """What is found in events, of some of which the wanted rules of the usual taxonomy that they meet are known."""
        met = {at: list(names) for at, names in enumerate(known) if names}
        whole = [at for at, names in enumerate(known) if names is None]
        rest = [at for at, names in enumerate(known) if names is not None]
        for matcher, places in ((self._matcher, whole), (self._matcher_for_ocsf, rest)):
            for match in matcher.match([events[at] for at in places]):
                if match.rule in self._wanted:
                    met.setdefault(places[match.at], []).append(match.rule)
        for at in sorted(met):
            event, names = events[at], sorted(met[at], key=self._order.__getitem__)
            why = tuple(matched_words(self._rules[name], event) for name in names)
            yield Found(
                event.shard, event.position, event.time, event.host, entities_of(event), tuple(names), why, event
            )
