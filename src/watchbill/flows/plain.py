"""Frozen values as plain JSON for programs outside: the same words for the API and the command line.

Inside, times and durations are nanoseconds. Outside, a time is RFC 3339 in UTC and a duration is seconds, under the
same name with ``_seconds`` behind it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from watchbill.core.clock import SECOND
from watchbill.core.times import rfc3339

_TIMES = frozenset({
    "at", "time", "first", "last", "received", "start", "end", "since", "until", "hour", "next_try", "last_sign_in",
    "silent_since", "checked", "valid_until", "newest", "oldest",
})  # fmt: skip
_TIME_ENDINGS = ("_at", "_seen", "_time", "_until", "_since")
_DURATIONS = frozenset({"delay_p50", "delay_p95", "skew", "silent_after", "length", "to_acknowledge", "to_resolve"})
_FOR_EVER = 1 << 61


def plain(value: object) -> Any:
    """Turn a frozen value (or a list or dict of them) into dicts, lists, texts, numbers, booleans and None."""
    return _outside(msgspec.to_builtins(value, str_keys=True))


def _outside(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(_named(key, item) for key, item in value.items())
    if isinstance(value, list):
        return [_outside(item) for item in value]
    return value


def _named(key: str, value: Any) -> tuple[str, Any]:
    if type(value) is int:
        if (key in _TIMES or key.endswith(_TIME_ENDINGS)) and 0 < value < _FOR_EVER:
            return key, rfc3339(value)
        if key in _DURATIONS:
            return f"{key}_seconds", value / SECOND
    elif value is None and key in _DURATIONS:
        return f"{key}_seconds", None
    return key, _outside(value)
