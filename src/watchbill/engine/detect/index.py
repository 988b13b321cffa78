"""Finding many literals in the values of a field at once, and remembering what was found.

All literals of a field stand in one Aho-Corasick automaton, their anchors told by separators around each value; a whole
batch of values is searched as one text. What is found are numbers of rules that may hold: they are asked afterwards.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from watchbill.engine.detect.guards import FOLDS_TO_ASCII, SEPARATOR
from watchbill.engine.detect.literals import Automaton, by_place
from watchbill.engine.detect.predicates import MISSING, Predicate, compile_regex, holds, text_of

#: A memo keeps so many values, each of at most this many characters.
MEMO_VALUES = 8_192
MEMO_CHARACTERS = 512
#: From this share of new values in a batch on, remembering them is not worth it; it is tried again now and then.
_NOVEL = 0.7
_TRY_AGAIN = 32
_SETS = 8_192
_LONGEST_SET = 64

_WITH_SEPARATOR = (1).__add__
_SURROGATE = re.compile("[\ud800-\udfff]")

Rules = tuple[int, ...]


class Literals:
    """Finds which of some predicates on text may hold for keys of a column (see ``key_of``).

    Their kinds are those that look for a literal; cased ones are looked for in the text as it is.
    """

    def __init__(self, predicates: Sequence[Predicate]) -> None:
        self._every = range(len(predicates))
        self._guards = any(one.kind == "guard" for one in predicates)
        self._forms = []
        for cased in (False, True):
            chosen = [number for number, one in enumerate(predicates) if one.cased == cased]
            if chosen:
                spelled = [_spelled(predicates[number]) for number in chosen]
                self._forms.append((cased, chosen, Automaton(spelled)))

    def find(self, keys: Sequence[Any]) -> Mapping[int, Sequence[int]]:
        """The numbers of predicates that may hold, by the places of those keys for which there are any."""
        texts, places = keys, None
        if set(map(type, keys)) != {str}:
            pairs = [(at, text) for at, key in enumerate(keys) for text in texts_of(key)]
            texts, places = [text for _, text in pairs], [at for at, _ in pairs]
        if not texts:
            return {}
        found = self._find(texts)
        if places is None:
            return found
        merged: dict[int, list[int]] = defaultdict(list)
        for at, numbers in found.items():
            merged[places[at]] += numbers
        return merged

    def _find(self, texts: Sequence[str]) -> Mapping[int, Sequence[int]]:
        found: dict[int, list[int] | range] = {}
        joined = _joined(texts)
        for cased, numbers, automaton in self._forms:
            folded = joined if cased else joined.lower()
            try:
                data = folded.encode()
            except UnicodeEncodeError:
                return self._without_surrogates(texts)
            sizes: Iterable[int] = map(len, texts)
            if len(data) != len(joined):
                sizes = (len((text if cased else text.lower()).encode()) for text in texts)
            ends = list(accumulate(map(_WITH_SEPARATOR, sizes), initial=1))[1:]
            for at, patterns in by_place(automaton.find(data), ends).items():
                found[at] = [*found.get(at, ()), *map(numbers.__getitem__, patterns)]
        if joined.count(SEPARATOR) != len(texts) + 1 or (self._guards and FOLDS_TO_ASCII in joined):
            for at, text in enumerate(texts):
                if SEPARATOR in text or FOLDS_TO_ASCII in text:
                    found[at] = self._every
        return found

    def _without_surrogates(self, texts: Sequence[str]) -> Mapping[int, Sequence[int]]:
        """The automaton does not take lone surrogates: any predicate may hold for texts with them."""
        odd = [at for at, text in enumerate(texts) if _SURROGATE.search(text)]
        clean = list(texts)
        for at in odd:
            clean[at] = ""
        return {**self._find(clean), **dict.fromkeys(odd, self._every)}


def _joined(texts: Sequence[str]) -> str:
    return f"{SEPARATOR}{SEPARATOR.join(texts)}{SEPARATOR}"


def _spelled(predicate: Predicate) -> bytes:
    kind = predicate.kind
    starts = SEPARATOR if kind in {"startswith", "equals"} else ""
    ends = SEPARATOR if kind in {"endswith", "equals"} else ""
    return f"{starts}{predicate.argument}{ends}".encode("utf-8", "replace")


def texts_of(key: Any) -> Iterable[str]:
    """The texts of a key: its own, or those of a list; none of what is null or not there."""
    if type(key) is str:
        return (key,)
    return key if type(key) is tuple else ()


class Lookup:
    """Says for a column's keys which rules may hold, by literals of which each stands for some rules."""

    def __init__(self, rules_of: Mapping[Predicate, Sequence[int]]) -> None:
        self._literals = Literals(list(rules_of))
        self._rules_of = list(rules_of.values())
        self._sets: dict[tuple[int, ...], Rules] = {}
        self._known: dict[Any, Rules] = {}
        self._direct = 0

    def add_to(self, asked: Mapping[int, list[int]], keys: Sequence[Any]) -> None:
        """Add the places of keys to those that each rule is to be asked of."""
        if self._direct:
            self._direct -= 1
            hits = [(at, self._rules(numbers)) for at, numbers in self._literals.find(keys).items()]
        else:
            hits = [(at, rules) for at, rules in enumerate(self._remembered(keys)) if rules]
        for at, rules in hits:
            for rule in rules:
                asked[rule].append(at)

    def _remembered(self, keys: Sequence[Any]) -> list[Rules]:
        known = self._known
        new = list(set(keys).difference(known))
        if not new:
            return list(map(known.__getitem__, keys))
        if len(new) > max(len(keys) * _NOVEL, _TRY_AGAIN):
            self._direct = _TRY_AGAIN
        if len(known) > MEMO_VALUES:
            known.clear()
            new = list(set(keys))
        found = self._literals.find(new)
        known.update((key, self._rules(found.get(at, ()))) for at, key in enumerate(new))
        rules = list(map(known.__getitem__, keys))
        for key in new:
            if (
                type(key) in _SIZED
                and (len(key) if type(key) is str else sum(map(len, key), len(key))) > MEMO_CHARACTERS
            ):
                del known[key]
        return rules

    def _rules(self, numbers: Sequence[int]) -> Rules:
        if not numbers:
            return ()
        rules = self._sets.get(wanted := tuple(numbers))
        if rules is None:
            rules = tuple(sorted({rule for number in numbers for rule in self._rules_of[number]}))
            if len(wanted) <= _LONGEST_SET:
                if len(self._sets) >= _SETS:
                    self._sets.clear()
                self._sets[wanted] = rules
        return rules


_SIZED = {str, tuple}


def search_all(pattern: str, texts: Sequence[str]) -> list[int]:
    """The places of texts that a regex which keeps within a text (``Need.inline``) is found in; searched as one."""
    joined = SEPARATOR.join(texts)
    if not joined.isascii() or joined.count(SEPARATOR) != len(texts) - 1:
        test = holds(Predicate("regex", pattern))
        return [at for at, text in enumerate(texts) if test(text)]
    data, search = joined.encode(), compile_regex(pattern).search
    ends = list(accumulate(len(text) + 1 for text in texts))
    places = []
    found = search(data)
    while found is not None:
        at = bisect_right(ends, found.start())
        places.append(at)
        found = search(data, ends[at]) if at + 1 < len(texts) else None
    return places


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


def pairs_of(values: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """The keys of a comparison of two fields: their texts, or MISSING; lists are no single value, so they are compared as
    their text.
    """
    if set(map(type, values)) == {str} == set(map(type, others)):
        return list(zip(values, others, strict=True))
    absent = (MISSING, None)
    return [
        MISSING if value in absent or other in absent else (text_of(value), text_of(other))
        for value, other in zip(values, others, strict=True)
    ]
