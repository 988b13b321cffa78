"""Which raw records can hold a keyword at all, so that only their messages are made.

A message is made of a record's names and values with white space in what is put between (``Shape.message``). So a run of
plain characters of a keyword stands in the record's own bytes too, whatever JSON makes of others, unless it is written in
escapes or in one of the two characters outside ASCII whose lower case is in it.
"""

from __future__ import annotations

import importlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import re2

from watchbill.engine.detect.predicates import Predicate

_RUN = re.compile(r"[a-z0-9_.:@$%#&*+=;<>?^~|!-]+")
_LETTERS = re.compile(r"[a-z]{3}")
#: What Python writes for values that JSON writes otherwise.
_WRITTEN = {"inf", "nan", "none", "true", "false"}
#: A character in escapes (after an even number of backslashes), or the signs for Kelvin and a capital i with a dot.
_HIDDEN = r"[^\\](\\\\)*\\u|\xe2\x84\xaa|\xc4\xb0"


Scan = Callable[[bytes, list[int]], set[int]]


class Keywords:
    """Looks for the conditions on one kind of events' messages."""

    def __init__(self, predicates: Iterable[Predicate]) -> None:
        runs = [_run(predicate) for predicate in predicates]
        self._scan: Scan | None = None
        if runs and all(runs):
            found = sorted({re.escape(run) for run in runs if run})
            self._scan = _scan(found)

    def possible(self, raws: Sequence[bytes]) -> Iterable[int]:
        """The places of records whose message may fulfil one of the conditions."""
        if self._scan is None:
            return range(len(raws))
        return self._scan(b"\n".join(raws), list(accumulate(len(raw) + 1 for raw in raws)))


def _scan(runs: list[str]) -> Scan:
    try:
        return by_hyperscan(runs)
    except ImportError:  # there is no wheel for every machine; RE2 finds the same, several times slower
        return by_re2(runs)


def by_hyperscan(runs: list[str]) -> Scan:
    """Find records with one of these (escaped) runs, or with hidden characters, at the speed of memory."""
    hyperscan = importlib.import_module("hyperscan")
    database = hyperscan.Database()
    patterns = [run.encode() for run in runs] + [_HIDDEN.encode("latin-1")]
    flags = [hyperscan.HS_FLAG_CASELESS] * len(runs) + [0]
    database.compile(expressions=patterns, ids=list(range(len(patterns))), flags=flags)

    def scan(data: bytes, ends: list[int]) -> set[int]:
        found: list[int] = []
        database.scan(data, match_event_handler=lambda _id, _start, end, _flags, _context: found.append(end))
        return {bisect_right(ends, end - 1) for end in found}

    return scan


def by_re2(runs: list[str]) -> Scan:
    """The same by RE2."""
    options = re2.Options()
    options.never_capture, options.log_errors, options.encoding = True, False, re2.Options.Encoding.LATIN1
    pattern = f"(?i:{'|'.join(runs)})|{_HIDDEN}".encode("latin-1")
    search = re2.compile(pattern, options).search  # type: ignore[no-untyped-call]

    def scan(data: bytes, ends: list[int]) -> set[int]:
        found = set()
        hit = search(data)
        while hit is not None:
            at = bisect_right(ends, hit.end() - 1)
            found.add(at)
            hit = search(data, ends[at]) if at + 1 < len(ends) else None
        return found

    return scan


def _run(predicate: Predicate) -> str | None:
    """The longest run that must stand in the record, if there is a good one."""
    if predicate.kind != "contains" or predicate.cased:
        return None
    runs = [run.strip(":") for run in _RUN.findall(predicate.argument)]
    sound = [run for run in runs if _LETTERS.search(run) and run not in _WRITTEN]
    return max(sound, key=len, default=None)
