"""Raw records through the real normaliser with all parsers, as the tests of parsers need it."""

from __future__ import annotations

import importlib
import pkgutil

from watchbill.content import parsers as package
from watchbill.core.clock import FixedClock
from watchbill.core.times import from_rfc3339
from watchbill.engine.normalise import Normaliser
from watchbill.ledger import SourceFacts, StoredRecord

NOW = from_rfc3339("2026-03-04T12:00:00Z")
PARSERS = [
    importlib.import_module(f"{package.__name__}.{module.name}").PARSER
    for module in pkgutil.iter_modules(package.__path__)
]


def normalised(lines, *, now=NOW, name="test", transport="replay", **facts):
    """Events of raw records of one source, received at once; each call has a memory of its own."""
    source = SourceFacts(1, name, transport, facts)
    raws = [line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line for line in lines]
    records = [(StoredRecord(at, raw, 1, now, 0, at), source, 0) for at, raw in enumerate(raws)]
    return Normaliser(PARSERS, clock=FixedClock(now)).normalise(records)
