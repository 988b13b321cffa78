"""Finds the parser of a line, from the cheapest sign to the dearest."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from watchbill.sdk import Event, Line, LogSource, Parser, ocsf

#: Parsers of this rank and beyond take anything, so their yes says nothing.
GENERIC_RANK = 90
_TAGS = 10_000
_UNSAID = LogSource()
_log = logging.getLogger(__name__)


class Router:
    """Candidates in this order: what the source is known to be, syslog tag, JSON keys, prefix, sniffing by rank."""

    def __init__(self, parsers: Iterable[Parser]) -> None:
        ranked = sorted(parsers, key=lambda parser: (parser.rank, parser.id))
        self._internal = tuple(parser for parser in ranked if parser.internal)
        # What Watchbill says of itself is believed of its own sources only: a sender could write the same.
        ordered = [parser for parser in ranked if not parser.internal]
        self._by_id = {parser.id: parser for parser in ordered}
        self._apps: dict[str, tuple[Parser, ...]] = {}
        for parser in ordered:
            for app in parser.apps:
                self._apps[app.lower()] = (*self._apps.get(app.lower(), ()), parser)
        self._keys = [(keys, parser) for parser in ordered for keys in parser.keys]
        self._prefixes = [(prefix, parser) for parser in ordered for prefix in parser.prefixes]
        self._prefix = tuple(prefix for prefix, _ in self._prefixes)
        self._sniffers = [(parser.sniff, parser) for parser in ordered if parser.sniff]

    def preferred(self, format_id: str, name: str, *, internal: bool = False) -> tuple[Parser, ...]:
        """The parsers to ask first for a source: the one it is said to be, else those named in its path.

        Generic parsers take anything, so saying that a source is "syslog" or "json" must not cut off the others.
        Parsers of Watchbill's own records are asked only for ``internal`` sources.
        """
        if internal:
            return (*self._internal, *self.preferred(format_id, name))
        said = self._by_id.get(format_id)
        if said is not None and said.rank < GENERIC_RANK:
            return (said,)
        lowered = name.lower()
        return tuple(parser for _, parser in self._sniffers if parser.rank < GENERIC_RANK and parser.id in lowered)

    def parse(self, line: Line, preferred: Sequence[Parser] = ()) -> Event | None:
        """Return the first candidate's event, with its parser named; None when nobody knows the line."""
        app = line.app
        if app:
            candidates = self._apps.get(app)
            if candidates is None:
                # "/USR/SBIN/CRON", "httpd/backend1": remembered, for the tags of a site are few.
                first, _, last = app.lower().partition("/")
                candidates = self._apps.get(last.rpartition("/")[2]) or self._apps.get(first) or ()
                if len(self._apps) < _TAGS:
                    self._apps[app] = candidates
            for parser in candidates:
                if (event := _ask(parser, line)) is not None:
                    return event
        for parser in preferred:
            if (event := _ask(parser, line)) is not None:
                return event
        return self._search(line)

    def _search(self, line: Line) -> Event | None:
        text, data = line.text, line.data
        if data is not None:
            for keys, parser in self._keys:
                if keys <= data.keys() and (event := _ask(parser, line)) is not None:
                    return event
        if text.startswith(self._prefix):
            for prefix, parser in self._prefixes:
                if text.startswith(prefix) and (event := _ask(parser, line)) is not None:
                    return event
        for sniff, parser in self._sniffers:
            if sniff(text) and (event := _ask(parser, line)) is not None:
                return event
        return None


def _ask(parser: Parser, line: Line) -> Event | None:
    try:
        event = parser.parse(line)
    except Exception as error:  # noqa: BLE001 - a parser from outside that breaks its promise must not stop the path
        _log.exception("parser %s failed", parser.id)
        text = line.text[:2_048]
        values = {**ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "unknown", "unknown"), "message": text}
        return Event(0, values, {}, text, parser=parser.id, flaw=f"the parser {parser.id} failed: {error!r:.160}")
    if event is not None:
        event.parser = parser.id
        if event.logsource == _UNSAID:
            event.logsource = parser.logsource
    return event
