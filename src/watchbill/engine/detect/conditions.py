"""Sigma's condition: from its text and the named searches to one expression over atoms.

or  <  and  <  not  <  1/any/all of  <  ( )
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

import msgspec

from watchbill.core.errors import ContentError
from watchbill.engine.detect.predicates import Atom

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_NAME = re.compile(r"[\w*.-]+")
_MAX_NESTING = 40
_MAX_TOKENS = 2_000
_MAX_ATOMS = 50_000


class And(msgspec.Struct, frozen=True, cache_hash=True, tag="and"):
    items: tuple[Expression, ...]


class Or(msgspec.Struct, frozen=True, cache_hash=True, tag="or"):
    items: tuple[Expression, ...]


class Not(msgspec.Struct, frozen=True, cache_hash=True, tag="not"):
    item: Expression


Expression = Atom | And | Or | Not


def all_of(items: list[Expression]) -> Expression:
    return items[0] if len(items) == 1 else And(tuple(items))


def any_of(items: list[Expression]) -> Expression:
    return items[0] if len(items) == 1 else Or(tuple(items))


def _size(expression: Expression) -> int:
    if isinstance(expression, Atom):
        return 1
    return _size(expression.item) if isinstance(expression, Not) else sum(map(_size, expression.items))


def parse_condition(text: str, searches: Mapping[str, Expression]) -> Expression:
    """Parse one condition. Raises ContentError (without a place)."""
    if "|" in text:
        raise ContentError(
            "the condition uses the old aggregation syntax (|)", mend="write a Sigma correlation instead"
        )
    tokens = _TOKEN.findall(text)
    if len(tokens) > _MAX_TOKENS:
        raise ContentError(f"the condition has more than {_MAX_TOKENS} words")
    reader = _Reader(tokens, searches)
    expression = reader.either(0)
    if reader.tokens:
        raise ContentError(f"the condition has {reader.tokens[-1]!r} where it should end")
    return expression


class _Reader:
    """Recursive descent over the words of a condition (kept reversed: the next one is last)."""

    def __init__(self, tokens: list[str], searches: Mapping[str, Expression]) -> None:
        self.tokens = tokens[::-1]
        self.searches = searches
        self._sizes = {name: _size(search) for name, search in searches.items()}
        self._size = 0

    def either(self, depth: int) -> Expression:
        return any_of(self._joined("or", self.both, depth))

    def both(self, depth: int) -> Expression:
        return all_of(self._joined("and", self.negated, depth))

    def _joined(self, word: str, part: Callable[[int], Expression], depth: int) -> list[Expression]:
        if depth > _MAX_NESTING:
            raise ContentError(f"the condition is nested deeper than {_MAX_NESTING} levels")
        items = [part(depth)]
        while self._next_is(word):
            self.tokens.pop()
            items.append(part(depth))
        return items

    def negated(self, depth: int) -> Expression:
        negations = 0
        while self._next_is("not"):
            self.tokens.pop()
            negations += 1
        item = self.primary(depth)
        return Not(item) if negations % 2 else item

    def primary(self, depth: int) -> Expression:
        word = self._pop()
        if word == "(":
            inner = self.either(depth + 1)
            if self._pop() != ")":
                raise ContentError("the condition has a parenthesis that is not closed")
            return inner
        if word.lower() in {"1", "any", "all"} and self._next_is("of"):
            self.tokens.pop()
            return self._quantified(word.lower(), self._pop())
        if word in self.searches:
            return self._named(word)
        raise ContentError(f"the condition names {word!r}, which is no search of this rule")

    def _quantified(self, word: str, pattern: str) -> Expression:
        if not _NAME.fullmatch(pattern):
            raise ContentError(f"the condition has {pattern!r} where a name should stand")
        shape = re.compile(".*" if pattern == "them" else re.escape(pattern).replace(r"\*", ".*"))
        # By Sigma's convention, names with a leading underscore are meant only when they are asked for.
        chosen = [
            self._named(name)
            for name in self.searches
            if shape.fullmatch(name) and (pattern.startswith("_") or not name.startswith("_"))
        ]
        if not chosen:
            raise ContentError(f"no search of this rule is called {pattern!r}")
        return all_of(chosen) if word == "all" else any_of(chosen)

    def _named(self, name: str) -> Expression:
        self._size += self._sizes[name]
        if self._size > _MAX_ATOMS:
            raise ContentError(f"the condition asks for more than {_MAX_ATOMS} values, its searches repeated")
        return self.searches[name]

    def _next_is(self, word: str) -> bool:
        return bool(self.tokens) and self.tokens[-1].lower() == word

    def _pop(self) -> str:
        if not self.tokens:
            raise ContentError("the condition ends too early")
        return self.tokens.pop()


def folded(expression: Expression, judge: Callable[[Atom], bool | None]) -> Expression | bool:
    """The expression without the atoms that ``judge`` knows the answer of; True or False when that decides it."""
    if isinstance(expression, Atom):
        known = judge(expression)
        return expression if known is None else known
    if isinstance(expression, Not):
        inner = folded(expression.item, judge)
        if inner is expression.item:
            return expression
        return not inner if isinstance(inner, bool) else Not(inner)
    decisive = isinstance(expression, Or)
    parts: list[Expression | bool] = []
    for item in expression.items:
        part = folded(item, judge)
        if part is decisive:
            return decisive
        parts.append(part)
    if all(map(operator.is_, parts, expression.items)):
        return expression
    left = [part for part in parts if not isinstance(part, bool)]
    if not left:
        return not decisive
    return any_of(left) if decisive else all_of(left)
