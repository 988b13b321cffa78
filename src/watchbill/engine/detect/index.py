"""For one field: from a value to the set of atoms that it makes true, worked out once for each distinct value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from watchbill.engine.detect.predicates import MISSING, Predicate, holds, related, text_of

#: A memo keeps up to two generations of this many values, each of at most this many characters.
MEMO_VALUES = 8_192
MEMO_CHARACTERS = 1_024
#: From this many literals on, `contains` goes by three-character grams instead of one after the other.
_MANY = 48
_GRAM = 3

Hits = frozenset[int]
NO_HITS: Hits = frozenset()


class FieldIndex:
    """Finds the atoms of one field. Exact: the indexes only choose whom to ask."""

    def __init__(self, atoms: Iterable[tuple[int, Predicate]]) -> None:
        self._exact: dict[tuple[str, bool], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._ends: dict[tuple[str, bool, int], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._contains: dict[bool, list[tuple[str, int]]] = {True: [], False: []}
        self._grams: dict[bool, dict[str, list[tuple[str, int]]]] = {True: {}, False: {}}
        self._others: list[tuple[Callable[[str], bool], int]] = []
        self._related: list[tuple[str, bool, int]] = []
        missing, null = set(), set()
        for number, predicate in atoms:
            kind = predicate.kind
            if kind == "exists":
                null.add(number)
                self._others.append((_always, number))
            elif kind == "missing":
                missing.add(number)
            elif kind == "null":
                missing.add(number)
                null.add(number)
            else:
                self._add(number, predicate)
        self.when_missing, self.when_null = frozenset(missing), frozenset(null)
        self.when_there = frozenset(number for test, number in self._others if test is _always)
        for cased, literals in self._contains.items():
            if len(literals) >= _MANY:
                self._contains[cased], self._grams[cased] = _by_grams(literals)
        self._few_ends = {
            (kind, cased): tuple(
                literal for key, found in self._ends.items() if key[:2] == (kind, cased) for literal in found
            )
            for kind, cased, _ in self._ends
        }
        self._cased = any(key[1] for key in (*self._exact, *self._ends)) or bool(self._contains[True])
        self._cased = self._cased or bool(self._grams[True])

    def _add(self, number: int, predicate: Predicate) -> None:
        kind, argument, cased = predicate.kind, predicate.argument, predicate.cased
        if kind == "equals":
            self._exact[kind, cased][argument].append(number)
        elif kind in {"startswith", "endswith"}:
            self._ends[kind, cased, len(argument)][argument].append(number)
        elif kind == "contains":
            self._contains[cased].append((argument, number))
        elif kind == "field":
            self._related.append((argument[1], cased, number))
        else:
            self._others.append((holds(predicate), number))

    def hits(self, text: str) -> Hits:
        """The atoms that hold for this text."""
        found = self._literal_hits(text.lower(), False)
        if self._cased:
            found += self._literal_hits(text, True)
        found += [number for test, number in self._others if test(text)]
        return frozenset(found) if found else NO_HITS

    def hits_of_pair(self, text: str, other: str) -> Hits:
        """The atoms that hold between this field's text and another field's (fieldref)."""
        low, other_low = text.lower(), other.lower()
        return frozenset(
            number
            for how, cased, number in self._related
            if (related(how, text, other) if cased else related(how, low, other_low))
        )

    def _ends_of(self, text: str, cased: bool) -> Iterable[tuple[tuple[str, bool, int], dict[str, list[int]]]]:
        """The tables of starts and ends to look into. Most texts have none of a few literals, which is seen at once."""
        starts, ends = self._few_ends.get(("startswith", cased), ()), self._few_ends.get(("endswith", cased), ())
        few = len(starts) + len(ends) <= _MANY
        if few and not text.startswith(starts) and not text.endswith(ends):
            return ()
        return self._ends.items()

    def _literal_hits(self, text: str, cased: bool) -> list[int]:
        found: list[int] = []
        if ("equals", cased) in self._exact:
            found += self._exact["equals", cased].get(text, ())
        for (kind, for_case, length), by_text in self._ends_of(text, cased):
            if for_case is cased and length <= len(text):
                found += by_text.get(text[:length] if kind == "startswith" else text[len(text) - length :], ())
        found += [number for literal, number in self._contains[cased] if literal in text]
        grams = self._grams[cased]
        if grams:
            for gram in {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)} & grams.keys():
                found += [number for literal, number in grams[gram] if literal in text]
        return found


def _always(_text: str) -> bool:
    return True


def _by_grams(literals: list[tuple[str, int]]) -> tuple[list[tuple[str, int]], dict[str, list[tuple[str, int]]]]:
    """Put each literal under the one of its grams that the fewest others have; too short ones stay in a list."""
    counts: dict[str, int] = defaultdict(int)
    for literal, _ in literals:
        for gram in _grams_of(literal):
            counts[gram] += 1
    grams: dict[str, list[tuple[str, int]]] = defaultdict(list)
    short = []
    for literal, number in literals:
        if len(literal) < _GRAM:
            short.append((literal, number))
        else:
            grams[min(_grams_of(literal), key=lambda gram: (counts[gram], gram))].append((literal, number))
    return short, dict(grams)


def _grams_of(literal: str) -> set[str]:
    return {literal[at : at + _GRAM] for at in range(len(literal) - _GRAM + 1)}


class Memo(dict[Any, Hits]):
    """From a field's key (see ``key_of``) to its hits; bounded, whatever comes.

    Equal sets are one object, so that comparing and hashing the tuples of them is cheap.
    """

    def __init__(self, index: FieldIndex, values: int = MEMO_VALUES) -> None:
        super().__init__()
        self._index = index
        self._values = values
        self._older: dict[Any, Hits] = {}
        self._known: dict[Hits, Hits] = {NO_HITS: NO_HITS}
        self._constants = {MISSING: self._one(index.when_missing), None: self._one(index.when_null)}
        self.update(self._constants)

    def __missing__(self, key: Any) -> Hits:
        hits = self._older.get(key)
        if hits is None:
            hits = self._one(self._fresh(key))
            if isinstance(key, str) and len(key) > MEMO_CHARACTERS:
                return hits
        if len(self) >= self._values:
            self._older = dict(self)
            self.clear()
            self.update(self._constants)
        self[key] = hits
        return hits

    def _fresh(self, key: Any) -> Hits:
        if isinstance(key, str):
            return self._index.hits(key)
        if isinstance(key, Pair):
            return self._index.hits_of_pair(*key)
        hits = self._index.when_there  # a list: any of its items may fulfil an atom
        for text in key:
            hits |= self._index.hits(text)
        return hits

    def _one(self, hits: Hits) -> Hits:
        if len(self._known) > self._values:
            self._known = {NO_HITS: NO_HITS}
        return self._known.setdefault(hits, hits)


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
