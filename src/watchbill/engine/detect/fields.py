"""Looking a field up in an event's flat mapping, and in what is nested within it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.engine.detect.predicates import MISSING, text_of
from watchbill.sdk.events import Event


def lookup(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field, or MISSING. A dotted name also finds its way through objects and lists of objects."""
    value = fields.get(name, MISSING)
    if value is MISSING and "." in name:
        return nested(fields, name)
    return value


def nested(fields: Mapping[str, Any], name: str) -> Any:
    """Find "a.b.c" below a key "a.b" or "a"; the longest key that is there decides."""
    at = name.rfind(".")
    while at > 0:
        value = fields.get(name[:at], MISSING)
        if value is not MISSING:
            return dig(value, name[at + 1 :].split("."))
        at = name.rfind(".", 0, at)
    return MISSING


def dig(value: Any, path: list[str]) -> Any:
    """The value that a path leads to within another; of a list, those that it leads to within its items."""
    for depth, part in enumerate(path):
        if isinstance(value, list):
            found = [dig(item, path[depth:]) for item in value]
            found = [item for item in found if item is not MISSING]
            return found or MISSING
        if not isinstance(value, dict):
            return MISSING
        value = value.get(part, MISSING)
    return value


def text_field(event: Event, name: str) -> str:
    """A field's text for grouping and for people: OCSF first, then the source's own; "" when it is not there."""
    value = event.ocsf.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        value = event.native.get(name)
    if value is None and "." in name:
        value = nested(event.ocsf, name)
        if value is MISSING:
            value = nested(event.native, name)
    if value is None or value is MISSING:
        return ""
    return ", ".join(map(text_of, value)) if isinstance(value, list) else text_of(value)
