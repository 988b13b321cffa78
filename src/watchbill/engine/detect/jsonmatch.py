"""Rules against raw JSON records: of most of them only what routes is decoded, of the rest what rules ask for.

    raws ─► header (narrow struct) ─► by kind: no rules ─► done
                                          └─► gate: literals in their bytes ─► most may match nothing ─► done
                  rules that it cannot tell: program ◄┘ └─► rules that may match: fields (narrow struct) ─► verified

``Shape.read`` says what must come out. A record that the narrow structs do not take is read plainly, and what is of
another shape, or no JSON, is handed back: nothing is lost on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import chain, combinations, pairwise, repeat
from typing import Any, Final, NamedTuple

import msgspec

from watchbill.engine.detect.conditions import And, Expression, folded
from watchbill.engine.detect.gate import Gate
from watchbill.engine.detect.index import key_of, pair_of
from watchbill.engine.detect.match import EventColumns, Match, keys_of
from watchbill.engine.detect.narrow import Narrow, Path
from watchbill.engine.detect.plan import atoms_of
from watchbill.engine.detect.predicates import MISSING, Atom, holds
from watchbill.engine.detect.program import Names, Program
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.verify import Column, Folded, Selects
from watchbill.sdk.events import Event, LogSource
from watchbill.sdk.shapes import Derived, Kind, Shape

_PLAIN = {str, int, type(None)}
_SCALARS = {str, int, float, bool, type(None)}
_UNKNOWN: Final = object()
_MAX_HEADERS = 16_384
_MAX_ROUTES = 4_096
#: A dotted field may stand under keys that have dots themselves; beyond so many ways of it the record is read plainly.
_MAX_DOTS = 5


#: From this share of records that pass the gate on, it is not worth its price.
_MANY = 0.5
#: What is left of a rule that follows from its kind of event alone.
_ALWAYS = And(())


class Judged(NamedTuple):
    """``matches`` by the records' order; ``others`` are the places of records that are not of the shape."""

    matches: list[Match]
    others: list[int]


class JsonMatcher:
    """Judges records of one shape by the rules of the usual taxonomy (those for OCSF need a parsed event)."""

    def __init__(self, rules: Iterable[Rule], shape: Shape) -> None:
        self.rules = [rule for rule in rules if rule.expression is not None and rule.route.space == "native"]
        self.shape = shape
        self._paths = [tuple(path.split(".")) for path in shape.header]
        self._header = Narrow(self._paths, missing=None)
        self._by_header: dict[tuple[Any, ...], _Route | None] = {}
        self._routes: dict[Any, _Route] = {}
        self._asked: dict[LogSource, _Asked] = {}

    def match(self, raws: Sequence[bytes]) -> Judged:
        """Judge a batch of records, each the bytes of one JSON object."""
        read, plain = self._header.read(raws)
        places = range(len(raws))
        if plain:
            unread = set(plain)
            places = [at for at in places if at not in unread]  # type: ignore[assignment]
        groups: dict[_Route | None, list[int]] = defaultdict(list)
        for at, route in zip(places, self._route(read), strict=True):
            groups[route].append(at)
        others = groups.pop(None, [])
        found: list[Match] = []
        for route, chosen in groups.items():
            if route is not None and route.rules:
                names, refused = route.judge([raws[at] for at in chosen])
                found += [Match(name, at) for at, matched in zip(chosen, names, strict=True) for name in matched]
                plain += [chosen[at] for at in refused]
        if plain:
            self._plainly(raws, plain, found, others)
        found.sort(key=_by_place)
        return Judged(found, sorted(others))

    def _route(self, read: list[Any]) -> list[_Route | None]:
        """What to do with each record, by its header."""
        columns = self._header.columns(read)
        headers = list(zip(*(self._scalars(columns[path]) for path in self._paths), strict=True))
        routes: list[Any] = list(map(self._by_header.get, headers, repeat(_UNKNOWN)))
        if _UNKNOWN in routes:
            for at, header in enumerate(headers):
                if routes[at] is _UNKNOWN:
                    known = self._by_header.get(header, _UNKNOWN)
                    routes[at] = self._new_route(header) if known is _UNKNOWN else known
        return routes

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

    def _new_route(self, header: tuple[Any, ...]) -> _Route | None:
        values = tuple(value[0] if type(value) is _Odd else value for value in header)
        kind = None if any(isinstance(value, (dict, list)) for value in values) else self.shape.kind(values)
        route = None if kind is None else self._route_of(kind)
        if any(type(value) is _Odd for value in header):
            return route
        if len(self._by_header) >= _MAX_HEADERS:
            self._by_header.clear()
        self._by_header[header] = route
        return route

    def _route_of(self, kind: Kind) -> _Route:
        """Kinds that the rules cannot tell apart share one route, however many there are."""
        asked = self._asked.get(kind.logsource)
        if asked is None:
            if len(self._asked) >= _MAX_ROUTES:
                self._asked.clear()
            asked = self._asked[kind.logsource] = _Asked(self.rules, kind.logsource)
        identity = (kind.logsource, id(kind.derived), *asked.of(kind))
        route = self._routes.get(identity)
        if route is None or route.kind.derived is not kind.derived:
            if len(self._routes) >= _MAX_ROUTES:
                self._routes.clear()
                self._by_header.clear()
            route = self._routes[identity] = _Route(asked, self.shape, kind)
        return route

    def _plainly(self, raws: Sequence[bytes], places: list[int], found: list[Match], others: list[int]) -> None:
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
                names = route.program.run(EventColumns([event for _, event in pairs]), len(pairs))
                found += [Match(name, at) for (at, _), matched in zip(pairs, names, strict=True) for name in matched]


