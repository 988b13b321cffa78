"""Which raw records can hold a keyword at all, so that only their messages are made.

A message is made of a record's names and values with white space in what is put between (``Shape.message``). So a run of
plain characters of a keyword stands in the record's own bytes too, whatever JSON makes of others, unless it is written in
escapes or in one of the two characters outside ASCII whose lower case is in it.
"""

from __future__ import annotations

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
    """Find records with one of these (escaped) runs, or with hidden characters."""
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
