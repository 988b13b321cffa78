"""Rules against raw JSON records: of most of them only what routes is decoded, of the rest what rules ask for.

    raws ─► header (narrow struct) ─► by kind: no rules ─► done
                                          └─► gate: literals in their bytes ─► most may match nothing ─► done
                  rules that it cannot tell: program ◄┘ └─► rules that may match: fields (narrow struct) ─► verified

``Shape.read`` says what must come out. A record that the narrow structs do not take is read plainly, and what is of
another shape, or no JSON, is handed back: nothing is lost on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from watchbill.engine.detect.asked import Asked, Index
from watchbill.engine.detect.gate import Gate
from watchbill.engine.detect.match import Distinct, EventColumns, Match
from watchbill.engine.detect.narrow import Narrow
from watchbill.engine.detect.plan import atoms_of
from watchbill.engine.detect.predicates import Atom
from watchbill.engine.detect.program import CROWD, Program, Programs, RuleAt, Shared
from watchbill.engine.detect.reading import JsonColumns, Reading
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.verify import Selects
from watchbill.sdk.events import Event, LogSource
from watchbill.sdk.shapes import Kind, Shape

_PLAIN = {str, int, type(None)}
_UNKNOWN: Final = object()
_MAX_HEADERS = 16_384
_MAX_ROUTES = 4_096
#: From this share of records that pass the gate on, it is not worth its price. With a crowd of rules most would: it is not
#: tried before so many records were there.
_MANY = 0.5
_TRIED_AT = 4_000


class Judged(NamedTuple):
    """``matches`` by the records' order; ``others`` are the places of records that are not of the shape. ``kinds`` says of
    most of the rest what they are: constants and derived fields of a kind are those of one of these records.
    """

    matches: list[Match]
    others: list[int]
    kinds: list[tuple[Kind, list[int]]]


class JsonMatcher:
    """Judges records of one shape by the rules of the usual taxonomy (those for OCSF need a parsed event)."""

    def __init__(self, rules: Iterable[Rule], shape: Shape) -> None:
        self._distinct = Distinct(
            rule for rule in rules if rule.expression is not None and rule.route.space == "native"
        )
        self._index = Index(self._distinct.rules)
        self.shape = shape
        self._paths = [tuple(path.split(".")) for path in shape.header]
        self._header = Narrow(self._paths, missing=None)
        self._keyed = None if shape.text else Narrow(self._paths, missing=None, keys=True)
        self._by_header: dict[Hashable, _Known | None] = {}
        self._routes: dict[Any, _Route] = {}
        self._asked: dict[LogSource, Asked] = {}
        self._programs: dict[LogSource, Programs] = defaultdict(Programs)

    def match(self, raws: Sequence[bytes]) -> Judged:
        """Judge a batch of records, each the bytes of one JSON object."""
        headers, plain = self._headers(raws)
        places: Iterable[int] = range(len(raws))
        if plain:
            unread = set(plain)
            places = [at for at in places if at not in unread]
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for at, header in zip(places, headers, strict=True):
            alike[header].append(at)
        groups: dict[_Known | None, list[int]] = defaultdict(list)
        for header, chosen in alike.items():
            groups[self._known(header)] += chosen
        for chosen in groups.values():
            chosen.sort()
        others = groups.pop(None, [])
        kinds = [(known.kind, chosen) for known, chosen in groups.items() if known is not None]
        by_route: dict[_Route, list[list[int]]] = defaultdict(list)
        for known, chosen in groups.items():
            if known is not None and known.route.rules:
                by_route[known.route].append(chosen)
        found: list[RuleAt] = []
        for route, parts in by_route.items():
            chosen = parts[0] if len(parts) == 1 else sorted(chain.from_iterable(parts))
            met, refused = route.judge([raws[at] for at in chosen])
            found += [(name, chosen[at]) for name, at in met]
            plain += [chosen[at] for at in refused]
        if plain:
            self._plainly(raws, plain, found, others)
        return Judged(self._distinct.named(found), sorted(others), kinds)

    def _headers(self, raws: Sequence[bytes]) -> tuple[Sequence[Hashable], list[int]]:
        """The headers of those records that can be read narrowly, as keys, and the places of the others."""
        if self._keyed is not None and (keys := self._keyed.read_all(raws)) is not None:
            return keys, []
        read, plain = self._header.read(raws)
        columns = self._header.columns(read)
        return list(zip(*(self._scalars(columns[path]) for path in self._paths), strict=True)), plain

    def _known(self, header: Hashable) -> _Known | None:
        """What a record with this header is and what to do with it."""
        known: Any = self._by_header.get(header, _UNKNOWN)
        return self._new(header) if known is _UNKNOWN else known

    def _scalars(self, values: list[Any]) -> list[Any]:
        """A header column as keys: None for what is not there, and nothing that is equal to what it is not."""
        kinds = set(map(type, values))
        if dict in kinds and self.shape.text:
            text = self.shape.text
            values = [value.get(text, value) if type(value) is dict else value for value in values]
            kinds = set(map(type, values))
        if kinds <= _PLAIN:
            return values
        return [value if type(value) in _PLAIN else _Odd((value,)) for value in values]

    def _new(self, header: Hashable) -> _Known | None:
        values = self._values(header)
        kind = None if any(isinstance(value, (dict, list)) for value in values) else self.shape.kind(values)
        known = None if kind is None else self._route_of(kind).known(kind)
        if type(header) is tuple and any(type(value) is _Odd for value in header):
            return known
        if len(self._by_header) >= _MAX_HEADERS:
            self._by_header.clear()
        self._by_header[header] = known
        return known

    def _values(self, header: Hashable) -> tuple[Any, ...]:
        if isinstance(header, tuple):
            return tuple(value[0] if type(value) is _Odd else value for value in header)
        assert self._keyed is not None  # noqa: S101 - it read this header
        columns = self._keyed.columns([header])
        return tuple(columns[path][0] for path in self._paths)

    def _route_of(self, kind: Kind) -> _Route:
        """Kinds that the rules cannot tell apart share one route, however many there are."""
        asked = self._asked.get(kind.logsource)
        if asked is None:
            if len(self._asked) >= _MAX_ROUTES:
                self._asked.clear()
                self._programs.clear()
            asked = self._asked[kind.logsource] = Asked(self._index, kind.logsource)
        identity = (kind.logsource, id(kind.derived), *asked.of(kind))
        route = self._routes.get(identity)
        if route is None or route.kind.derived is not kind.derived:
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
                self._by_header.clear()
            route = self._routes[identity] = _Route(asked, self._programs[kind.logsource], self.shape, kind)
        return route

    def _plainly(self, raws: Sequence[bytes], places: list[int], found: list[RuleAt], others: list[int]) -> None:
        """The slow way: whole records, read as a parser reads them, and handed back when they are of another shape."""
        groups: dict[_Route, list[tuple[int, Event]]] = defaultdict(list)
        for at in places:
            try:
                record = msgspec.json.decode(raws[at])
                read = self.shape.read(record) if isinstance(record, dict) else None
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                read = None
            if read is None:
                others.append(at)
                continue
            kind, native = read
            text = self.shape.message(record) if self.shape.message else raws[at].decode("utf-8", "replace")
            groups[self._route_of(kind)].append((at, Event(0, {}, native, text, logsource=kind.logsource)))
        for route, pairs in groups.items():
            if route.rules:
                met = route.program.run(EventColumns([event for _, event in pairs]), len(pairs))
                found += [(name, pairs[at][0]) for name, at in met]


class _Odd(tuple[Any, ...]):
    """A header value that is no text or whole number: never equal to another, so never remembered."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class _Route:
    """What is done with the records of one kind: the gate says which rules each may match, these are judged."""

    def __init__(self, asked: Asked, programs: Programs, shape: Shape, kind: Kind) -> None:
        self._programs = programs
        self.shape = shape
        self.kind = kind
        self.rules, self._expressions = asked.left(kind)
        self._gate: Gate | None = None
        self._selects = Selects(self._expressions, self._share)
        self._seen = 0
        self._ways: _Ways | None = None
        self._kinds: dict[tuple[int | None, int | None], _Known] = {}

    def known(self, kind: Kind) -> _Known:
        """What stands for the kinds of this route that are of one OCSF class and activity."""
        return self._kinds.setdefault((kind.class_uid, kind.activity_id), _Known(self, kind))

    @cached_property
    def _reading(self) -> Reading:
        """All that rules ask for."""
        return Reading(self.rules, self.shape, self.kind)

    @cached_property
    def program(self) -> Program:
        """All rules, for records that are read plainly."""
        return Program(self.rules)

    def judge(self, raws: Sequence[bytes]) -> tuple[list[RuleAt], list[int]]:
        """Which rules match which records, and the places of records that have to be read plainly."""
        gate, gated, _, programs, reading = self._learned(raws)
        met: list[RuleAt] = []
        unread: set[int] = set()
        if programs:
            every = range(len(raws))
            rows, columns = reading.columns(raws, every)
            for program, foreign in programs:
                met += [(name, rows[row]) for name, row in program.run(columns, len(rows)) if name not in foreign]
            unread |= _unread(every, rows, columns)
        if candidates := gate.candidates(raws):
            places = list(candidates)
            rows, columns = self._reading.columns([raws[at] for at in places], places)
            asked: dict[int, list[int]] = defaultdict(list)
            for row, at in enumerate(rows):
                for rule in candidates[at]:
                    asked[gated[rule]].append(row)
            for rule in sorted(asked):
                name = self.rules[rule].name
                met += [(name, rows[row]) for row in self._selects[rule](columns, asked[rule])]
            unread |= _unread(places, rows, columns)
        if unread:
            met = [(name, at) for name, at in met if at not in unread]
        return met, sorted(unread)

    def _learned(self, raws: Sequence[bytes]) -> _Ways:
        """The ways, chosen anew when a gate has learned by these records."""
        ways = self._ways
        self._seen += len(raws)
        if self._gate is None and (len(self.rules) < CROWD or self._seen >= _TRIED_AT):
            self._gate = Gate(self._expressions, self._is_plain)
        gates = dict.fromkeys((self._gate, None if ways is None else ways.gate))
        learned = [gate.learn(raws) for gate in gates if gate is not None]
        if ways is None or any(learned):
            ways = self._ways = self._chosen(ways, raws)
            self._selects.clear()  # their order follows from what the gate has counted
        return ways

    def _chosen(self, before: _Ways | None, raws: Sequence[bytes]) -> _Ways:
        """The gate says what it can tell; where most records pass, only of rules that ask for messages, which are dear.
        Programs have the other rules.
        """
        gate, gated = self._gate, tuple(range(len(self.rules)))
        if gate is None or gate.passing > _MANY:
            if gate is not None:
                gate.rest()
            gate, gated = self._gate_of_messages
            if before is None or before.gate is not gate:
                gate.learn(raws)
        left = set(range(len(self.rules))).difference(gated).union(gated[one] for one in gate.open)
        rules = [self.rules[place] for place in sorted(left)]
        if before is not None and before.gate is gate and rules == before.rules:
            return before
        programs = self._programs.of(rules)
        asking = [rule for one in programs for rule in one.program.rules]
        return _Ways(gate, gated, rules, programs, Reading(asking, self.shape, self.kind))

    @cached_property
    def _gate_of_messages(self) -> tuple[Gate, tuple[int, ...]]:
        spaces = [{atom.space for atom in atoms_of(expression)} for expression in self._expressions]
        gated = tuple(place for place, found in enumerate(spaces) if "message" in found)
        return Gate([self._expressions[place] for place in gated], self._is_plain), gated

    def _share(self, atom: Atom) -> float | None:
        return None if self._gate is None else self._gate.share(atom)

    def _is_plain(self, atom: Atom) -> bool:
        """Whether an atom's value stands in the record."""
        derived = self.kind.derived.get(atom.field)
        return derived is None or derived.make is None


class _Known:
    """A kind with its route; equal to itself alone."""

    __slots__ = ("kind", "route")

    def __init__(self, route: _Route, kind: Kind) -> None:
        self.route = route
        self.kind = kind


class _Ways(NamedTuple):
    """How the records of a kind are judged: by the rules at some places those that the gate lets through, and by
    ``rules`` all of them, in programs.
    """

    gate: Gate
    gated: tuple[int, ...]
    rules: list[Rule]
    programs: list[Shared]
    reading: Reading


def _unread(places: Sequence[int], rows: Sequence[int], columns: JsonColumns) -> set[int]:
    """Of the records at ``places``, of which those at ``rows`` were read narrowly, those that it does not get right."""
    missing = set(places).difference(rows) if len(rows) < len(places) else set[int]()
    return missing.union(rows[row] for row in columns.refused)
