"""Which literals to look for, so that few rules have to be asked of an event.

A rule cannot hold without some of the literals that its conditions name. Of all such sets each rule gets the one that
costs least by what was counted in a sample of events: to be met and to be asked for nothing. A rule without a set that
tells much is "open": it is asked of every event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar, cast

from watchbill.engine.detect.conditions import And, Expression, Not
from watchbill.engine.detect.predicates import Atom

#: Literals are chosen by the first events, however few; anew once so many were seen, and more where there are many
#: literals, a share of whose number it is; then now and then. Each time by at most ``SAMPLE`` of the newest, by fewer before
#: ``_OFTEN`` were seen.
_CHOSEN_AT = ((200, 0.1), (4_000, 0.5))
_PAUSE = 500_000
#: A plan that is not followed is looked at again when so many times as many events were seen.
_REST = 50
#: Fewer events say nothing of a share.
_ENOUGH = 8
SAMPLE = 200
_FIRST_SAMPLE = 64
_OFTEN = 2_000
#: A rule whose literals are in more than this share of the events is open.
_MOST = 0.4
#: Costs in about microseconds: of asking an event for a rule, and of a literal that is met.
_ASK, _HIT = 1.0, 0.4

LITERAL = {"equals", "startswith", "endswith", "contains", "guard"}

Literal = TypeVar("Literal")
Thing = TypeVar("Thing")


class Met(NamedTuple):
    """In which events of a sample a literal stands, a bit for each, and how often in all."""

    events: int = 0
    hits: int = 0


_UNMET = Met()


class Plan(Generic[Literal]):
    """The literals that are looked for, for rules with these expressions.

    ``offers`` are for each atom groups (at least one) of literals, of each of which one is there whenever the atom holds; ``guess`` is
    the share of events with a literal beside those that were counted. Once it has learned, ``chosen`` has for each rule
    its group, None if open.
    """

    chosen: Sequence[tuple[Literal, ...] | None] = ()
    open: tuple[int, ...] = ()

    def __init__(
        self,
        expressions: Sequence[Expression],
        offers: Mapping[Atom, Sequence[tuple[Literal, ...]]],
        guess: Callable[[Literal], float],
    ) -> None:
        self.literals = list(dict.fromkeys(one for groups in offers.values() for group in groups for one in group))
        self.seen = 0
        self._expressions, self._guess = expressions, guess
        #: What most atoms have, one group of one literal, and what the others have.
        self._only = {atom: groups[0] for atom, groups in offers.items() if len(groups) == 1 and len(groups[0]) == 1}
        self._offers = {atom: groups for atom, groups in offers.items() if atom not in self._only}
        self._unmet = {literal: (_ASK + _HIT) * guess(literal) for literal in self.literals}
        self._met: Mapping[Literal, Met] = {}
        self._best: dict[Atom, tuple[float, Sequence[Literal]]] = {}
        self._known = 0
        self._due: float = 1
        self._dues = [max(least, int(len(self.literals) * share)) for least, share in _CHOSEN_AT]

    @property
    def wants(self) -> bool:
        """Whether a sample of the next events is of use."""
        return self._due - self.seen <= SAMPLE

    @property
    def sample(self) -> int:
        """How many events to count in; few while few were seen, for that is what each event costs most."""
        return SAMPLE if self.seen >= _OFTEN else _FIRST_SAMPLE

    @property
    def is_due(self) -> bool:
        return self.seen >= self._due

    def rest(self) -> None:
        """Put off what is due next, where another way is taken."""
        self._due = max(self._dues[-1], self.seen * _REST)

    def learn(self, met: Mapping[Literal, Met], events: int) -> None:
        """Choose anew by what was met in so many events."""
        self._met, self._known = met, events
        self._choose()

    def share(self, atom: Atom) -> float | None:
        """About in which share of the events an atom may hold; None when that is not known."""
        best = self._best.get(atom)
        return None if best is None else best[0]

    @property
    def known(self) -> bool:
        """Whether enough events were counted to say what share of them a literal is in."""
        return self._known >= _ENOUGH

    @property
    def _next_due(self) -> int | None:
        """After how many events the literals are soon chosen anew."""
        return next((due for due in self._dues if due > self.seen * 1.5), None)

    def share_of(self, group: Iterable[Literal]) -> float:
        """In which share of the events any of the literals stands."""
        mask, guessed = 0, 0.0
        for literal in group:
            mask |= self._met.get(literal, _UNMET).events
            guessed += self._guess(literal)
        return (mask.bit_count() + min(guessed, 1.0)) / (self._known + 1)

    def _choose(self) -> None:
        count = self._known + 1
        prices = {literal: price / count for literal, price in self._unmet.items()}
        for literal, met in self._met.items():
            prices[literal] += (_ASK * met.events.bit_count() + _HIT * met.hits) / count
        self._best = {atom: (prices[group[0]], group) for atom, group in self._only.items()}
        self._best.update((atom, _cheapest_group(groups, prices)) for atom, groups in self._offers.items())
        found = [cheapest(expression, self._best.get) for expression in self._expressions]
        self.chosen = [
            None if one is None or self.share_of(one[1]) > _MOST else tuple(dict.fromkeys(one[1])) for one in found
        ]
        self.open = tuple(place for place, group in enumerate(self.chosen) if group is None)
        soon = self._next_due if self._known < SAMPLE else None
        self._due = soon or (self.seen + _PAUSE if self.literals else math.inf)


def _cheapest_group(
    groups: Sequence[tuple[Literal, ...]], prices: Mapping[Literal, float]
) -> tuple[float, Sequence[Literal]]:
    return min(((sum(map(prices.__getitem__, group)), group) for group in groups), key=_price)


def cheapest(
    expression: Expression, offer: Callable[[Atom], tuple[float, Sequence[Thing]] | None]
) -> tuple[float, Sequence[Thing]] | None:
    """Things of which at least one is there whenever the expression holds, and their price; the cheapest such.

    ``offer`` gives them for an atom. None: there is no such promise.
    """
    if isinstance(expression, Atom):
        return offer(expression)
    if isinstance(expression, Not):
        return None
    parts = [offer(item) if type(item) is Atom else cheapest(item, offer) for item in expression.items]
    if isinstance(expression, And):
        return min((part for part in parts if part is not None), key=_price, default=None)
    if None in parts:
        return None
    sound = cast("list[tuple[float, Sequence[Thing]]]", parts)
    return sum(map(_price, sound)), [thing for _, chosen in sound for thing in chosen]


def _price(part: tuple[float, Any]) -> float:
    return part[0]


@lru_cache(maxsize=16_384)  # asked for again for each kind of event
def atoms_of(expression: Expression) -> tuple[Atom, ...]:
    """All atoms of an expression, in order of appearance."""
    found: list[Atom] = []
    left: list[Expression] = [expression]
    while left:
        one = left.pop()
        if isinstance(one, Atom):
            found.append(one)
        elif isinstance(one, Not):
            left.append(one.item)
        else:
            left += one.items[::-1]
    return tuple(found)
