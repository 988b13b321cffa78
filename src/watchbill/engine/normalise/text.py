"""Bytes to text that is safe to search, show and print."""

from __future__ import annotations

import re

#: Control characters (C0 but the tab, DEL, C1) to their \xNN spelling: nothing in a log may move a cursor. Those that
#: turn the direction of writing (https://trojansource.codes) to \uNNNN: nothing may stand where it does not belong.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))}
_CONTROLS |= {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_SURROGATE = re.compile("[\udc80-\udcff]")
_LINE_END = "\r\n\0"


def decode(raw: bytes) -> str:
    r"""Decode a record as UTF-8; undecodable bytes and control characters become \xNN, the line's end goes away."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    text = text.rstrip(_LINE_END)
    return text if text.isprintable() else safe(text)


def decode_json(raw: bytes) -> str:
    r"""Decode a JSON record: an undecodable byte becomes \\xNN, which reads \xNN once the JSON is decoded."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        # Surrogates stand for the bad bytes until they are spelled.
        return _SURROGATE.sub(
            lambda match: f"\\\\x{ord(match[0]) - 0xDC00:02x}", raw.decode("utf-8", "surrogateescape")
        )


def safe(text: str) -> str:
    r"""Spell control characters as \xNN (the tab stays) and drop a byte order mark at the start."""
    return text.removeprefix("\ufeff").translate(_CONTROLS)