class _Odd(tuple[Any, ...]):
    """A header value that is no text or whole number: never equal to another, so never remembered."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class _Asked:
    """The rules for one log source, and what they ask of fields that may be constants."""

    def __init__(self, rules: Iterable[Rule], source: LogSource) -> None:
        takes = lru_cache(None)(lambda route: route.takes(source, 0))  # thousands of rules have some hundred routes
        self.rules = [rule for rule in rules if takes(rule.route)]
        self._atoms: dict[str, list[Atom]] = defaultdict(list)
        self._related: set[str] = set()
        self._asking: dict[str, set[int]] = defaultdict(set)
        atoms = [atoms_of(rule.expression) for rule in self.rules if rule.expression is not None]
        for atom in dict.fromkeys(chain.from_iterable(atoms)):
            if atom.predicate.kind == "field":
                self._related |= {atom.field, atom.predicate.argument[0]}
            elif atom.space == "native":
                self._atoms[atom.field].append(atom)
        for place, found in enumerate(atoms):
            for atom in found:
                self._asking[atom.field].add(place)

    def left(self, kind: Kind) -> tuple[list[Rule], list[Expression]]:
        """The rules that may hold for the kind, and what is left to ask of them."""
        judge = _constant_atoms(kind)
        touched = {place for name in kind.constants for place in self._asking.get(name, ())}
        rules, expressions = [], []
        for place, rule in enumerate(self.rules):
            assert rule.expression is not None  # noqa: S101 - the matcher's rules have one
            left = folded(rule.expression, judge) if place in touched else rule.expression
            if left is not False:
                expressions.append(_ALWAYS if left is True else left)
                rules.append(rule if place not in touched else msgspec.structs.replace(rule, expression=expressions[-1]))
        return rules, expressions

    def of(self, kind: Kind) -> tuple[object, ...]:
        """What the rules can know of a kind's constants: the answers to what they ask, and values to compare with."""
        judge = _constant_atoms(kind)
        names = tuple(name for name in sorted(kind.constants) if name in self._atoms or name in self._related)
        compared = tuple((type(kind.constants[name]), kind.constants[name]) for name in names if name in self._related)
        return names, compared, tuple(judge(atom) for name in names for atom in self._atoms.get(name, ()))


