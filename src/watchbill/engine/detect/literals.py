"""Looking for many literals in bytes, whatever case their letters have: by Hyperscan, or Aho-Corasick where it is not."""

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

#: The fast form of the automaton takes some two microseconds a byte to build, and two hundred bytes of memory, and saves
#: some forty microseconds a text.
FAST_BYTES = 1 << 18
_FAST_BYTES_A_TEXT = 20

_WITH_BREAK = (1).__add__
_END = itemgetter(1)

#: From bytes to hits: the number of a literal, and where it ends. In the order of their ends.
Scan = Callable[[bytes], list[tuple[int, int]]]


class Scanner:
    """Says which of some literals (ASCII in lower case but for NUL, or bytes above) stand in each of many texts.

    One for ``few`` texts is made in a tenth of the time and takes up to ten times as long for each.
    """

    def __init__(self, literals: Sequence[bytes], *, few: int | None = None) -> None:
        self._scan = _hyperscan(literals) if HAS_HYPERSCAN and few is None else _ahocorasick(literals, few)

    def find(self, texts: Sequence[bytes]) -> dict[int, list[int]]:
        """The numbers of literals by the places of those texts that have any, each as often as it is there."""
        if not texts:
            return {}
        ends = list(accumulate(map(_WITH_BREAK, map(len, texts))))
        return by_place(self._scan(b"\n".join(texts)), ends)


def pays(size: int, texts: int) -> bool:
    """Whether an automaton of so many bytes, for so many texts, is to be built in its fast form."""
    return size <= min(FAST_BYTES, texts * _FAST_BYTES_A_TEXT)


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


def _hyperscan(literals: Sequence[bytes]) -> Scan:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = [hyperscan.HS_FLAG_CASELESS] * len(literals)
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


def _ahocorasick(literals: Sequence[bytes], few: int | None) -> Scan:
    size = sum(map(len, literals))
    fast = size <= FAST_BYTES if few is None else pays(size, few)
    automaton = BytesAhoCorasick(literals, implementation=Implementation.DFA if fast else Implementation.ContiguousNFA)
    return lambda data: [
        (number, end) for number, _, end in automaton.find_matches_as_indexes(data.lower(), overlapping=True)
    ]
