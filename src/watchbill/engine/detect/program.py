"""The rules for one kind of event, folded into one program that runs over a batch, column by column.

columns of keys -> (index, memo) sets of known atoms that hold -> their tuple is the event's signature -> (memo) the
rules that match and those that may; these few are verified on the event. See docs/detection.md.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain, repeat
from typing import NamedTuple

from watchbill.engine.detect.index import FieldIndex, Hits, Memo
from watchbill.engine.detect.plan import Bounds, Experience, Test, bounds_of, compile_bound, is_decided
from watchbill.engine.detect.predicates import Atom, Predicate
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.verify import Check, Column, Columns, column_of, compile_check

_SIGNATURES = 16_384
#: The plan is made again with what was counted over so many events, thrice soon and then now and then.
_COUNTED = (1_000, 2_000, 8_000)
_PAUSE = 1_000_000

Names = tuple[str, ...]


class Outcome(NamedTuple):
    """What a signature says: the rules that match, and the places of those that have to be verified."""

    names: Names = ()
    open: tuple[int, ...] = ()


class Program:
    """Says for each event of a batch which of the rules match it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._experience = Experience()
        self._promoted: set[Atom] = set()
        self._checks: list[Check | None] = [None] * len(rules)
        self._plans = 0
        self._pause = 0
        self._plan()

    def _plan(self) -> None:
        expressions = [rule.expression for rule in self.rules if rule.expression is not None]
        self._bounds = bounds_of(expressions, self._experience, self._promoted)
        by_column: dict[Column, list[tuple[int, Predicate]]] = defaultdict(list)
        for atom, number in self._bounds.known.items():
            by_column[column_of(atom)].append((number, atom.predicate))
        self._columns = [
            (column, Memo(FieldIndex(atoms, self._bounds.often))) for column, atoms in sorted(by_column.items())
        ]
        self._outcomes = _Outcomes(self.rules, self._bounds)
        self._counts: Counter[int] = Counter()
        self._opened: Counter[int] = Counter()
        self._counted = 0
        self._plans += 1

    def run(self, columns: Columns, count: int) -> list[Names]:
        """The names of the rules that match, for each of the ``count`` events that the columns are of."""
        hits = [part for column, memo in self._columns for part in memo.columns(columns[column])]
        signatures = zip(*hits, strict=True) if hits else repeat((), count)
        outcomes = list(map(self._outcomes.__getitem__, signatures))
        names = [outcome[0] for outcome in outcomes]
        for at, outcome in enumerate(outcomes):
            if outcome[1]:
                names[at] += tuple(self.rules[place].name for place in outcome.open if self._check(place)(columns, at))
        self._learn(hits, outcomes)
        return names

    def _check(self, place: int) -> Check:
        check = self._checks[place]
        if check is None:
            expression = self.rules[place].expression
            assert expression is not None  # noqa: S101 - a program is made of detections only
            check = self._checks[place] = compile_check(expression)
        return check

    def _learn(self, hits: list[list[Hits]], outcomes: list[Outcome]) -> None:
        """Count what there is to learn from, and make the plan again when it is time."""
        if self._pause > 0:
            self._pause -= len(outcomes)
            return
        for column in hits:
            self._counts.update(chain.from_iterable(column))
        self._opened.update(chain.from_iterable(outcome.open for outcome in outcomes))
        self._counted += len(outcomes)
        if self._counted < _COUNTED[min(self._plans, len(_COUNTED)) - 1]:
            return
        self._experience.count({atom: self._counts[n] for atom, n in self._bounds.known.items()}, self._counted)
        self._experience.verified = {place: count / self._counted for place, count in self._opened.items()}
        self._experience.novelty |= {column: memo.novelty for column, memo in self._columns}
        self._plan()
        if self._plans > len(_COUNTED):
            self._pause = _PAUSE


class _Outcomes(dict[tuple[Hits, ...], Outcome]):
    """From signatures to outcomes; only rules of which a needed atom holds are asked."""

    def __init__(self, rules: Sequence[Rule], bounds: Bounds) -> None:
        super().__init__()
        self._triggered: dict[int, list[int]] = defaultdict(list)
        self._always: list[int] = []
        self._rules: list[tuple[str, Test | None, bool]] = []
        for place, rule in enumerate(rules):
            assert rule.expression is not None  # noqa: S101 - a program is made of detections only
            decided = is_decided(rule.expression, bounds)
            self._rules.append((rule.name, compile_bound(rule.expression, bounds), decided))
            needed = bounds.needed[place]
            if needed is None:
                self._always.append(place)
            for atom in needed or ():
                self._triggered[bounds.known[atom]].append(place)

    def __missing__(self, signature: tuple[Hits, ...]) -> Outcome:
        if len(self) >= _SIGNATURES:
            self.clear()
        hits: Hits = frozenset().union(*signature)
        asked = {place for number in hits for place in self._triggered.get(number, ())}.union(self._always)
        names, open_ = [], []
        for place in sorted(asked):
            name, test, decided = self._rules[place]
            if test is None or test(hits):
                if decided:
                    names.append(name)
                else:
                    open_.append(place)
        outcome = self[signature] = Outcome(tuple(names), tuple(open_)) if asked else _NOTHING
        return outcome


_NOTHING = Outcome()
