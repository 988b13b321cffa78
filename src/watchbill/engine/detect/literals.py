"""Looking for many literals in bytes: by Aho-Corasick, which is there at once, then by Hyperscan, once that has paid."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import itemgetter

from ahocorasick_rs import BytesAhoCorasick, Implementation

try:
    import hyperscan
except ImportError:  # there is none for this machine
    HAS_HYPERSCAN = False
else:
    HAS_HYPERSCAN = True

#: What searches fast takes twenty to forty microseconds a literal to build, and saves some ten nanoseconds a byte of text.
#: So it is built when so many bytes were searched for each literal: then it cannot cost more than it might have saved.
_PAYS = 4_000
#: Of more it takes seconds to build, and longer ones Hyperscan refuses.
_MOST_LITERALS, _LONGEST = 20_000, 16_000
#: Without Hyperscan, the fast form of the automaton takes two hundred bytes of memory for each of the literals' bytes.
_MOST_FAST_BYTES = 1 << 18

_WITH_BREAK = (1).__add__
_END = itemgetter(1)

#: From bytes to hits: the number of a literal, and where it ends. In the order of their ends.
Scan = Callable[[bytes], list[tuple[int, int]]]


class Automaton:
    """Finds each of some literals wherever it stands in bytes, overlapping ones too. ``caseless`` takes A to Z for a to z
    in what is searched; the literals are in lower case then.
    """

    def __init__(self, literals: Sequence[bytes], *, caseless: bool = False) -> None:
        self._literals = literals
        self._caseless = caseless
        self._scan = _ahocorasick(literals, caseless=caseless)
        self._is_fast = not literals
        self._left = len(literals) * _PAYS

    def find(self, data: bytes) -> list[tuple[int, int]]:
        """The hits (number of the literal, where it ends), in the order of their ends."""
        if not self._is_fast:
            self._left -= len(data)
            if self._left <= 0:
                self._is_fast = True
                self._scan = _fast(self._literals, caseless=self._caseless) or self._scan
        return self._scan(data)


class Scanner:
    """Says which of some literals (in lower case, ASCII or bytes above) stand in each of many texts, whatever case their
    letters have.
    """

    def __init__(self, literals: Sequence[bytes]) -> None:
        self._automaton = Automaton(literals, caseless=True)

    def find(self, texts: Sequence[bytes]) -> dict[int, list[int]]:
        """The numbers of literals by the places of those texts that have any, each as often as it is there."""
        if not texts:
            return {}
        ends = list(accumulate(map(_WITH_BREAK, map(len, texts))))
        return by_place(self._automaton.find(b"\n".join(texts)), ends)


def by_place(hits: Iterable[tuple[int, int]], ends: Sequence[int]) -> dict[int, list[int]]:
    """The numbers of hits (number, end) in joined texts, by the places of the texts that end at ``ends``."""
    found: dict[int, list[int]] = defaultdict(list)
    at, end_of_text = 0, ends[0]
    for number, end in hits:
        if end > end_of_text:
            at = bisect_left(ends, end, at + 1)
            end_of_text = ends[at]
        found[at].append(number)
    return found


def _fast(literals: Sequence[bytes], *, caseless: bool) -> Scan | None:
    """What searches fast; None where there is nothing better."""
    if HAS_HYPERSCAN and len(literals) <= _MOST_LITERALS and all(map(_is_for_hyperscan, literals)):
        return _hyperscan(literals, caseless=caseless)
    if sum(map(len, literals)) <= _MOST_FAST_BYTES:
        return _ahocorasick(literals, Implementation.DFA, caseless=caseless)
    return None


def _is_for_hyperscan(literal: bytes) -> bool:
    return len(literal) <= _LONGEST and b"\0" not in literal  # which would end it


def _hyperscan(literals: Sequence[bytes], *, caseless: bool) -> Scan:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_CASELESS if caseless else 0] * len(literals)
    database.compile(
        expressions=list(literals), ids=list(range(len(literals))), elements=len(literals), flags=flags, literal=True
    )

    def scan(data: bytes) -> list[tuple[int, int]]:
        hits: list[tuple[int, int]] = []
        add = hits.append

        def hit(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            add((number, end))

        database.scan(data, match_event_handler=hit)
        hits.sort(key=_END)  # which is not promised for hits of several literals
        return hits

    return scan


def _ahocorasick(
    literals: Sequence[bytes], how: Implementation = Implementation.ContiguousNFA, *, caseless: bool
) -> Scan:
    automaton = BytesAhoCorasick(literals, implementation=how)
    return lambda data: [
        (number, end)
        for number, _, end in automaton.find_matches_as_indexes(data.lower() if caseless else data, overlapping=True)
    ]
