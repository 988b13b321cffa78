"""Rules against raw JSON records: of most of them only what routes is decoded, of the rest what rules ask for.

    raws ─► header (narrow struct) ─► by kind: no rules ─► done
                                          └─► fields that its rules name (narrow struct) ─► columns ─► program

The programs are those of the live path, and ``Shape.read`` says what must come out. A record that the narrow structs do
not take is read plainly, and what is of another shape, or no JSON, is handed back: nothing is lost on the way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import msgspec

from watchbill.engine.detect.conditions import And, folded
from watchbill.engine.detect.index import key_of, pair_of
from watchbill.engine.detect.keywords import Keywords
from watchbill.engine.detect.match import EventColumns, Match, keys_of
from watchbill.engine.detect.narrow import Narrow, Path
from watchbill.engine.detect.plan import atoms_of
from watchbill.engine.detect.predicates import MISSING, Atom, holds
from watchbill.engine.detect.program import Names, Program
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.verify import Column, Folded
from watchbill.sdk.events import Event, LogSource
from watchbill.sdk.shapes import Derived, Kind, Shape

_PLAIN = {str, int, type(None)}
_SCALARS = {str, int, float, bool, type(None)}
_MAX_HEADERS = 16_384
_MAX_ROUTES = 4_096
#: A dotted field may stand under keys that have dots themselves; beyond so many ways of it the record is read plainly.
_MAX_DOTS = 5


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
        self._header = Narrow(self._paths)
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
            if route is not None and route.program is not None:
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
        routes = []
        for header in headers:
            try:
                routes.append(self._by_header[header])
            except KeyError:
                routes.append(self._new_route(header))
        return routes

    def _scalars(self, values: list[Any]) -> list[Any]:
        """A header column as keys: None for what is not there, and nothing that is equal to what it is not."""
        kinds = set(map(type, values))
        if dict in kinds and self.shape.text:
            text = self.shape.text
            values = [value.get(text, value) if type(value) is dict else value for value in values]
            kinds = set(map(type, values))
        if kinds <= {str, int}:
            return values
        return [None if value is MISSING else value if type(value) in _PLAIN else _Odd((value,)) for value in values]

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
            route = self._routes[identity] = _Route(asked.rules, self.shape, kind)
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
            if route.program is not None:
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
        self.rules = [rule for rule in rules if rule.route.takes(source, 0)]
        self._atoms: dict[str, list[Atom]] = defaultdict(list)
        self._related: set[str] = set()
        for atom in dict.fromkeys(atom for rule in self.rules for atom in atoms_of(rule.expression)):
            if atom.predicate.kind == "field":
                self._related |= {atom.field, atom.predicate.argument[0]}
            elif atom.space == "native":
                self._atoms[atom.field].append(atom)

    def of(self, kind: Kind) -> tuple[object, ...]:
        """What the rules can know of a kind's constants: the answers to what they ask, and values to compare with."""
        judge = _constant_atoms(kind)
        names = tuple(sorted(kind.constants))
        compared = tuple((type(kind.constants[name]), kind.constants[name]) for name in names if name in self._related)
        return names, compared, tuple(judge(atom) for name in names for atom in self._atoms.get(name, ()))


