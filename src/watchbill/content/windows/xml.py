"""Event XML, as Windows renders it, into the same object that the ``evtx`` library makes of the binary form.

https://learn.microsoft.com/en-us/windows/win32/wes/eventschema-schema
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

_DEPTH = 32
_ELEMENTS = 5_000
_TEXT, _ATTRIBUTES = "#text", "#attributes"


class _RefusedError(Exception):
    """Not an event, or more than an event may be."""


class _Builder:
    """Builds nested dicts; repeated elements become lists, <Data Name="x"> becomes the member x."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, str], dict[str, Any], list[str]]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= _DEPTH or self._count > _ELEMENTS:
            raise _RefusedError
        self._open.append((name.rpartition(":")[2], attributes, {}, []))

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1][3].append(data)

    def end(self, _name: str) -> None:
        name, attributes, members, parts = self._open.pop()
        said = "".join(parts)
        parent = self._open[-1][2] if self._open else self.root
        if name in {"Data", "ComplexData"} and "Name" in attributes:
            name = attributes.pop("Name")
            attributes.clear()
        attributes = {key: value for key, value in attributes.items() if not key.startswith("xmlns")}
        value: Any = members
        if not members:
            value = said if said.strip() or not attributes else None
        if attributes:
            value = value if isinstance(value, dict) else {} if value is None else {_TEXT: value}
            value[_ATTRIBUTES] = attributes
        self._put(parent, name, value or ("" if value is None or value == {} else value))

    @staticmethod
    def _put(parent: dict[str, Any], name: str, value: Any) -> None:
        if name not in parent:
            parent[name] = value
        elif isinstance(parent[name], list):
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]


def _refuse(*_: object) -> None:
    raise _RefusedError


def event_of(text: str) -> dict[str, Any] | None:
    """{"Event": {"System": …, "EventData": …}}, or None for what is no single well-formed event."""
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, _RefusedError, ValueError):
        return None
    event = builder.root.get("Event")
    return builder.root if isinstance(event, dict) and isinstance(event.get("System"), dict) else None
