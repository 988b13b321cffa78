"""Judging one expression on one event, exactly and one condition after the other.

The index decides most rules for most events; this decides the rest, and is what the index must agree with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from watchbill.engine.detect.conditions import And, Expression, Not
from watchbill.engine.detect.index import Pair
from watchbill.engine.detect.predicates import MISSING, Atom, Predicate, holds, related

_FOLDABLE = {"equals", "startswith", "endswith", "contains", "glob"}


class Column(NamedTuple):
    """What is read of each event: a field's keys; with ``other`` the pairs of two fields; ``folded`` in lower case."""

    space: str
    field: str
    other: str = ""
    folded: bool = False


Columns = Mapping[Column, Any]
Check = Callable[[Columns, int], bool]


def column_of(atom: Atom) -> Column:
    """The column that an atom is asked of, as it is (not folded)."""
    return Column(atom.space, atom.field, atom.predicate.argument[0] if atom.predicate.kind == "field" else "")


def compile_check(expression: Expression) -> Check:
    """A function that tells whether the expression holds for the event at a place of the columns."""
    if isinstance(expression, Atom):
        return _atom(expression)
    if isinstance(expression, Not):
        inner = compile_check(expression.item)
        return lambda columns, at: not inner(columns, at)
    if isinstance(expression, And):
        return _all(list(map(compile_check, sorted(expression.items, key=_dearness))))
    literals: dict[tuple[Column, str], list[str]] = defaultdict(list)
    rest: list[Expression] = []
    for item in expression.items:
        if isinstance(item, Atom) and item.predicate.kind in _GROUPED and not item.predicate.cased:
            literals[column_of(item)._replace(folded=True), item.predicate.kind].append(item.predicate.argument)
        else:
            rest.append(item)
    checks = [_on(column, _GROUPED[kind](found)) for (column, kind), found in literals.items()]
    return _any(checks + list(map(compile_check, sorted(rest, key=_dearness))))


def _all(checks: list[Check]) -> Check:
    def check(columns: Columns, at: int) -> bool:
        for one in checks:  # noqa: SIM110 - a loop is twice as fast as all() of a generator
            if not one(columns, at):
                return False
        return True

    return checks[0] if len(checks) == 1 else check


def _any(checks: list[Check]) -> Check:
    def check(columns: Columns, at: int) -> bool:
        for one in checks:  # noqa: SIM110
            if one(columns, at):
                return True
        return False

    return checks[0] if len(checks) == 1 else check


def _dearness(expression: Expression) -> int:
    """What is cheap is asked first."""
    if isinstance(expression, Atom):
        return 0 if expression.predicate.kind in _FOLDABLE else 2
    return 1 + max(map(_dearness, (expression.item,) if isinstance(expression, Not) else expression.items), default=0)


def _is_any(literals: list[str]) -> Callable[[str], bool]:
    return frozenset(literals).__contains__


def _starts_with_any(literals: list[str]) -> Callable[[str], bool]:
    wanted = tuple(literals)
    return lambda text: text.startswith(wanted)


def _ends_with_any(literals: list[str]) -> Callable[[str], bool]:
    wanted = tuple(literals)
    return lambda text: text.endswith(wanted)


def _contains_any(literals: list[str]) -> Callable[[str], bool]:
    wanted = tuple(literals)
    return lambda text: any(map(text.__contains__, wanted))


_GROUPED = {
    "equals": _is_any, "startswith": _starts_with_any, "endswith": _ends_with_any, "contains": _contains_any,
}  # fmt: skip


def _on(column: Column, test: Callable[[str], bool]) -> Check:
    """Ask the text of a column, or any text of a list; what is null or not there fulfils nothing."""

    def check(columns: Columns, at: int) -> bool:
        key = columns[column][at]
        if type(key) is str:
            return test(key)
        return type(key) is tuple and any(map(test, key))

    return check


def _atom(atom: Atom) -> Check:
    predicate, column = atom.predicate, column_of(atom)
    kind = predicate.kind
    if kind in {"exists", "missing"}:
        return lambda columns, at: (columns[column][at] is MISSING) == (kind == "missing")
    if kind == "null":
        return lambda columns, at: columns[column][at] is MISSING or columns[column][at] is None
    if kind == "field":
        return _pair(predicate, column)
    if kind in _FOLDABLE and not predicate.cased:
        column = column._replace(folded=True)
        predicate = msgspec.structs.replace(predicate, cased=True)
    return _on(column, holds(predicate))


def _pair(predicate: Predicate, column: Column) -> Check:
    how, cased = predicate.argument[1], predicate.cased

    def check(columns: Columns, at: int) -> bool:
        pair = columns[column][at]
        if not isinstance(pair, Pair):
            return False
        left, right = pair
        return related(how, left, right) if cased else related(how, left.lower(), right.lower())

    return check


class Folded(dict[int, Any]):
    """A column's keys in lower case, by place, each made when it is asked for."""

    def __init__(self, keys: Sequence[Any]) -> None:
        super().__init__()
        self._keys = keys

    def __missing__(self, at: int) -> Any:
        key = self._keys[at]
        if type(key) is str:
            key = key.lower()
        elif type(key) is tuple:
            key = tuple(map(str.lower, key))
        self[at] = key
        return key
