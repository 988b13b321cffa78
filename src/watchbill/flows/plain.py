"""Frozen values as plain JSON for programs outside: the same words for the API and the command line.

Inside, times and durations are nanoseconds. Outside, a time is RFC 3339 in UTC (null for "never" and "for ever") and
a duration is seconds, under the same name with ``_seconds`` behind it. A named tuple is an object as a struct is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from watchbill.core.clock import SECOND
from watchbill.core.times import rfc3339

_TIMES = frozenset({
    "at", "time", "first", "last", "received", "start", "end", "since", "until", "hour", "next_try", "last_sign_in",
    "silent_since", "checked", "valid_until", "newest", "oldest", "reached", "seen_from",
})  # fmt: skip
_TIME_ENDINGS = ("_at", "_seen", "_time", "_until", "_since")
_DURATIONS = frozenset({
    "delay_p50", "delay_p95", "skew", "silent_after", "length", "to_acknowledge", "to_resolve", "max_age",
    "least_delay",
})  # fmt: skip
#: What others gave us and has units of its own: an OCSF event counts in milliseconds.
_FOREIGN = frozenset({"ocsf", "snapshot", "facts"})
_FOR_EVER = 1 << 62


def is_time(name: str) -> bool:
    """Whether an integer of this name is UTC nanoseconds."""
    return name in _TIMES or name.endswith(_TIME_ENDINGS)


def is_duration(name: str) -> bool:
    """Whether an integer of this name is a length in nanoseconds."""
    return name in _DURATIONS


def is_foreign(name: str) -> bool:
    """Whether what stands under this name is handed on as it is."""
    return name in _FOREIGN


def plain(value: object) -> Any:
    """Turn a frozen value (or a list or dict of them) into dicts, lists, texts, numbers, booleans and None."""
    if isinstance(value, msgspec.Struct):
        return _object((name, getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, dict):
        return _object((str(name), item) for name, item in value.items())
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _object(value._asdict().items())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return msgspec.to_builtins(value)


def _object(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return dict(_named(name, value) for name, value in fields)


def _named(name: str, value: Any) -> tuple[str, Any]:
    if is_foreign(name):
        return name, msgspec.to_builtins(value, str_keys=True)
    if type(value) is int:
        if is_time(name):
            return name, rfc3339(value) if value and value < _FOR_EVER else None
        if is_duration(name):
            return f"{name}_seconds", value / SECOND
    elif value is None and is_duration(name):
        return f"{name}_seconds", None
    return name, plain(value)
