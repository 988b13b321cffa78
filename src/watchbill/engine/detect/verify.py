"""Judging one expression on some events of a batch, exactly: of the events asked, those for which it holds.

What looks for literals decides most rules for most events; this decides the rest, and is what that must agree with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, MutableMapping, Sequence
from functools import partial
from itertools import compress, repeat
from operator import contains
from typing import Any, NamedTuple

import msgspec

from watchbill.engine.detect.conditions import Expression, Not, Or
from watchbill.engine.detect.guards import need_of_regex
from watchbill.engine.detect.index import search_all, texts_of
from watchbill.engine.detect.predicates import MISSING, Atom, Predicate, holds, related

_FOLDABLE = {"equals", "startswith", "endswith", "contains", "glob"}
#: How dear conditions are beside looking for a literal, and how often they hold while nothing is known of it.
_DEAR = {"regex": 4.0, "glob": 3.0, "field": 2.0, "cidr": 2.0}
_SHARE = 0.3
#: So few texts are searched one by one.
_FEW = 16


class Column(NamedTuple):
    """What is read of each event: a field's keys; with ``other`` the pairs of two fields; ``folded`` in lower case."""

    space: str
    field: str
    other: str = ""
    folded: bool = False


#: Columns, and by whatever was asked of all events which of them fulfil it.
Columns = MutableMapping[Any, Any]
#: Of events at some places (in order) those for which something holds, in order.
Select = Callable[[Columns, Sequence[int]], Sequence[int]]
#: Of some texts which fulfil something.
Tests = Callable[[Sequence[str]], Iterable[bool]]
#: In which share of the events an atom holds, as far as that is known.
Share = Callable[[Atom], float | None]


class Selects(dict[int, Select]):
    """The functions for expressions by their places, each compiled when it is first asked for."""

    def __init__(self, expressions: Sequence[Expression], share: Share = lambda _: None) -> None:
        super().__init__()
        self._expressions = expressions
        self._share = share

    def __missing__(self, place: int) -> Select:
        select = self[place] = compile_select(self._expressions[place], self._share)
        return select


def column_of(atom: Atom) -> Column:
    """The column that an atom is asked of, as it is (not folded)."""
    return Column(atom.space, atom.field, atom.predicate.argument[0] if atom.predicate.kind == "field" else "")


def compile_select(expression: Expression, share: Share = lambda _: None) -> Select:
    """A function that gives, of events at places of the columns, those for which the expression holds."""
    return _compiled(expression, share)[0]


def _compiled(expression: Expression, share: Share) -> tuple[Select, float, float]:
    """With it what it costs an event, roughly in conditions, and in which share of the events it may hold."""
    if isinstance(expression, Atom):
        known = share(expression)
        return (
            _once(expression, _atom(expression)),
            _DEAR.get(expression.predicate.kind, 1.0),
            _SHARE if known is None else min(known, 1.0),
        )
    if isinstance(expression, Not):
        inner, cost, held = _compiled(expression.item, share)
        return _none(inner), cost, 1 - held / 2
    if isinstance(expression, Or):
        return _either(expression, share)
    # First what throws out most for its cost.
    parts = sorted((_compiled(item, share) for item in expression.items), key=_worth)
    rarest = min((held for _, _, held in parts), default=1.0)
    return _all([part for part, _, _ in parts]), parts[0][1] if parts else 0.0, rarest


def _worth(part: tuple[Select, float, float]) -> float:
    _, cost, held = part
    return cost / (1.02 - held)


def _either(expression: Or, share: Share) -> tuple[Select, float, float]:
    literals: dict[tuple[Column, str], list[str]] = defaultdict(list)
    rest: list[tuple[Select, float, float]] = []
    held = 0.0
    for item in expression.items:
        if isinstance(item, Atom) and item.predicate.kind in _GROUPED and not item.predicate.cased:
            column = Column(item.space, item.field, folded=True)
            literals[column, item.predicate.kind].append(item.predicate.argument)
            held += _SHARE if (known := share(item)) is None else known
        else:
            rest.append(_compiled(item, share))
            held += rest[-1][2]
    parts = [
        _once((column, kind, *found), _on(column, _GROUPED[kind](found))) for (column, kind), found in literals.items()
    ]
    cost = sum(0.9 + 0.1 * len(found) for found in literals.values()) + sum(one[1] for one in rest)
    return _any(parts + [one[0] for one in sorted(rest, key=lambda one: one[1])]), cost, min(held, 1.0)


def _all(parts: list[Select]) -> Select:
    def select(columns: Columns, places: Sequence[int]) -> Sequence[int]:
        for part in parts:
            places = part(columns, places)
            if not places:
                break
        return places

    return parts[0] if len(parts) == 1 else select


def _any(parts: list[Select]) -> Select:
    def select(columns: Columns, places: Sequence[int]) -> Sequence[int]:
        found: set[int] = set()
        left = places
        for part in parts:
            hits = part(columns, left)
            if hits:
                found.update(hits)
                left = [at for at in left if at not in found]
                if not left:
                    return places
        return [at for at in places if at in found] if found else []

    return parts[0] if len(parts) == 1 else select


def _none(inner: Select) -> Select:
    def select(columns: Columns, places: Sequence[int]) -> Sequence[int]:
        hits = inner(columns, places)
        if not hits:
            return places
        found = set(hits)
        return [at for at in places if at not in found]

    return select