class _Route:
    """What is done with the records of one kind: the gate says which rules each may match, these are judged."""

    def __init__(self, asked: _Asked, shape: Shape, kind: Kind) -> None:
        self.shape = shape
        self.kind = kind
        self.rules, self._expressions = asked.left(kind)
        self._gate = Gate(self._expressions, self._is_plain)
        self._selects = Selects(self._expressions, self._gate.share)
        self._ways: _Ways | None = None

    @cached_property
    def _reading(self) -> _Reading:
        """All that rules ask for."""
        return _Reading(self.rules, self.shape, self.kind)

    @cached_property
    def program(self) -> Program:
        """All rules, for records that are read plainly."""
        return Program(self.rules)

    def judge(self, raws: Sequence[bytes]) -> tuple[list[Names], list[int]]:
        """The rules that each record matches, and the places of records that have to be read plainly."""
        ways = self._ways
        if self._gate.learn(raws) | (ways is not None and ways.gate is not self._gate and ways.gate.learn(raws)):
            ways = self._ways = self._chosen(ways, raws)
        assert ways is not None  # noqa: S101 - a gate learns first of all
        gate, gated, program, reading = ways
        every = range(len(raws))
        names: list[Names] = [()] * len(raws)
        refused: list[int] = []
        if program is not None:
            rows, columns = reading.columns(raws, every)
            for at, matched in zip(rows, program.run(columns, len(rows)), strict=True):
                names[at] = matched
            refused = _unread(every, rows, columns)
        candidates = gate.candidates(raws)
        if candidates:
            places = list(candidates)
            rows, columns = self._reading.columns([raws[at] for at in places], places)
            asked: dict[int, list[int]] = defaultdict(list)
            for row, at in enumerate(rows):
                for rule in candidates[at]:
                    asked[gated[rule]].append(row)
            for rule in sorted(asked):
                for row in self._selects[rule](columns, asked[rule]):
                    names[rows[row]] += (self.rules[rule].name,)
            refused += _unread(places, rows, columns)
        for at in refused:
            names[at] = ()
        return names, sorted(set(refused))

    def _chosen(self, before: _Ways | None, raws: Sequence[bytes]) -> _Ways:
        """The gate says what it can tell; where most records pass, only of rules that ask for messages, which are dear.
        The program has the other rules.
        """
        gate, gated = self._gate, tuple(range(len(self.rules)))
        if gate.passing > _MANY:
            gate.rest()
            gate, gated = self._gate_of_messages
            if before is None or before.gate is not gate:
                gate.learn(raws)
        left = set(range(len(self.rules))).difference(gated).union(gated[one] for one in gate.open)
        rules = [self.rules[place] for place in sorted(left)]
        if before is not None and before.gate is gate and rules == (before.program.rules if before.program else []):
            return before
        return _Ways(gate, gated, Program(rules) if rules else None, _Reading(rules, self.shape, self.kind))

    @cached_property
    def _gate_of_messages(self) -> tuple[Gate, tuple[int, ...]]:
        spaces = [{atom.space for atom in atoms_of(expression)} for expression in self._expressions]
        gated = tuple(place for place, found in enumerate(spaces) if "message" in found)
        return Gate([self._expressions[place] for place in gated], self._is_plain), gated

    def _is_plain(self, atom: Atom) -> bool:
        """Whether an atom's value stands in the record."""
        derived = self.kind.derived.get(atom.field)
        return derived is None or derived.make is None


class _Ways(NamedTuple):
    """How the records of a kind are judged: by the rules at some places those that the gate lets through, and all by a
    program.
    """

    gate: Gate
    gated: tuple[int, ...]
    program: Program | None
    reading: _Reading


