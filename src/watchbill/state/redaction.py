"""Keeps secrets out of what our own processes say."""

from __future__ import annotations

import logging
import re

_SECRETS = (
    (re.compile(r"\bwb_[A-Za-z0-9_-]{6,}"), "wb_…"),
    (re.compile(r"(?<=://)([^/\s:@]*):[^@\s/]+@"), r"\1:…@"),
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|token|api[_-]?key|authorization|cookie|sessionid)\b"
            r"(['\"]?\s*[:=]\s*)(?:(?:bearer|basic)\s+)?['\"]?[^\s'\",;&]+"
        ),
        r"\1\2…",
    ),
)


def redact(text: str) -> str:
    """Replace API tokens, passwords in URLs and values of fields that are named like secrets by "…"."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Redact(logging.Filter):
    """Redacts a log record's message, with its arguments put in, before any handler writes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        return True


class RedactingFormatter(logging.Formatter):
    """Redacts tracebacks too: exceptions like to quote what they were given."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
