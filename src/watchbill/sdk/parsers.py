"""The contract of a parser: one file in content/parsers, one source type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from watchbill.sdk.events import Event, LogSource
from watchbill.sdk.shapes import Shape


class Line(msgspec.Struct, gc=False):
    r"""A record with its transport header taken off, as a parser gets it.

    ``text`` is the message: for syslog what follows the tag, for a plain file the whole line, decoded as UTF-8 with
    undecodable bytes written as \xNN. ``data`` is the decoded object when the record is a JSON object. Fields that
    the transport did not say are empty, 0 or None.
    """

    text: str
    received: int = 0
    time: int = 0
    host: str = ""
    app: str = ""
    pid: str = ""
    facility: int = -1
    severity: int = -1
    data: dict[str, Any] | None = None
    #: What the source is known to be (a parser id), when somebody said so.
    format: str = ""
    source: str = ""


class Sample(NamedTuple):
    """A record as it arrives (before its transport header is taken off) and what must come of it.

    ``ocsf`` and ``native`` name the fields that must be there with exactly these values; ``None`` for ``class_uid``
    says that the parser must leave this record to others.
    """

    raw: str
    class_uid: int | None
    ocsf: Mapping[str, Any] = {}
    native: Mapping[str, Any] = {}
    time: str = ""
    host: str = ""


class Parser(NamedTuple):
    """A recogniser and translator of one source type.

    ``parse`` is pure. It returns None for what it does not know, which lets the next candidate try; it never raises
    on bad input. Routing, from cheapest: ``apps`` are syslog tags, compared in lower case; ``keys`` are sets of
    top-level JSON keys that all must be present; ``prefixes`` start the text; ``sniff`` is asked last, in order of
    ``rank`` (lower first). ``shapes`` say how its raw JSON records can be matched without parsing them first.
    """

    id: str
    title: str
    logsource: LogSource
    parse: Callable[[Line], Event | None]
    samples: tuple[Sample, ...]
    apps: tuple[str, ...] = ()
    keys: tuple[frozenset[str], ...] = ()
    prefixes: tuple[str, ...] = ()
    sniff: Callable[[str], bool] | None = None
    rank: int = 50
    shapes: tuple[Shape, ...] = ()
    #: Asked only for sources of Watchbill itself, so that nobody else can speak in its name.
    internal: bool = False
