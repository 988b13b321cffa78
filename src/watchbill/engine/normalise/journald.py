"""The journal's JSON export (https://systemd.io/JOURNAL_EXPORT_FORMATS/) as a line."""

from __future__ import annotations

from typing import Any

from watchbill.engine.normalise.text import decode, safe
from watchbill.sdk import Line


def is_journal(data: dict[str, Any]) -> bool:
    return "__REALTIME_TIMESTAMP" in data or ("MESSAGE" in data and "_BOOT_ID" in data)


def journal_line(data: dict[str, Any], received: int) -> Line:
    """Return the entry as a line. Times are microseconds; the sender's own (_SOURCE_…) goes before journald's."""
    return Line(
        text=_text(data.get("MESSAGE")),
        received=received,
        time=_time(data.get("_SOURCE_REALTIME_TIMESTAMP")) or _time(data.get("__REALTIME_TIMESTAMP")),
        host=_text(data.get("_HOSTNAME")),
        app=_text(data.get("SYSLOG_IDENTIFIER") or data.get("_COMM")),
        pid=_text(data.get("SYSLOG_PID") or data.get("_PID")),
        facility=_number(data.get("SYSLOG_FACILITY")),
        severity=_number(data.get("PRIORITY")),
        data=data,
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return safe(value.rstrip("\r\n"))
    if isinstance(value, list):
        # A field that is no printable UTF-8 comes as a list of bytes, a repeated field as a list of texts.
        if value and isinstance(value[0], (str, list)):
            return _text(value[0])
        try:
            return decode(bytes(value))
        except (TypeError, ValueError):
            return ""
    return "" if value is None else str(value)


def _number(value: Any) -> int:
    text = _text(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1


def _time(value: Any) -> int:
    text = _text(value)
    return int(text) * 1_000 if text.isascii() and text.isdigit() and len(text) < 19 else 0
