"""Canonical JSON: one value, one sequence of bytes, so that it can be hashed and signed.

Keys are sorted by code point, nothing is indented, text stays UTF-8. Numbers are integers only: floats have no
spelling that all languages agree on, so they are refused (RFC 8785 is the wider standard; this is the part of it
that needs no number formatting).
"""

from __future__ import annotations

import json


def dumps(value: object) -> bytes:
    """Return the canonical bytes of a value made of dict, list, str, int, bool and None."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError(f"a float has no canonical form: {value!r}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key must be text: {key!r}")
            _refuse_floats(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_floats(item)
