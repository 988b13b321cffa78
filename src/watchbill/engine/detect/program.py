"""The rules for one kind of event, folded into one program that runs over a batch, column by column.

columns of keys -> (literals, memo) the rules that each event may match -> these are asked of it. See docs/detection.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, islice, repeat
from typing import NamedTuple

from watchbill.engine.detect.conditions import Expression
from watchbill.engine.detect.guards import SEPARATOR
from watchbill.engine.detect.index import Literals, Lookup
from watchbill.engine.detect.plan import LITERAL, Met, Plan, atoms_of
from watchbill.engine.detect.predicates import Atom, Predicate, guards_of
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.verify import Column, Columns, Selects, column_of

#: So many rules are a crowd: a plan for them takes a tenth of a second.
CROWD = 1_000
#: Kinds of which at most such a share of the rules differ have a program in common.
_APART = 0.02
_MOST_SHARED = 16

#: The name of a rule, and the place of an event that it matches.
RuleAt = tuple[str, int]


class Program:
    """Says of the events of a batch which of the rules match them."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        expressions = [rule.expression for rule in rules if rule.expression is not None]
        self._plan = Plan(expressions, _offers_of(expressions), _guess)
        self._selects = Selects(expressions, self._plan.share)
        self._lookups: list[tuple[Column, Lookup]] = []

    def run(self, columns: Columns, count: int) -> list[RuleAt]:
        """Which of the rules match which of the ``count`` events of the columns: rule by rule, in their order."""
        self._learn(columns, count)
        asked: dict[int, list[int]] = defaultdict(list)
        for column, lookup in self._lookups:
            lookup.add_to(asked, columns[column])
        every = range(count)
        met: list[RuleAt] = []
        for place in sorted({*asked, *self._plan.open}):
            places = list(dict.fromkeys(asked[place])) if place in asked else every
            found = self._selects[place](columns, places)
            met += zip(repeat(self.rules[place].name), found)
        return met

    def _learn(self, columns: Columns, count: int) -> None:
        """Choose the literals anew when it is time, by the events at hand."""
        plan = self._plan
        plan.seen += count
        if not plan.is_due:
            return
        by_column: dict[Column, list[Atom]] = defaultdict(list)
        for atom in plan.literals:
            by_column[column_of(atom)].append(atom)
        masks: dict[Atom, int] = defaultdict(int)
        hits = Counter[Atom]()
        for column, atoms in by_column.items():
            found = Literals([atom.predicate for atom in atoms]).find(list(islice(columns[column], plan.sample)))
            for at, numbers in found.items():
                met = [atoms[number] for number in numbers]
                hits.update(met)
                for atom in set(met):
                    masks[atom] |= 1 << at
        plan.learn({atom: Met(mask, hits[atom]) for atom, mask in masks.items()}, min(count, plan.sample))
        self._selects.clear()  # their order follows from what was counted
        self._build()

    def _build(self) -> None:
        rules_of: dict[Column, dict[Predicate, list[int]]] = defaultdict(lambda: defaultdict(list))
        for place, group in enumerate(self._plan.chosen):
            for atom in group or ():
                rules_of[column_of(atom)][atom.predicate].append(place)
        self._lookups = [(column, Lookup(found)) for column, found in sorted(rules_of.items())]


class Shared(NamedTuple):
    """A program, and the names of those of its rules that are not for the kind."""

    program: Program
    foreign: frozenset[str] = frozenset()


class Programs:
    """Makes the programs for kinds of events that look alike; kinds that have nearly all of a crowd of rules in common
    share one for these.
    """

    def __init__(self) -> None:
        self._crowds: list[Program] = []

    def of(self, rules: Sequence[Rule]) -> list[Shared]:
        """Programs that together have these rules."""
        if len(rules) < CROWD:
            return [Shared(Program(rules))] if rules else []
        ours = set(map(id, rules))
        for program in self._crowds:
            theirs = set(map(id, program.rules))
            if len(ours ^ theirs) <= len(ours) * _APART:
                foreign = frozenset(rule.name for rule in program.rules if id(rule) not in ours)
                rest = [rule for rule in rules if id(rule) not in theirs]
                return [Shared(program, foreign), *self.of(rest)]
        if len(self._crowds) >= _MOST_SHARED:
            self._crowds.clear()
        self._crowds.append(Program(rules))
        return [Shared(self._crowds[-1])]


def _offers_of(expressions: Sequence[Expression]) -> dict[Atom, list[tuple[Atom, ...]]]:
    atoms = dict.fromkeys(chain.from_iterable(map(atoms_of, expressions)))
    return {atom: groups for atom in atoms if (groups := _offers(atom))}


@lru_cache(maxsize=65_536)  # kinds have rules in common
def _offers(atom: Atom) -> list[tuple[Atom, ...]]:
    """Groups of atoms that are looked up, of each of which one holds whenever the atom does."""
    predicate = atom.predicate
    if predicate.kind in LITERAL:
        literal = predicate.argument
        return [(atom,)] if SEPARATOR not in literal and (literal or predicate.kind == "equals") else []
    guards = [
        [Atom(atom.space, atom.field, Predicate("guard", one)) for one in sorted(guard)]
        for guard in guards_of(predicate)
    ]
    return [tuple(guard) for guard in guards if not any(SEPARATOR in one.predicate.argument for one in guard)]


def _guess(atom: Atom) -> float:
    predicate = atom.predicate
    if predicate.kind in {"contains", "guard"}:
        length = len(predicate.argument)
        return 0.3 if length < 4 else 0.009 if length < 6 else 0.004
    return 0.008
