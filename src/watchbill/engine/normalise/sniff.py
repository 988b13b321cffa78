"""Guesses what a file is from its first lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC

from watchbill.engine.normalise.normaliser import read_line
from watchbill.engine.normalise.routing import GENERIC_RANK, Router
from watchbill.engine.timestamps import Stamps
from watchbill.sdk import Parser


def sniff_format(lines: Iterable[bytes], parsers: Sequence[Parser], *, name: str = "") -> str | None:
    """Return the id of the parser that knows most of the lines, if it knows a third of them; ``name`` breaks ties."""
    router = Router(parser for parser in parsers if parser.rank < GENERIC_RANK)
    preferred = router.preferred("", name)
    found: Counter[str] = Counter()
    total = 0
    stamps = Stamps(UTC)
    for raw in lines:
        total += 1
        line, flaw = read_line(raw, 0, stamps)
        event = None if flaw else router.parse(line, preferred)
        if event is not None and not event.flaw:
            found[event.parser] += 1
    if not found:
        return None
    (parser, count), *_ = found.most_common(1)
    return parser if count * 3 >= total else None