def _unread(places: Sequence[int], rows: Sequence[int], columns: _JsonColumns) -> list[int]:
    """Of the records at ``places``, of which those at ``rows`` were read narrowly, those that it does not get right."""
    missing = sorted(set(places).difference(rows)) if len(rows) < len(places) else []
    return missing + [rows[row] for row in columns.refused]


class _Reading:
    """How the fields that some rules ask for are read."""

    def __init__(self, rules: Iterable[Rule], shape: Shape, kind: Kind) -> None:
        self.shape = shape
        self.kind = kind
        atoms = [atom for rule in rules if rule.expression is not None for atom in atoms_of(rule.expression)]
        others = [atom.predicate.argument[0] for atom in atoms if atom.predicate.kind == "field"]
        names = dict.fromkeys([*(atom.field for atom in atoms if atom.space == "native"), *others])
        self._roots = [tuple(root.split(".")) if root else () for root in shape.roots]
        self.fields = {name: self._paths(name) for name in names if name not in kind.constants}
        wanted = [path for paths in self.fields.values() for path in paths]
        wanted += [_path(path) for name in self.fields if name in kind.derived for path in kind.derived[name].paths]
        self._narrow = Narrow(wanted)

    def columns(self, raws: Sequence[bytes], places: Sequence[int]) -> tuple[Sequence[int], _JsonColumns]:
        """The places of those records that can be read narrowly, and their columns."""
        if not self.fields:  # only messages are asked for, which are made of whole records
            return places, _JsonColumns(self, raws, {})
        read, unread = self._narrow.read(raws)
        if unread:
            skipped = set(unread)
            raws = [raw for at, raw in enumerate(raws) if at not in skipped]
            places = [place for at, place in enumerate(places) if at not in skipped]
        return places, _JsonColumns(self, raws, self._narrow.columns(read))

    def _paths(self, name: str) -> list[Path]:
        """All places of a native field: in each root, and under keys with dots where its name has dots."""
        parts = name.split(".")
        if _by_parts(self.shape, name):  # the name itself, and whatever may hold the rest of it
            return [(*root, ".".join(parts[:count])) for root in self._roots for count in range(len(parts), 0, -1)]
        dots = range(1, len(parts))
        found = []
        for root in self._roots:
            for count in range(len(dots), -1, -1):
                for cuts in combinations(dots, count):
                    edges = [0, *cuts, len(parts)]
                    found.append((*root, *(".".join(parts[a:b]) for a, b in pairwise(edges))))
        return found