class _Route:
    """What is done with the records of one kind: its program, and how to read the fields that it asks for."""

    def __init__(self, rules: Iterable[Rule], shape: Shape, kind: Kind) -> None:
        self.shape = shape
        self.kind = kind
        left = [(rule, folded(rule.expression, _constant_atoms(kind))) for rule in rules if rule.expression]
        remaining = [
            msgspec.structs.replace(rule, expression=_ALWAYS if one is True else one)
            for rule, one in left
            if one is not False
        ]
        self.program = Program(remaining) if remaining else None
        atoms = [atom for rule in remaining for atom in atoms_of(rule.expression)]
        others = [atom.predicate.argument[0] for atom in atoms if atom.predicate.kind == "field"]
        names = dict.fromkeys([*(atom.field for atom in atoms if atom.space == "native"), *others])
        self._roots = [tuple(root.split(".")) if root else () for root in shape.roots]
        self.fields = {name: self._paths(name) for name in names if name not in kind.constants}
        wanted = [path for paths in self.fields.values() for path in paths]
        wanted += [_path(path) for name in self.fields if name in kind.derived for path in kind.derived[name].paths]
        self._narrow = Narrow(wanted)
        self.keywords = Keywords(atom.predicate for atom in atoms if atom.space == "message")

    def _paths(self, name: str) -> list[Path]:
        """All places of a native field: in each root, and under keys with dots where its name has dots."""
        parts = name.split(".")
        if self.shape.text:  # the name itself, and whatever may hold the rest of it
            return [(*root, ".".join(parts[:count])) for root in self._roots for count in range(len(parts), 0, -1)]
        dots = range(1, len(parts)) if len(parts) <= _MAX_DOTS else range(0)
        found = []
        for root in self._roots:
            for count in range(len(dots), -1, -1):
                for cuts in combinations(dots, count):
                    edges = [0, *cuts, len(parts)]
                    found.append((*root, *(".".join(parts[a:b]) for a, b in pairwise(edges))))
        return found

    def judge(self, raws: Sequence[bytes]) -> tuple[list[Names], list[int]]:
        """The rules that each record matches, and the places of records that have to be read plainly."""
        assert self.program is not None  # noqa: S101 - the caller has looked
        if not self.fields:  # only keywords are left, which are looked for in the records as they are
            columns = _JsonColumns(self, raws, {})
            names = self.program.run(columns, len(raws))
            for at in columns.refused:
                names[at] = ()
            return names, sorted(columns.refused)
        read, unread = self._narrow.read(raws)
        skipped = set(unread)
        places = [at for at in range(len(raws)) if at not in skipped]
        columns = _JsonColumns(self, [raws[at] for at in places] if unread else raws, self._narrow.columns(read))
        names = [()] * len(raws)
        for at, matched in zip(places, self.program.run(columns, len(read)), strict=True):
            names[at] = matched
        refused = [places[at] for at in columns.refused]
        for at in refused:
            names[at] = ()
        return names, unread + refused


class _JsonColumns(dict[Column, Any]):
    """The columns of records that were read narrowly. ``refused`` are places of records in which a value turned out to
    be none that the narrow way gets right.
    """

    def __init__(self, route: _Route, raws: Sequence[bytes], found: Mapping[Path, list[Any]]) -> None:
        super().__init__()
        self._route = route
        self._raws = raws
        self._found = found
        self.refused: set[int] = set()
        self._values = {name: self._field(name, paths) for name, paths in route.fields.items()}

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
        constants = self._route.kind.constants
        return [constants[name]] * len(self._raws) if name in constants else self._values[name]

    def _field(self, name: str, paths: list[Path]) -> list[Any]:
        values = self._checked(self._found[paths[0]])
        for path in paths[1:]:
            more = self._found[path]
            if more.count(MISSING) == len(more):
                continue
            more = self._checked(more, part=bool(self._route.shape.text) and path[-1] != name)
            if "." in name:  # under two names at once, of which the last in the record counts
                pairs = enumerate(zip(values, more, strict=True))
                self.refused.update(at for at, (one, other) in pairs if one is not MISSING and other is not MISSING)
            values = [other if one is MISSING else one for one, other in zip(values, more, strict=True)]
        derived = self._route.kind.derived.get(name)
        return values if derived is None else self._derived(values, derived)

    def _checked(self, values: list[Any], part: bool = False) -> list[Any]:
        """Objects, and lists of them, are flattened and made text in ways that are left to ``Shape.read``."""
        text = self._route.shape.text
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
        values, text = self._found[path], self._route.shape.text
        kinds = set(map(type, values))
        if dict in kinds and text:
            values = [value.get(text, value) if isinstance(value, dict) else value for value in values]
        return [None if value is MISSING else value for value in values] if type(MISSING) in kinds else values

    def _messages(self) -> list[str]:
        make = self._route.shape.message
        if make is None:
            return [raw.decode("utf-8", "replace") for raw in self._raws]
        texts = [""] * len(self._raws)
        for at in self._route.keywords.possible(self._raws):
            try:
                texts[at] = make(msgspec.json.decode(self._raws[at]))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # in a part that was passed over
                self.refused.add(at)
        return texts


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
