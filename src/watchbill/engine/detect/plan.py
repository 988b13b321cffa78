"""Which conditions of a set of rules are looked up for every event, and which only where a rule may hold.

Literals that stand in many values are dear to look for and tell little, regexes are dear in any case. So a rule is
bounded from above by conditions that are cheap and rare ("known" ones): where the bound does not hold, neither does the
rule. Where it does, a rule of known conditions alone is decided, and any other is verified on the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

import msgspec

from watchbill.engine.detect.conditions import And, Expression, Not
from watchbill.engine.detect.index import Hits
from watchbill.engine.detect.predicates import Atom, Predicate, guards_of
from watchbill.engine.detect.verify import Column, column_of

#: Costs in about microseconds: of a hit, of looking for one literal alone, of any other test, of
#: verifying a rule; and what is not worth a thought.
_HIT, _FIND, _TEST, _VERIFY, _LITTLE = 0.4, 0.15, 0.8, 2.5, 0.002
_DEAR = {"regex": 1.5, "glob": 1.5, "field": 3.0}
LITERAL = {"equals", "startswith", "endswith", "contains", "guard"}
PRESENCE = {"null", "exists", "missing"}

Test = Callable[[Hits], bool]


class Experience:
    """What was counted over events: in which share of them an atom held, a rule had to be verified, a value was new."""

    def __init__(self) -> None:
        self.verified: dict[int, float] = {}
        self.novelty: dict[Column, float] = {}
        self._shares: dict[Atom, float] = {}

    def count(self, held: Mapping[Atom, int], events: int) -> None:
        """Take in how often each known atom held in so many events."""
        for atom, count in held.items():
            self._shares[atom] = (count + 0.5) / (events + 1)

    def share(self, atom: Atom) -> float:
        found = self._shares.get(atom)
        return _guess(atom.predicate) if found is None else found

    def cost(self, atom: Atom) -> float:
        """What it costs to look for an atom in every event, in about microseconds."""
        kind = atom.predicate.kind
        if kind in PRESENCE:
            return 0.0
        novelty = self.novelty.get(column_of(atom), 1.0)
        if kind in LITERAL:
            return novelty * min(_HIT * self.share(atom), _FIND)
        return novelty * _DEAR.get(kind, _TEST)


def _guess(predicate: Predicate) -> float:
    if predicate.kind in {"equals", "startswith", "endswith"}:
        return 0.008
    if predicate.kind in {"contains", "guard"}:
        length = len(predicate.argument)
        return 0.3 if length < 4 else 0.009 if length < 6 else 0.004
    return 0.9 if predicate.kind in PRESENCE else 0.5


class Bounds(msgspec.Struct, frozen=True):
    """``known``: the numbers of the atoms to look for; ``often``: those that hold for many. ``guards``: what must hold
    where an atom does: of each of several groups any. ``needed``: for each rule the atoms of which one must hold, the
    rarest such; None where there is no such promise.
    """

    known: dict[Atom, int]
    often: frozenset[int]
    guards: dict[Atom, tuple[tuple[Atom, ...], ...]]
    needed: list[tuple[Atom, ...] | None]


def bounds_of(expressions: Sequence[Expression], experience: Experience, promoted: set[Atom]) -> Bounds:
    """Choose the atoms to look for: the rarest that each rule needs, and whatever else is cheap and rare.

    Rules that had to be verified often get all their atoms looked for, if that is cheaper; these are added to
    ``promoted``.
    """
    atoms = dict.fromkeys(chain.from_iterable(map(atoms_of, expressions)))
    guards = {atom: _guard_atoms(atom) for atom in atoms if atom.predicate.kind in {"regex", "glob"}}
    atoms.update(dict.fromkeys(atom for groups in guards.values() for group in groups for atom in group))
    costs = {atom: experience.cost(atom) for atom in atoms}
    prices = {atom: cost + _VERIFY * experience.share(atom) for atom, cost in costs.items()}
    found = [_rarest(expression, guards, prices) for expression in expressions]
    needed = [None if one is None else tuple(dict.fromkeys(one[1])) for one in found]
    for place, share in experience.verified.items():
        missing = set(atoms_of(expressions[place])).difference(promoted)
        if sum(map(costs.__getitem__, missing)) < share * _VERIFY:
            promoted |= missing
    known = dict.fromkeys(chain.from_iterable(one for one in needed if one))
    unlearned = not experience.novelty  # as long as nothing was counted, all literals are looked for
    for atom, cost in costs.items():
        if (atom.predicate.kind in LITERAL and (unlearned or cost < _LITTLE)) or atom in promoted:
            known[atom] = None
    numbers = {atom: number for number, atom in enumerate(known)}
    often = frozenset(number for atom, number in numbers.items() if _HIT * experience.share(atom) > _FIND)
    return Bounds(numbers, often, guards, needed)


def _guard_atoms(atom: Atom) -> tuple[tuple[Atom, ...], ...]:
    return tuple(
        tuple(Atom(atom.space, atom.field, Predicate("guard", literal)) for literal in sorted(guard))
        for guard in guards_of(atom.predicate)
    )


def _rarest(
    expression: Expression, guards: Mapping[Atom, tuple[tuple[Atom, ...], ...]], prices: Mapping[Atom, float]
) -> tuple[float, list[Atom]] | None:
    """Atoms of which at least one holds whenever the expression does, and what it costs to look for them and to ask
    the rule where one holds; the cheapest such. None: there is no such promise.
    """
    if isinstance(expression, Atom):
        groups = guards.get(expression)
        if not groups:
            return prices[expression], [expression]
        return min(((sum(map(prices.__getitem__, group)), list(group)) for group in groups), key=_price)
    if isinstance(expression, Not):
        return None
    parts = [_rarest(item, guards, prices) for item in expression.items]
    sound = [part for part in parts if part is not None]
    if isinstance(expression, And):
        return min(sound, key=_price, default=None)
    if len(sound) < len(parts):
        return None
    return sum(map(_price, sound)), [atom for _, chosen in sound for atom in chosen]


def _price(part: tuple[float, list[Atom]]) -> float:
    return part[0]


def atoms_of(expression: Expression | None) -> Iterable[Atom]:
    """All atoms of an expression, in order of appearance."""
    if isinstance(expression, Atom):
        yield expression
    elif isinstance(expression, Not):
        yield from atoms_of(expression.item)
    elif expression is not None:
        for item in expression.items:
            yield from atoms_of(item)


def is_decided(expression: Expression, bounds: Bounds) -> bool:
    """Whether the known atoms alone tell if the expression holds."""
    return all(atom in bounds.known for atom in atoms_of(expression))


def compile_bound(expression: Expression, bounds: Bounds) -> Test | None:
    """A function on the known atoms that hold: False says that the expression does not. None: it never says so."""
    return _bound(expression, bounds, above=True)


def _bound(expression: Expression, bounds: Bounds, above: bool) -> Test | None:
    """A bound from above is true where the expression is, one from below only there; None is the trivial one."""
    if isinstance(expression, Atom):
        number = bounds.known.get(expression)
        if number is not None:
            return lambda hits: number in hits
        groups = bounds.guards.get(expression, ()) if above else ()
        sure = [group for group in groups if all(atom in bounds.known for atom in group)]
        return _all_of((), [_any_of(bounds.known[atom] for atom in group) for group in sure]) if sure else None
    if isinstance(expression, Not):
        inner = _bound(expression.item, bounds, not above)
        return inner and (lambda hits: not inner(hits))
    numbers = [bounds.known[item] for item in expression.items if isinstance(item, Atom) and item in bounds.known]
    tests = [_bound(item, bounds, above) for item in expression.items if item not in bounds.known]
    sound = [test for test in tests if test is not None]
    # From above, "and" may forget what it does not know and "or" may not; from below it is the other way round.
    if len(sound) < len(tests) and isinstance(expression, And) != above:
        return None
    if not numbers and not sound:
        return None
    return (_all_of if isinstance(expression, And) else _any_of)(numbers, sound)


def _all_of(numbers: Iterable[int], tests: Sequence[Test] = ()) -> Test:
    wanted = frozenset(numbers)
    if not tests:
        return wanted.issubset
    if not wanted and len(tests) == 1:
        return tests[0]
    return lambda hits: wanted <= hits and all(test(hits) for test in tests)


def _any_of(numbers: Iterable[int], tests: Sequence[Test] = ()) -> Test:
    wanted = frozenset(numbers)
    if not tests:
        return lambda hits: not wanted.isdisjoint(hits)
    return lambda hits: not wanted.isdisjoint(hits) or any(test(hits) for test in tests)