class _JsonColumns(dict[Column, Any]):
    """The columns of records that were read narrowly, each made when it is first asked for. ``refused`` are places of
    records in which a value turned out to be none that the narrow way gets right.
    """

    def __init__(self, reading: _Reading, raws: Sequence[bytes], found: Mapping[Path, list[Any]]) -> None:
        super().__init__()
        self._reading = reading
        self._raws = raws
        self._found = found
        self.refused: set[int] = set()
        self._values: dict[str, list[Any]] = {}

    def __missing__(self, column: Column) -> Any:
        if column.folded:
            keys: Any = Folded(self[column._replace(folded=False)])
        elif column.space == "message":
            keys = self._messages()
        elif column.other:
            keys = list(map(pair_of, self._of(column.field), self._of(column.other)))
        else:
            keys = keys_of(self._of(column.field))
        self[column] = keys
        return keys

    def _of(self, name: str) -> list[Any]:
        constants = self._reading.kind.constants
        if name in constants:
            return [constants[name]] * len(self._raws)
        values = self._values.get(name)
        if values is None:
            values = self._values[name] = self._field(name, self._reading.fields[name])
        return values

    def _field(self, name: str, paths: list[Path]) -> list[Any]:
        values = self._checked(self._found[paths[0]])
        for path in paths[1:]:
            more = self._found[path]
            if more.count(MISSING) == len(more):
                continue
            more = self._checked(more, part=_by_parts(self._reading.shape, name) and path[-1] != name)
            if "." in name:  # under two names at once, of which the last in the record counts
                pairs = enumerate(zip(values, more, strict=True))
                self.refused.update(at for at, (one, other) in pairs if one is not MISSING and other is not MISSING)
            values = [other if one is MISSING else one for one, other in zip(values, more, strict=True)]
        derived = self._reading.kind.derived.get(name)
        return values if derived is None else self._derived(values, derived)

    def _checked(self, values: list[Any], part: bool = False) -> list[Any]:
        """Objects, and lists of them, are flattened and made text in ways that are left to ``Shape.read``."""
        text = self._reading.shape.text
        kinds = set(map(type, values))
        if part:  # what was read may hold the field, under the rest of its name
            self.refused.update(at for at, value in enumerate(values) if isinstance(value, (dict, list)))
            return [MISSING] * len(values)
        if dict not in kinds and (list not in kinds or not text):
            return values
        checked = []
        for at, value in enumerate(values):
            one = value.get(text, value) if isinstance(value, dict) and text else value
            if isinstance(one, dict) or (text and isinstance(one, list) and not _SCALARS.issuperset(map(type, one))):
                self.refused.add(at)
                one = MISSING
            checked.append(one)
        return checked

    def _derived(self, values: list[Any], derived: Derived) -> list[Any]:
        missing = [at for at, value in enumerate(values) if value is MISSING]
        if not missing:
            return values
        parts = [self._at(_path(path)) for path in derived.paths]
        if len(missing) < len(values):
            parts = [[part[at] for at in missing] for part in parts]
        made = map(derived.make, *parts) if derived.make else map(_first_there, *parts)
        values = list(values)
        for at, one in zip(missing, made, strict=True):
            if one is not None:
                values[at] = one
        return values

    def _at(self, path: Path) -> list[Any]:
        values, text = self._found[path], self._reading.shape.text
        kinds = set(map(type, values))
        if dict in kinds and text:
            values = [value.get(text, value) if isinstance(value, dict) else value for value in values]
        return [None if value is MISSING else value for value in values] if type(MISSING) in kinds else values

    def _messages(self) -> Sequence[str]:
        make = self._reading.shape.message
        if make is None:
            return [raw.decode("utf-8", "replace") for raw in self._raws]
        return _Messages(make, self._raws, self.refused)


class _Messages(Sequence[str]):
    """The texts that keywords are searched in, each made when it is asked for."""

    def __init__(self, make: Callable[[Mapping[str, Any]], str], raws: Sequence[bytes], refused: set[int]) -> None:
        self._make, self._raws, self._refused = make, raws, refused
        self._known: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._raws)

    def __getitem__(self, at: Any) -> Any:
        text = self._known.get(at)
        if text is None:
            try:
                text = self._make(msgspec.json.decode(self._raws[at]))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # in a part that was passed over
                self._refused.add(at)
                text = ""
            self._known[at] = text
        return text


def _by_parts(shape: Shape, name: str) -> bool:
    """Whether a field has too many places: then only what may hold it is read, and where that is there, the record is
    read plainly.
    """
    return bool(shape.text) or name.count(".") >= _MAX_DOTS


def _constant_atoms(kind: Kind) -> Callable[[Atom], bool | None]:
    """A function that says whether an atom holds that only asks for constants of the kind; None for any other."""

    def judge(atom: Atom) -> bool | None:
        if atom.space != "native" or atom.field not in kind.constants or atom.predicate.kind == "field":
            return None
        key = key_of(kind.constants[atom.field])
        if atom.predicate.kind in {"exists", "missing"}:
            return atom.predicate.kind == "exists"
        if key is None or atom.predicate.kind == "null":
            return key is None and atom.predicate.kind == "null"
        test = holds(atom.predicate)
        return any(map(test, key)) if isinstance(key, tuple) else test(key)

    return judge


def _first_there(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _path(path: str) -> Path:
    return tuple(path.split("."))


def _by_place(match: Match) -> int:
    return match.at
