"""JSON from strangers: bounded in depth and in numbers before anything recurses or overflows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isinf
from typing import Any

import msgspec

DEPTH = 64
#: So many members an object may have, those of objects in it among them: each costs as it is looked at.
MEMBERS = 20_000
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
_LOOKS = re.compile(r'\{\s*(?:"|\})')
_decoder = msgspec.json.Decoder()
_INT64 = 1 << 63


class Flawed(ValueError):  # noqa: N818 - names the record's state, not an error of ours
    """The text looks like JSON but cannot be used; the message is the reason for quarantine."""


def looks_like_object(text: str) -> bool:
    return _LOOKS.match(text) is not None


def decode_object(text: str) -> dict[str, Any]:
    """Decode a JSON object. Raises Flawed for what is truncated, malformed, too deep, too wide or has numbers
    out of range.
    """
    # A text with fewer openers than the limit cannot be too deep: the scan is for the rest.
    if text.count("{") + text.count("[") > DEPTH and _depth(text) > DEPTH:
        raise Flawed(f"JSON nested deeper than {DEPTH} levels")
    try:
        value = _decoder.decode(text.strip("\0"))
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise Flawed(f"malformed or truncated JSON: {str(error)[:160]}") from None
    if not isinstance(value, dict):
        raise Flawed("JSON, but no object")
    if text.count(":") > MEMBERS and _members(value) > MEMBERS:
        raise Flawed(f"JSON with more than {MEMBERS:,} members")
    if _out_of_range(value.values()):
        raise Flawed("JSON number out of the 64-bit range")
    return _without_nul(value) if "\\u0000" in text else value


def _without_nul(value: Any) -> Any:
    """Spell NUL, which neither Arrow's consumers nor terminals bear, as text."""
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    return value.replace("\0", "\\x00") if isinstance(value, str) else value


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _TOKENS.finditer(text):
        first = match[0][0]
        if first in "{[":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > DEPTH:
                break
        elif first in "}]":
            depth -= 1
    return deepest


def _members(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    return sum(map(_members, value)) if isinstance(value, list) else 0


def _out_of_range(values: Iterable[Any]) -> bool:
    """Whether a number among them, or within them, is none of 64 bits."""
    for value in values:
        kind = type(value)
        if kind is str:
            continue
        if kind is int:
            if not -_INT64 <= value < _INT64:
                return True
        elif kind is float:
            if isinf(value):
                return True
        elif (kind is dict and _out_of_range(value.values())) or (kind is list and _out_of_range(value)):
            return True
    return False
