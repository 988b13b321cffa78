"""The fields that rules ask for, read out of raw JSON records as columns, without the rest of them.

What comes out is what ``Shape.read`` would find; of records that the narrow way does not get right the places are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import msgspec

from watchbill.engine.detect.index import pairs_of
from watchbill.engine.detect.match import keys_of
from watchbill.engine.detect.narrow import Narrow, Path
from watchbill.engine.detect.plan import atoms_of
from watchbill.engine.detect.predicates import MISSING
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.verify import Column, Folded
from watchbill.sdk.shapes import Derived, Kind, Shape

_SCALARS = {str, int, float, bool, type(None)}
#: A dotted field may stand under keys that have dots themselves; beyond so many ways of it the record is read plainly.
_MAX_DOTS = 5


class Reading:
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

    def columns(self, raws: Sequence[bytes], places: Sequence[int]) -> tuple[Sequence[int], JsonColumns]:
        """The places of those records that can be read narrowly, and their columns."""
        if not self.fields:  # only messages are asked for, which are made of whole records
            return places, JsonColumns(self, raws, {})
        read, unread = self._narrow.read(raws)
        if unread:
            skipped = set(unread)
            raws = [raw for at, raw in enumerate(raws) if at not in skipped]
            places = [place for at, place in enumerate(places) if at not in skipped]
        return places, JsonColumns(self, raws, self._narrow.columns(read))

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


class JsonColumns(dict[Column, Any]):
    """The columns of records that were read narrowly, each made when it is first asked for. ``refused`` are places of
    records in which a value turned out to be none that the narrow way gets right.
    """

    def __init__(self, reading: Reading, raws: Sequence[bytes], found: Mapping[Path, list[Any]]) -> None:
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
            keys = pairs_of(self._of(column.field), self._of(column.other))
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


def _first_there(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _path(path: str) -> Path:
    return tuple(path.split("."))
