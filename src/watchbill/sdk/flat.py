"""Flat fields: nested JSON as dotted paths, the form in which Sigma rules and the lake know fields."""

from __future__ import annotations

from typing import Any

#: An object with more fields than this keeps its remainder unflattened: bounded work for hostile input.
_MOST = 1_000
_UNITS = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000))


def flatten(data: dict[str, Any]) -> dict[str, Any]:
    """Return dotted paths to values; lists stay as they are, empty objects vanish."""
    if dict not in set(map(type, data.values())):  # as in most records of Windows
        return data.copy()
    fields: dict[str, Any] = {}
    _into(fields, "", data)
    return fields


def _into(fields: dict[str, Any], prefix: str, data: dict[str, Any]) -> None:
    for name, value in data.items():
        if type(value) is dict and len(fields) < _MOST:
            _into(fields, f"{prefix}{name}.", value)
        else:
            fields[f"{prefix}{name}"] = value


def epoch_ns(value: float) -> int:
    """Read a number since 1970 as nanoseconds; its size tells seconds, milli-, micro- and nanoseconds apart."""
    for limit, factor in _UNITS:
        if abs(value) < limit:
            return value * factor if isinstance(value, int) else round(value * 1_000) * (factor // 1_000)
    return int(value)
