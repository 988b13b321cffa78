"""The stateless half: which rules does each event match, whatever came before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from watchbill.engine.detect.conditions import Expression
from watchbill.engine.detect.fields import lookup, nested
from watchbill.engine.detect.index import key_of, pairs_of
from watchbill.engine.detect.predicates import MISSING
from watchbill.engine.detect.program import Program, RuleAt
from watchbill.engine.detect.routing import Route
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.verify import Column, Folded
from watchbill.sdk.events import Event, LogSource

_MAX_ROUTES = 4_096
_KIND = attrgetter("logsource", "class_uid")
_KEYS = {str, type(MISSING), type(None)}


class Match(NamedTuple):
    """The rule of that name matches the event at that place of the batch."""

    rule: str
    at: int


_PLACE = itemgetter(1)
_MATCH: Callable[[tuple[str, int]], Match] = partial(tuple.__new__, Match)  # Match(*one), but in C


class Distinct:
    """Rules of which some ask the same of the same events, as copies of a collection do: only the first is asked."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        alike: dict[tuple[Route, Expression | None], list[Rule]] = defaultdict(list)
        for rule in rules:
            alike[rule.route, rule.expression].append(rule)
        #: Those to ask.
        self.rules = [same[0] for same in alike.values()]
        self._names = {same[0].name: [rule.name for rule in same] for same in alike.values() if len(same) > 1}

    def named(self, found: list[RuleAt]) -> list[Match]:
        """The matches of all rules by the events' order, by those (rule, event) of the rules that were asked."""
        if names := self._names:
            found = [(name, at) for asked, at in found for name in names.get(asked, (asked,))]
        return list(map(_MATCH, sorted(found, key=_PLACE)))


class Matcher:
    """Sorts a batch by kind of event and runs the program of each kind, compiled when it is first needed."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = [rule for rule in rules if rule.expression is not None]
        self._programs: dict[tuple[LogSource, int], Program | None] = {}

    @cached_property
    def _distinct(self) -> Distinct:
        return Distinct(self.rules)

    def match(self, events: Sequence[Event]) -> list[Match]:
        """All matches of a batch, by the events' order. Quarantined events are judged like any other."""
        kinds: dict[tuple[LogSource, int], list[int]] = defaultdict(list)
        for index, kind in enumerate(map(_KIND, events)):
            kinds[kind].append(index)
        found: list[RuleAt] = []
        for kind, indexes in kinds.items():
            program = self._program(kind)
            if program is not None:
                chosen = events if len(kinds) == 1 else [events[index] for index in indexes]
                found += [(name, indexes[at]) for name, at in program.run(EventColumns(chosen), len(indexes))]
        return self._distinct.named(found)

    def _program(self, kind: tuple[LogSource, int]) -> Program | None:
        try:
            return self._programs[kind]
        except KeyError:
            if len(self._programs) >= _MAX_ROUTES:
                self._programs.clear()
        rules = [rule for rule in self._distinct.rules if rule.route.takes(*kind)]
        program = Program(rules) if rules else None
        self._programs[kind] = program
        return program


class EventColumns(dict[Column, Any]):
    """The columns of a batch of events, each made when it is first asked for."""

    def __init__(self, events: Sequence[Event]) -> None:
        super().__init__()
        self._events = events
        self._spaces: dict[str, list[Any]] = {}
        self._names: dict[tuple[str, str], bool] = {}

    def __missing__(self, column: Column) -> Any:
        keys = Folded(self[column._replace(folded=False)]) if column.folded else self._keys(column)
        self[column] = keys
        return keys

    def _keys(self, column: Column) -> list[Any]:
        fields = self._spaces.get(column.space)
        if fields is None:
            fields = self._spaces[column.space] = list(map(attrgetter(column.space), self._events))
        if column.space == "message":
            return fields
        space, field = column.space, column.field
        if column.other:
            return pairs_of(*([lookup(one, name) for one in fields] for name in (field, column.other)))
        values = list(map(dict.get, fields, repeat(field), repeat(MISSING)))
        if "." in field and MISSING in values and any(self._has(space, prefix) for prefix in _prefixes(field)):
            values = [
                nested(one, field) if value is MISSING else value for one, value in zip(fields, values, strict=True)
            ]
        return keys_of(values)

    def _has(self, space: str, name: str) -> bool:
        """Whether any event has a field of exactly this name."""
        known = self._names.get((space, name))
        if known is None:
            known = any(map(dict.__contains__, self._spaces[space], repeat(name)))
            self._names[space, name] = known
        return known


def _prefixes(field: str) -> list[str]:
    """Of "a.b.c" a.b and a: where a list or an object may hold it."""
    parts = field.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]


def keys_of(values: list[Any]) -> list[Any]:
    """A column of values as keys (see ``key_of``)."""
    kinds = set(map(type, values))
    if kinds <= _KEYS:
        return values
    return list(map(str if kinds == {int} else key_of, values))
