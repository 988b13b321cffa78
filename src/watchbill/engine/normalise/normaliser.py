"""Ledger records to events: decode, take the header off, find the parser, complete what it made."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from watchbill.core.clock import DAY, Clock
from watchbill.core.times import rfc3339
from watchbill.engine.normalise.attempts import Attempts
from watchbill.engine.normalise.envelopes import OPENERS, Letter, format_of, open_envelope
from watchbill.engine.normalise.header import decode_line
from watchbill.engine.normalise.journald import is_journal, journal_line
from watchbill.engine.normalise.jsontext import Flawed, decode_object, looks_like_object
from watchbill.engine.normalise.peers import Peers
from watchbill.engine.normalise.routing import Router
from watchbill.engine.normalise.text import decode, decode_json
from watchbill.engine.timestamps import Stamps, zone
from watchbill.sdk import Event, Line, Parser, ocsf

#: Longer records are kept in the ledger but not parsed (RFC 5425 asks for 8 KiB; auditd and JSON need more).
LONGEST = 65_536
_MESSAGE = 2_048
#: Classes whose events belong to a connection.
_CONNECTED = frozenset({ocsf.AUTHENTICATION, ocsf.SSH_ACTIVITY})
_EARLIEST = 366 * DAY  # a clock that was never set says 1970


class Record(Protocol):
    """What the normaliser reads of a ledger record (watchbill.ledger.StoredRecord is one)."""

    @property
    def position(self) -> int: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def source(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def source_time(self) -> int: ...


class Source(Protocol):
    """What is known of a source. Facts read here: ``format`` (a parser id), ``timezone`` (IANA), ``host``,
    ``address``, ``envelope`` ("hec", "otlp": what its records are wrapped in).
    """

    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def transport(self) -> str: ...
    @property
    def facts(self) -> Mapping[str, str]: ...


#: Transports that only Watchbill itself can use: its own sources, and records on which rules are tried.
INTERNAL = frozenset({"internal", "trial"})


class _Route:
    """What is worked out once for a source."""

    __slots__ = ("envelope", "format", "host", "name", "parsers", "stamps")

    def __init__(self, source: Source, router: Router, timezone: str) -> None:
        facts = source.facts
        self.name = source.name
        self.format = format_of(facts.get("format", ""))
        self.envelope = facts.get("envelope", "")
        here = platform.node() if source.transport in {"file", "journald"} else ""
        self.host = facts.get("host") or here or facts.get("address", "")
        self.stamps = Stamps(zone(facts.get("timezone", timezone)))
        self.parsers = router.preferred(self.format, source.name, internal=source.transport in INTERNAL)


class Normaliser:
    """Makes exactly one event of every record (registrations, source 0, have none) and never raises for bad input."""

    def __init__(
        self, parsers: Sequence[Parser], *, clock: Clock, timezone: str = "UTC", longest: int = LONGEST
    ) -> None:
        self._router = Router(parsers)
        self._longest = longest
        self._clock = clock
        self._timezone = timezone
        self._routes: dict[tuple[int, int], _Route] = {}
        self._attempts = Attempts()
        self._peers = Peers()

    def normalise(self, records: Iterable[tuple[Record, Source, int]]) -> list[Event]:
        """Return one event for each (record, source, shard), in order."""
        return [self._one(record, source, shard) for record, source, shard in records if record.source]

    def _one(self, record: Record, source: Source, shard: int) -> Event:
        key = (shard, source.number)
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = _Route(source, self._router, self._timezone)
        received = record.received or self._clock.now()
        letter = None
        if route.envelope in OPENERS:
            letter, line, flaw = self._unwrap(record.raw, received, route)
        else:
            line, flaw = read_line(record.raw, received, route.stamps, route.format, route.name, self._longest)
        parsers = self._router.preferred(letter.format, "") if letter and letter.format else route.parsers
        event = None if flaw else self._router.parse(line, parsers)
        if event is None:
            event = _base(line)
        if letter:
            letter.complete(event)
        if flaw:
            event.flaw = flaw
        event.source = route.name
        event.received = received
        event.shard = shard
        event.position = record.position
        self._complete(event, line, record.source_time, route)
        return event

    def _unwrap(self, raw: bytes, received: int, route: _Route) -> tuple[Letter, Line, str]:
        """Take a record out of its envelope and decode it."""
        if len(raw) > self._longest:
            letter, flaw = Letter(raw), ""
        else:
            letter, flaw = open_envelope(route.envelope, raw)
        form = letter.format or route.format
        line, reason = read_line(letter.raw, received, route.stamps, form, route.name, self._longest)
        letter.address(line)
        return letter, line, flaw or reason

    def _complete(self, event: Event, line: Line, source_time: int, route: _Route) -> None:
        values = event.ocsf
        received = event.received
        time = event.time or line.time or source_time or received
        if time > received + DAY or time < _EARLIEST:
            values["metadata.original_time"] = rfc3339(time) if 0 < time < 1 << 62 else str(time)
            values["unmapped.time_note"] = "the source's time is out of range; the time of receipt stands for it"
            time = received
        event.time = time
        host = event.host or line.host or route.host or route.name
        event.host = host
        values["time"] = time // 1_000_000
        values["device.hostname"] = host
        values["device.name"] = host
        values["device.type_id"] = 0
        if event.class_uid in _CONNECTED:
            if "dst_endpoint.hostname" not in values:
                values["dst_endpoint.hostname"] = host
            if line.pid:
                self._peers.complete(event, line.app, line.pid)
            if "attempt" in event.native and values["status_id"] == ocsf.FAILURE:
                self._attempts.count(event)


def read_line(
    raw: bytes, received: int, stamps: Stamps, format_id: str = "", source: str = "", longest: int = LONGEST
) -> tuple[Line, str]:
    """Decode a record into a line; the second value is the reason for quarantine, "" for a good one."""
    if len(raw) > longest:
        return Line(decode(raw[:_MESSAGE]), received), f"record of {len(raw)} bytes, the limit is {longest}"
    text = decode(raw)
    line = Line(text, received) if text[:1] == "{" else decode_line(text, received, stamps)
    flaw = ""
    first = line.text[:1]
    if first == "{" and looks_like_object(line.text):
        try:
            # The whole record as it was: line breaks between tokens are white space, not control characters.
            line.data = decode_object(decode_json(raw) if line.text is text else line.text)
        except Flawed as error:
            flaw = str(error)
        else:
            if line.text is text and is_journal(line.data):
                line = journal_line(line.data, received)
    elif not first and not line.app:
        flaw = "an empty record"
    line.format = format_id
    line.source = source
    return line, flaw


_UNPARSED = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "unknown", "unknown")


def _base(line: Line) -> Event:
    """The event of a record that no parser may or can read."""
    text = line.text if len(line.text) <= _MESSAGE else line.text[:_MESSAGE]
    return Event(ocsf.BASE, {**_UNPARSED, "message": text}, {}, text)
