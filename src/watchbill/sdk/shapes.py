"""How raw JSON records of a parser route and where their native fields stand, so that they can be matched undecoded.

A parser whose records are JSON objects may carry ``shapes``. A matcher then decodes only ``header``, asks ``kind`` once
for each distinct header, and of the kinds that have rules decodes only the fields that those rules name. What it finds
must be what it would find in ``Shape.read``, which is the plain reading of the same contract and what parsers use.

A dotted path leads through nested objects ("Event.System.Channel"). A part "*" stands for each member, whatever its
name ("Event.UserData.*"). An object with a member named ``Shape.text`` stands for that member's value, wherever it is
met (XML written as JSON: {"#attributes": {"Qualifiers": 0}, "#text": 7045} is 7045).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from watchbill.sdk.events import LogSource
from watchbill.sdk.flat import flatten


class Derived(NamedTuple):
    """A native field made of others: ``make`` gets the values at ``paths`` of the record, None for what is not there,
    and is pure; the field is not there when it returns None. Without ``make`` it is the first value that is there.
    """

    paths: tuple[str, ...]
    make: Callable[..., object] | None = None


class Kind(NamedTuple):
    """What records with one header are.

    ``constants`` are native fields that follow from the header: rules may be folded with them. ``derived`` are fields
    that the record has under another name or in another form. ``class_uid`` and ``activity_id`` are the OCSF class and
    activity that the parser gives them, None when the header alone does not tell.
    """

    logsource: LogSource
    constants: Mapping[str, object] = {}
    derived: Mapping[str, Derived] = {}
    class_uid: int | None = None
    activity_id: int | None = None


class Shape(NamedTuple):
    """One form that a parser's records have.

    ``header``: paths of the routing fields. ``kind``: from their values (None for one that is not there; scalars, else
    the record is of no shape) to what it is, None when it is not of this shape; pure, so remember it, within bounds.
    ``roots``: the objects whose members are native fields, "" being the record itself; nested objects are flattened
    with dots, empty ones vanish, lists stay. A field is looked for in ``constants``, then in the roots in their order,
    then in ``derived``. ``message``: the text that keywords are searched in, made of the decoded record; None says the
    record's own text.
    """

    header: tuple[str, ...]
    kind: Callable[[tuple[object, ...]], Kind | None]
    roots: tuple[str, ...] = ("",)
    text: str = ""
    message: Callable[[Mapping[str, Any]], str] | None = None

    def read(self, record: Mapping[str, Any]) -> tuple[Kind, dict[str, Any]] | None:
        """The record's kind and all its native fields; None when it is not of this shape."""
        header = tuple(self.at(record, path) for path in self.header)
        if any(isinstance(value, (dict, list)) for value in header):
            return None
        kind = self.kind(header)
        if kind is None:
            return None
        native = self.members(record)
        native.update(kind.constants)
        for name, (paths, make) in kind.derived.items():
            if name not in native:
                values = [self.at(record, path) for path in paths]
                value = make(*values) if make else next((one for one in values if one is not None), None)
                if value is not None:
                    native[name] = value
        return kind, native

    def members(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The members of the roots, by their flat names."""
        found: dict[str, Any] = {}
        for root in self.roots:
            for members in _walk(record, _parts(root) if root else ()):
                if isinstance(members, dict):
                    fields = flatten(self._texts(members))
                    if not found:
                        found = fields
                        continue
                    for name, value in fields.items():
                        found.setdefault(name, value)
        return found

    def at(self, record: Mapping[str, Any], path: str) -> Any:
        """The value at a dotted path without "*"; None when it is not there."""
        value: Any = record
        if "." in path:
            for part in _parts(path):
                if not isinstance(value, dict):
                    return None
                value = value.get(part)
        else:
            value = record.get(path)
        return value.get(self.text, value) if isinstance(value, dict) and self.text else value

    def _texts(self, members: dict[str, Any]) -> dict[str, Any]:
        if not self.text:
            return members
        return {
            name: self._text(value) if isinstance(value, (dict, list)) else value for name, value in members.items()
        }

    def _text(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._text(item) for item in value]
        if not isinstance(value, dict):
            return value
        return value[self.text] if self.text in value else {name: self._text(item) for name, item in value.items()}


@lru_cache(4_096)
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The objects that a path leads to; a "*" may lead to several."""
    if not path:
        yield value
    elif isinstance(value, dict):
        if path[0] == "*":
            for member in value.values():
                yield from _walk(member, path[1:])
        elif path[0] in value:
            yield from _walk(value[path[0]], path[1:])
