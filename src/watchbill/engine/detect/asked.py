"""What the rules for one log source ask of fields that follow from the kind of a record: kinds are told apart by no more.

Such a field has one value in all records of a kind, so what is asked of it is answered once: rules are folded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain

import msgspec

from watchbill.engine.detect.conditions import And, Expression, folded
from watchbill.engine.detect.index import key_of
from watchbill.engine.detect.plan import atoms_of
from watchbill.engine.detect.predicates import Atom, holds
from watchbill.engine.detect.routing import Route
from watchbill.engine.detect.rules import Rule
from watchbill.sdk.events import LogSource
from watchbill.sdk.shapes import Kind

#: What is left of a rule that follows from its kind of event alone.
_ALWAYS = And(())


class Index:
    """Which rules are for a route, ``routed``; which ask about a field, ``asking`` by its name; and which compare it with
    another, ``related``.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self.routed: dict[Route, list[int]] = defaultdict(list)  # thousands of rules have some hundred routes
        self.asking: dict[str, set[int]] = defaultdict(set)
        self.related: dict[str, set[int]] = defaultdict(set)
        for place, rule in enumerate(rules):
            self.routed[rule.route].append(place)
            for atom in atoms_of(rule.expression) if rule.expression is not None else ():
                self.asking[atom.field].add(place)
                if atom.predicate.kind == "field":
                    self.related[atom.field].add(place)
                    self.related[atom.predicate.argument[0]].add(place)


class Asked:
    """The rules for one log source, and what they ask of fields that may be constants."""

    def __init__(self, index: Index, source: LogSource) -> None:
        self._index = index
        self._places = sorted(
            place for route, places in index.routed.items() if route.takes(source, 0) for place in places
        )
        self._among = frozenset(self._places)
        self._atoms: dict[str, tuple[Atom, ...]] = {}

    def _asked_of(self, field: str) -> tuple[Atom, ...]:
        if (known := self._atoms.get(field)) is not None:
            return known
        rules = [self._index.rules[place] for place in sorted(self._among & self._index.asking.get(field, set()))]
        atoms = chain.from_iterable(atoms_of(rule.expression) for rule in rules if rule.expression is not None)
        wanted = (atom for atom in atoms if atom.field == field and atom.space == "native")
        found = self._atoms[field] = tuple(dict.fromkeys(atom for atom in wanted if atom.predicate.kind != "field"))
        return found

    def left(self, kind: Kind) -> tuple[list[Rule], list[Expression]]:
        """The rules that may hold for the kind, and what is left to ask of them."""
        judge = answers(kind.constants)
        touched = {place for name in kind.constants for place in self._index.asking.get(name, ())}
        rules, expressions = [], []
        for place in self._places:
            rule = self._index.rules[place]
            assert rule.expression is not None  # noqa: S101 - the matcher's rules have one
            left = folded(rule.expression, judge) if place in touched else rule.expression
            if left is not False:
                expressions.append(_ALWAYS if left is True else left)
                rules.append(
                    rule if place not in touched else msgspec.structs.replace(rule, expression=expressions[-1])
                )
        return rules, expressions

    def of(self, kind: Kind) -> tuple[object, ...]:
        """What the rules can know of a kind's constants: the answers to what they ask, and values to compare with."""
        judge = answers(kind.constants)
        related = {name for name in kind.constants if not self._among.isdisjoint(self._index.related.get(name, ()))}
        names = tuple(name for name in sorted(kind.constants) if name in related or self._asked_of(name))
        compared = tuple((type(kind.constants[name]), kind.constants[name]) for name in names if name in related)
        return names, compared, tuple(judge(atom) for name in names for atom in self._asked_of(name))


def answers(constants: Mapping[str, object], space: str = "native") -> Callable[[Atom], bool | None]:
    """A function that says whether an atom holds that only asks for these fields of the space; None for any other."""

    def judge(atom: Atom) -> bool | None:
        if atom.field not in constants or atom.space != space or atom.predicate.kind == "field":
            return None
        return known(atom)

    @cache  # many rules ask the same
    def known(atom: Atom) -> bool:
        key = key_of(constants[atom.field])
        if atom.predicate.kind in {"exists", "missing"}:
            return atom.predicate.kind == "exists"
        if key is None or atom.predicate.kind == "null":
            return key is None and atom.predicate.kind == "null"
        test = holds(atom.predicate)
        return any(map(test, key)) if isinstance(key, tuple) else test(key)

    return judge