def _once(asked: Hashable, select: Select) -> Select:
    """Ask it of all events of a batch only once, however many rules do."""

    def once(columns: Columns, places: Sequence[int]) -> Sequence[int]:
        if type(places) is not range:
            return select(columns, places)
        found: Sequence[int] | None = columns.get(asked)
        if found is None:
            found = columns[asked] = select(columns, places)
        return found

    return once


def _are_any(literals: list[str]) -> Tests:
    return partial(map, frozenset(literals).__contains__)


def _start_with_any(literals: list[str]) -> Tests:
    wanted = tuple(literals)
    return lambda texts: map(str.startswith, texts, repeat(wanted))


def _end_with_any(literals: list[str]) -> Tests:
    wanted = tuple(literals)
    return lambda texts: map(str.endswith, texts, repeat(wanted))


def _contain_any(literals: list[str]) -> Tests:
    if len(literals) == 1:
        (literal,) = literals
        return lambda texts: map(contains, texts, repeat(literal))
    wanted = tuple(literals)
    if any(map(str.isascii, wanted)):
        return lambda texts: [any(map(text.__contains__, wanted)) for text in texts]
    # Emojis, by the hundred.
    return lambda texts: [not text.isascii() and any(map(text.__contains__, wanted)) for text in texts]


_GROUPED = {
    "equals": _are_any, "startswith": _start_with_any, "endswith": _end_with_any, "contains": _contain_any,
}  # fmt: skip


def _on(column: Column, tests: Tests) -> Select:
    """Ask the text of a column, or any text of a list; what is null or not there fulfils nothing."""

    def select(columns: Columns, places: Sequence[int]) -> Sequence[int]:
        keys = _taken(columns[column], places)
        if set(map(type, keys)) == {str}:
            return list(compress(places, tests(keys)))
        pairs = [(at, text) for at, key in zip(places, keys, strict=True) for text in texts_of(key)]
        return list(dict.fromkeys(compress((at for at, _ in pairs), tests([text for _, text in pairs]))))

    return select


def _taken(column: Any, places: Sequence[int]) -> Sequence[Any]:
    """The keys at some places; a range stands for all."""
    if isinstance(column, Folded):
        return column.taken(places)
    return column if type(places) is range else [column[at] for at in places]


def _atom(atom: Atom) -> Select:
    predicate, column = atom.predicate, column_of(atom)
    kind = predicate.kind
    if kind in {"exists", "missing"}:
        return _if(column, lambda key: (key is MISSING) == (kind == "missing"))
    if kind == "null":
        return _if(column, lambda key: key is MISSING or key is None)
    if kind == "field":
        return _if(column, _compared(predicate))
    if kind in _GROUPED and not predicate.cased:
        return _on(column._replace(folded=True), _GROUPED[kind]([predicate.argument]))
    if kind in _FOLDABLE and not predicate.cased:
        column = column._replace(folded=True)
        predicate = msgspec.structs.replace(predicate, cased=True)
    if kind == "regex" and need_of_regex(predicate.argument).inline:
        return _inline(column, predicate)
    return _on(column, partial(map, holds(predicate)))


def _inline(column: Column, predicate: Predicate) -> Select:
    """Search many texts at once, if they are texts."""
    one_by_one, pattern = _on(column, partial(map, holds(predicate))), predicate.argument

    def select(columns: Columns, places: Sequence[int]) -> Sequence[int]:
        if len(places) < _FEW:
            return one_by_one(columns, places)
        texts = _taken(columns[column], places)
        if set(map(type, texts)) != {str}:
            return one_by_one(columns, places)
        return [places[at] for at in search_all(pattern, texts)]

    return select


def _if(column: Column, test: Callable[[Any], bool]) -> Select:
    def select(columns: Columns, places: Sequence[int]) -> Sequence[int]:
        return list(compress(places, map(test, _taken(columns[column], places))))

    return select


def _compared(predicate: Predicate) -> Callable[[Any], bool]:
    how, cased = predicate.argument[1], predicate.cased

    def test(pair: Any) -> bool:
        if pair is MISSING:
            return False
        left, right = pair
        if how == "equals" and len(left) != len(right) and left.isascii() and right.isascii():
            return False  # as most
        return related(how, left, right) if cased else related(how, left.lower(), right.lower())

    return test


class Folded:
    """A column's keys in lower case, each made when it is first asked for."""

    def __init__(self, keys: Sequence[Any]) -> None:
        self._keys = keys
        self._every: Sequence[Any] | None = None
        self._known: dict[int, Any] = {}

    def taken(self, places: Sequence[int]) -> Sequence[Any]:
        """Those at some places; a range stands for all."""
        if type(places) is range:
            if self._every is None:
                self._every = _lowered(self._keys)
            return self._every
        if self._every is not None:
            return [self._every[at] for at in places]
        known = self._known
        new = [at for at in places if at not in known]
        if new:
            known.update(zip(new, _lowered([self._keys[at] for at in new]), strict=True))
        return list(map(known.__getitem__, places))


def _lowered(keys: Sequence[Any]) -> Sequence[Any]:
    if set(map(type, keys)) == {str}:
        return list(map(str.lower, keys))
    return [
        key.lower() if type(key) is str else tuple(map(str.lower, key)) if type(key) is tuple else key for key in keys
    ]
