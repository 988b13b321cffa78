"""The rules for one kind of event, folded into one program that runs over a batch, column by column.

field values -> (memo) sets of atoms that hold -> their tuple is the event's signature -> (memo) names of rules.
Most of a batch goes through ``map`` and ``zip`` over dictionaries, at C speed; see docs/detection.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from watchbill.engine.detect.conditions import And, Expression, Not, Or
from watchbill.engine.detect.fields import lookup, nested
from watchbill.engine.detect.index import FieldIndex, Hits, Memo, key_of, pair_of
from watchbill.engine.detect.predicates import MISSING, Atom, Predicate
from watchbill.engine.detect.rules import Rule
from watchbill.sdk.events import Event

_TEXTS = {str, type(MISSING), type(None)}
_SIGNATURES = 16_384

Names = tuple[str, ...]
Test = Callable[[Hits], bool]


class Program:
    """Says for each event of a batch which of the rules match it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        numbers: dict[Atom, int] = {}
        columns: dict[tuple[str, str, str], list[tuple[int, Predicate]]] = defaultdict(list)
        for rule in rules:
            for atom in atoms_of(rule.expression):
                if atom not in numbers:
                    numbers[atom] = len(numbers)
                    other = atom.predicate.argument[0] if atom.predicate.kind == "field" else ""
                    columns[atom.space, atom.field, other].append((numbers[atom], atom.predicate))
        self._columns = [(*key, Memo(FieldIndex(atoms)).__getitem__) for key, atoms in sorted(columns.items())]
        self._signatures = _Signatures(rules, numbers)

    def run(self, events: Sequence[Event]) -> list[Names]:
        """The names of the rules that match, for each event."""
        spaces: dict[str, list[Any]] = {}
        hits = []
        for space, field, other, memo in self._columns:
            if space not in spaces:
                spaces[space] = _space(space, events)
            hits.append(list(map(memo, _keys(spaces[space], space, field, other))))
        return list(map(self._signatures.__getitem__, zip(*hits, strict=True)))


class _Signatures(dict[tuple[Hits, ...], Names]):
    """From signatures to the rules that match; only rules of which a needed atom holds are asked."""

    def __init__(self, rules: Sequence[Rule], numbers: dict[Atom, int]) -> None:
        super().__init__()
        self._triggered: dict[int, list[int]] = defaultdict(list)
        self._always: list[int] = []
        self._tests: list[tuple[str, Test]] = []
        for place, rule in enumerate(rules):
            assert rule.expression is not None  # noqa: S101 - a program is made of detections only
            self._tests.append((rule.name, compile_test(rule.expression, numbers)))
            needed = triggers(rule.expression)
            if needed is None:
                self._always.append(place)
            else:
                for atom in needed:
                    self._triggered[numbers[atom]].append(place)

    def __missing__(self, signature: tuple[Hits, ...]) -> Names:
        if len(self) >= _SIGNATURES:
            self.clear()
        hits = frozenset().union(*signature)
        asked = {place for number in hits for place in self._triggered.get(number, ())}.union(self._always)
        names = tuple(name for name, test in map(self._tests.__getitem__, sorted(asked)) if test(hits))
        self[signature] = names
        return names


def _space(space: str, events: Sequence[Event]) -> list[Any]:
    if space == "native":
        return [event.native for event in events]
    return [event.ocsf for event in events] if space == "ocsf" else [event.message for event in events]


def _keys(fields: list[Any], space: str, field: str, other: str) -> list[Any]:
    """One column of keys for the memo."""
    if space == "message":
        return fields
    if other:
        return [pair_of(lookup(one, field), lookup(one, other)) for one in fields]
    values = [one.get(field, MISSING) for one in fields]
    if "." in field and MISSING in values:
        values = [nested(one, field) if value is MISSING else value for one, value in zip(fields, values, strict=True)]
    kinds = set(map(type, values))
    if kinds <= _TEXTS:
        return values
    return list(map(str if kinds == {int} else key_of, values))


def atoms_of(expression: Expression | None) -> Iterable[Atom]:
    """All atoms of an expression, in order of appearance."""
    if isinstance(expression, Atom):
        yield expression
    elif isinstance(expression, Not):
        yield from atoms_of(expression.item)
    elif expression is not None:
        for item in expression.items:
            yield from atoms_of(item)


def triggers(expression: Expression) -> frozenset[Atom] | None:
    """Atoms of which at least one holds whenever the expression does; None when there is no such promise."""
    if isinstance(expression, Atom):
        return frozenset((expression,))
    if isinstance(expression, Not):
        return None
    parts = [triggers(item) for item in expression.items]
    sound = [part for part in parts if part is not None]
    if isinstance(expression, And):
        return min(sound, key=len, default=None)
    return frozenset().union(*sound) if len(sound) == len(parts) else None


def compile_test(expression: Expression, numbers: dict[Atom, int]) -> Test:
    """A function that tells from the set of atoms that hold whether the expression does."""
    if isinstance(expression, Atom):
        number = numbers[expression]
        return lambda hits: number in hits
    if isinstance(expression, Not):
        inner = compile_test(expression.item, numbers)
        return lambda hits: not inner(hits)
    plain = frozenset(numbers[item] for item in expression.items if isinstance(item, Atom))
    tests = [compile_test(item, numbers) for item in expression.items if not isinstance(item, Atom)]
    if isinstance(expression, Or):
        if not tests:
            return lambda hits: not plain.isdisjoint(hits)
        return lambda hits: not plain.isdisjoint(hits) or any(test(hits) for test in tests)
    if not tests:
        return plain.issubset
    return lambda hits: plain <= hits and all(test(hits) for test in tests)
