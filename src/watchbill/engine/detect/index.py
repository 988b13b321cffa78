"""For one field: from values to the sets of atoms that they make true, many values at a time.

All literals of a field are one Aho-Corasick automaton, and all new values of a batch are one text, with a separator
before, between and behind them. A literal that must stand at the start or the end of a value has the separator in it:

    ␞cmd.exe /c dir␞powershell -enc …␞        contains "-enc"    starts with "␞cmd"    ends with "dir␞"

One scan then finds what holds for thousands of values; what it costs are its hits.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import accumulate
from typing import Any

from ahocorasick_rs import AhoCorasick, Implementation

from watchbill.engine.detect.guards import FOLDS_TO_ASCII, SEPARATOR, need_of_regex
from watchbill.engine.detect.predicates import MISSING, Predicate, compile_regex, holds, related, text_of

#: A memo keeps up to two generations of this many values, each of at most this many characters.
MEMO_VALUES = 4_096
MEMO_CHARACTERS = 512
#: From this share of new values in a batch on, remembering them is not worth it; it is tried again now and then.
_NOVEL = 0.7
_TRY_AGAIN = 32
_SETS = 8_192
#: Literals of starts are looked for in so many characters; how many parts of texts are remembered, and how long ones.
_HEAD = 24
_PARTS = 8_192
_PART_CHARACTERS = 128

_LITERAL = {"contains", "startswith", "endswith", "equals", "guard"}

_WITH_SEPARATOR = (1).__add__

Hits = frozenset[int]
NO_HITS: Hits = frozenset()


class _Literals:
    """All literals of one field that are compared cased, or all that are not."""

    def __init__(self) -> None:
        self._numbers: dict[str, list[int]] = defaultdict(list)
        self._found: dict[tuple[int, ...], Hits] = {}
        self._by_pattern: list[list[int]] = []
        self._anchors: list[tuple[bool, bool]] = []
        self._automaton: AhoCorasick | None = None

    def add(self, kind: str, literal: str, number: int) -> None:
        starts = SEPARATOR if kind in {"startswith", "equals"} else ""
        ends = SEPARATOR if kind in {"endswith", "equals"} else ""
        self._numbers[f"{starts}{literal}{ends}"].append(number)

    def build(self) -> bool:
        """Make the automaton, once all literals are added. False when there are none."""
        if self._numbers:
            self._by_pattern = list(self._numbers.values())
            self._anchors = [(text[0] == SEPARATOR, text[-1] == SEPARATOR) for text in self._numbers]
            # Of the three forms this one is small, is built in milliseconds and is as fast where hits are rare.
            self._automaton = AhoCorasick(self._numbers, implementation=Implementation.ContiguousNFA)
        return bool(self._numbers)

    def find(self, texts: Sequence[str]) -> list[Hits]:
        """The atoms that hold, for each text."""
        assert self._automaton is not None  # noqa: S101 - what is empty is not asked
        hits = [NO_HITS] * len(texts)
        joined = f"{SEPARATOR}{SEPARATOR.join(texts)}{SEPARATOR}"
        found: dict[int, list[int]] = defaultdict(list)
        if joined.count(SEPARATOR) == len(texts) + 1:
            ends = list(accumulate(map(_WITH_SEPARATOR, map(len, texts)), initial=1))[1:]
            at, end_of_value = 0, ends[0]
            for pattern, _, end in self._automaton.find_matches_as_indexes(joined, overlapping=True):
                if end > end_of_value:
                    at = bisect_left(ends, end, at + 1)
                    end_of_value = ends[at]
                found[at].append(pattern)
        else:
            for at, text in enumerate(texts):
                found[at] = self._alone(f"{SEPARATOR}{text}{SEPARATOR}")
        for at, patterns in found.items():
            hits[at] = self._set(tuple(patterns))
        return hits

    def _alone(self, text: str) -> list[int]:
        assert self._automaton is not None  # noqa: S101 - as above
        return [
            pattern
            for pattern, start, end in self._automaton.find_matches_as_indexes(text, overlapping=True)
            if not (self._anchors[pattern][0] and start) and not (self._anchors[pattern][1] and end < len(text))
        ]

    def _set(self, patterns: tuple[int, ...]) -> Hits:
        hits = self._found.get(patterns)
        if hits is None:
            if len(self._found) >= _SETS:
                self._found.clear()
            hits = frozenset(number for pattern in patterns for number in self._by_pattern[pattern])
            if len(patterns) <= 64:
                self._found[patterns] = hits
        return hits


class _Part:
    """Literals that only look at one part of a text, such as the last component of a path: parts come again and again,
    even where no text is like the other.
    """

    def __init__(self, part_of: Callable[[Sequence[str]], list[str]]) -> None:
        self.literals = _Literals()
        self._part_of = part_of
        self._known: dict[str, Hits] = {}

    def find(self, texts: Sequence[str]) -> list[Hits]:
        parts = self._part_of(texts)
        new = list(set(parts).difference(self._known))
        if new:
            if len(self._known) > _PARTS:
                self._known = {}
                new = list(set(parts))
            found = self.literals.find(new)
            self._known.update(zip(new, found, strict=True))
        hits = list(map(self._known.__getitem__, parts))
        for part in new:
            if len(part) > _PART_CHARACTERS:
                del self._known[part]
        return hits


def _heads(texts: Sequence[str]) -> list[str]:
    return [text[:_HEAD] for text in texts]


def _last_components(texts: Sequence[str]) -> list[str]:
    """From the last backslash on; literals with no backslash but at their start cannot end before it."""
    return [text[at:] if (at := text.rfind("\\")) > 0 else text for text in texts]


def _search(pattern: str, held: Hits, texts: Sequence[str]) -> list[Hits]:
    """Search a regex that keeps within a text in all of them at once."""
    joined = SEPARATOR.join(texts)
    if not joined.isascii() or joined.count(SEPARATOR) != len(texts) - 1:
        test = holds(Predicate("regex", pattern))
        return [held if test(text) else NO_HITS for text in texts]
    data, search = joined.encode(), compile_regex(pattern).search
    ends = list(accumulate(len(text) + 1 for text in texts))
    hits = [NO_HITS] * len(texts)
    found = search(data)
    while found is not None:
        at = bisect_right(ends, found.start())
        hits[at] = held
        found = search(data, ends[at]) if at + 1 < len(texts) else None
    return hits


class FieldIndex:
    """Finds which of its atoms hold, for texts and for what is no text. Those in ``often`` hold for many."""

    def __init__(self, atoms: Iterable[tuple[int, Predicate]], often: Container[int] = ()) -> None:
        self._literals = {False: _Literals(), True: _Literals()}
        self._heads, self._tails = _Part(_heads), _Part(_last_components)
        self._often: list[tuple[str, Hits]] = []
        self._tests: list[tuple[Callable[[str], bool], Hits]] = []
        self._regexes: list[tuple[str, Hits]] = []
        self._related: list[tuple[str, bool, int]] = []
        self._all: list[tuple[Callable[[str], bool], Hits]] = []
        presence: dict[str, set[int]] = {"exists": set(), "missing": set(), "null": set()}
        always, guards = set(), set()
        for number, predicate in atoms:
            kind, argument = predicate.kind, predicate.argument
            if kind in presence:
                presence[kind].add(number)
            elif kind == "field":
                self._related.append((argument[1], predicate.cased, number))
            elif kind in _LITERAL and not argument and kind != "equals":
                always.add(number)
            else:
                self._all.append((holds(predicate), frozenset((number,))))
                self._add(number, predicate, number in often)
                if kind == "guard":
                    guards.add(number)
        self._parts = [part for part in (self._heads, self._tails) if part.literals.build()]
        self._whole = [(literals, cased) for cased, literals in self._literals.items() if literals.build()]
        self.when_missing = frozenset(presence["missing"] | presence["null"])
        self.when_null = frozenset(presence["exists"] | presence["null"])
        self.when_there: Hits = frozenset(presence["exists"])
        self._always: Hits = frozenset(presence["exists"] | always)
        self._guards: Hits = frozenset(guards)

    def _add(self, number: int, predicate: Predicate, often: bool) -> None:
        kind, argument = predicate.kind, predicate.argument
        if kind == "regex" and need_of_regex(argument).inline:
            self._regexes.append((argument, frozenset((number,))))
        elif kind not in _LITERAL or SEPARATOR in argument:
            self._tests.append(self._all[-1])
        elif predicate.cased:
            self._literals[True].add(kind, argument, number)
        elif kind == "startswith" and len(argument) <= _HEAD:
            self._heads.literals.add(kind, argument, number)
        elif kind == "endswith" and "\\" not in argument[1:]:
            self._tails.literals.add(kind, argument, number)
        elif often and kind in {"contains", "guard"}:
            self._often.append((argument, frozenset((number,))))
        else:
            self._literals[False].add(kind, argument, number)

    def hits(self, text: str) -> Hits:
        """The atoms that hold for this text."""
        return self.hits_of([text])[0]

    def hits_of(self, texts: Sequence[str]) -> list[Hits]:
        """The atoms that hold, for each of these texts."""
        return list(map(NO_HITS.union, *self.parts_of(texts)))

    def parts_of(self, texts: Sequence[str]) -> list[list[Hits]]:
        """The same in parts, whose union it is: parts have few different sets, so that they can be remembered."""
        folded = list(map(str.lower, texts))
        columns = [[self._always] * len(texts)]
        try:
            columns += [part.find(folded) for part in self._parts]
            columns += [literals.find(texts if cased else folded) for literals, cased in self._whole]
        except UnicodeEncodeError:  # a lone surrogate, which the automaton does not take
            sure = self._always | self._guards
            return [[sure.union(*(held for test, held in self._all if test(text))) for text in texts]]
        columns += [[held if literal in text else NO_HITS for text in folded] for literal, held in self._often]
        columns += [[held if test(text) else NO_HITS for text in texts] for test, held in self._tests]
        columns += [_search(pattern, held, texts) for pattern, held in self._regexes]
        if self._guards and FOLDS_TO_ASCII in "".join(folded):
            columns.append([self._guards if FOLDS_TO_ASCII in text else NO_HITS for text in folded])
        return columns

    def hits_of_pair(self, text: str, other: str) -> Hits:
        """The atoms that hold between this field's text and another field's (fieldref)."""
        low, other_low = text.lower(), other.lower()
        return frozenset(
            number
            for how, cased, number in self._related
            if (related(how, text, other) if cased else related(how, low, other_low))
        )


class Memo(dict[Any, Hits]):
    """From a field's keys (see ``key_of``) to their hits; bounded, whatever comes.

    Equal sets are one object, so that comparing and hashing the tuples of them is cheap.
    """

    def __init__(self, index: FieldIndex, values: int = MEMO_VALUES) -> None:
        super().__init__()
        self._index = index
        self._values = values
        self._older: dict[Any, Hits] = {}
        self._known: dict[Hits, Hits] = {NO_HITS: NO_HITS}
        self._constants = {MISSING: self._one(index.when_missing), None: self._one(index.when_null)}
        self._asked = self._new = self._direct = 0
        self.update(self._constants)

    @property
    def novelty(self) -> float:
        """Which share of the keys was new."""
        return self._new / max(self._asked, 1)

    def columns(self, keys: list[Any]) -> list[list[Hits]]:
        """The hits of a whole column of keys, as one or several columns whose union they are."""
        if self._direct and set(map(type, keys)) == {str}:
            self._direct -= 1
            return self._index.parts_of(keys)
        new = set(keys).difference(self)
        self._asked += len(keys)
        if not new:
            return [list(map(self.__getitem__, keys))]
        self._new += len(new)
        self._direct = _TRY_AGAIN if len(new) > max(len(keys) * _NOVEL, _TRY_AGAIN) else 0
        return [self._with_new(new, keys)]

    def _with_new(self, new: set[Any], keys: list[Any]) -> list[Hits]:
        older = self._older
        texts = [key for key in new if type(key) is str and key not in older]
        for key in new.difference(texts):
            self[key] = older[key] if key in older else self._one(self._fresh(key))
        self.update(zip(texts, map(self._one, self._index.hits_of(texts)), strict=True) if texts else ())
        hits = list(map(self.__getitem__, keys))
        for key in new:
            if (len(key) if type(key) is str else sum(map(len, key), len(key))) > MEMO_CHARACTERS:
                del self[key]
        if len(self) > self._values:
            self._older = dict(self) if len(self) <= 2 * self._values else {}
            self.clear()
            self.update(self._constants)
        return hits

    def _fresh(self, key: Any) -> Hits:
        if isinstance(key, str):
            return self._index.hits(key)
        if isinstance(key, Pair):
            return self._index.hits_of_pair(*key)
        hits = self._index.when_there  # a list: any of its items may fulfil an atom
        return hits.union(*self._index.hits_of(key)) if key else hits

    def _one(self, hits: Hits) -> Hits:
        known = self._known.get(hits)
        if known is None:
            if len(self._known) >= _SETS:
                self._known = {NO_HITS: NO_HITS}
            known = self._known[hits] = hits
        return known


class Pair(tuple[str, str]):
    """The texts of a field and of the field that it is compared with."""

    __slots__ = ()


def key_of(value: Any) -> Any:
    """What a value is remembered by: its text, a tuple of texts for a list, MISSING or None.

    Values are never keys themselves: True, 1 and 1.0 would be one key.
    """
    if isinstance(value, str) or value is None or value is MISSING:
        return value
    if isinstance(value, (list, tuple)):
        return tuple(_texts(value))
    return text_of(value)


def _texts(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _texts(value)
        elif value is not None:
            yield text_of(value)


def pair_of(value: Any, other: Any) -> Any:
    """The key of a comparison of two fields; lists are no single value, so they are compared as their text."""
    if value is MISSING or value is None or other is MISSING or other is None:
        return MISSING
    return Pair((text_of(value), text_of(other)))
