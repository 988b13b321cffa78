"""Times as people and logs write them, to and from UTC nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from watchbill.core.clock import DAY, HOUR, MINUTE, SECOND
from watchbill.core.errors import QueryError

_UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_UNIT_NAMES = {
    "second": SECOND, "minute": MINUTE, "min": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY,
    "sec": SECOND, "month": 30 * DAY, "year": 365 * DAY,
}  # fmt: skip
_LAST = re.compile(r"(?:the )?(?:last|past) (\d+ ?)?([a-z]+)")
_DURATION = re.compile(r"(\d+)\s*([smhdw])")
_MEND = 'write for instance "last 24h", "today", "2026-03", "2026-03-04" or "2026-03-04T10:00Z to 2026-03-04T12:00Z"'


def rfc3339(ns: int) -> str:
    """Spell UTC nanoseconds as RFC 3339 with as many fractional digits as are needed (0, 3, 6 or 9)."""
    seconds, fraction = divmod(ns, SECOND)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if not fraction:
        return f"{text}Z"
    digits = f"{fraction:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


def from_rfc3339(text: str) -> int:
    """Read an RFC 3339 (or ISO 8601) time into UTC nanoseconds; without an offset it is UTC. Raises ValueError."""
    match = re.match(r"(.*?[T ]\d\d:\d\d:\d\d)[.,](\d{1,9})\d*(.*)$", text)
    fraction = 0
    if match:
        text, digits, rest = match.groups()
        fraction = int(digits.ljust(9, "0"))
        text += rest
    return from_datetime(datetime.fromisoformat(text)) + fraction


def from_datetime(moment: datetime) -> int:
    """Turn a datetime (UTC when naive) into UTC nanoseconds, exactly."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds * 1_000


def to_datetime(ns: int) -> datetime:
    """Turn UTC nanoseconds into an aware datetime (microseconds are kept, the rest is cut)."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1_000)


def parse_duration(text: str) -> int:
    """Read "90s", "5m", "1h30m", "2d" or "1w" into nanoseconds. Raises QueryError."""
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise QueryError(f"{text!r} is no duration", mend='write for instance "30s", "5m", "1h30m" or "7d"')
    return sum(int(count) * _UNITS[unit] for count, unit in parts)


def parse_range(words: str, now: int) -> tuple[int, int]:
    """Read a time range in words into [start, end) in UTC nanoseconds. Raises QueryError.

    Understood: "last 24h", "last 7 days", "today", "yesterday", "this week", "all", a year, month, day or moment
    ("2026", "2026-03", "2026-03-04", "2026-03-04T10:00"), and two of those joined by " to " or "..".
    """
    text = " ".join(words.strip().split())
    lowered = text.lower()
    if lowered in {"", "all", "any time", "always"}:
        return 0, 1 << 62
    midnight = now - now % DAY
    named = {
        "today": (midnight, midnight + DAY),
        "yesterday": (midnight - DAY, midnight),
        "this week": (midnight - to_datetime(now).weekday() * DAY, now),
        "now": (now, now),
    }
    if lowered in named:
        return named[lowered]
    if match := _LAST.fullmatch(lowered):
        count, unit = match.groups()
        size = _UNITS.get(unit) or _UNIT_NAMES.get(unit.removesuffix("s"))
        if size:
            return now - int(count or 1) * size, now + 1
    for joint in (" to ", "..", " until "):
        if joint in lowered:
            at = lowered.index(joint)
            return parse_range(text[:at], now)[0], parse_range(text[at + len(joint) :], now)[1]
    if re.fullmatch(r"(\d+[smhdw])+", lowered):
        return now - parse_duration(lowered), now + 1
    return _calendar(text)


def parse_period(words: str, start: str, end: str, now: int) -> tuple[int, int]:
    """Read a period given by ``words`` or, instead, by its beginning and end (an empty one has no bound but now).

    Raises QueryError for words that are no range, and for a period that ends before it begins.
    """
    if start or end:
        found = (parse_range(start, now)[0] if start else 0), (parse_range(end, now)[0] if end else now)
    else:
        found = parse_range(words, now)
    if found[0] >= found[1]:
        raise QueryError("the period ends before it begins", mend="give --from the earlier time")
    return found


def _calendar(text: str) -> tuple[int, int]:
    try:
        if re.fullmatch(r"\d{4}", text):
            return _month(int(text), 1), _month(int(text) + 1, 1)
        if match := re.fullmatch(r"(\d{4})-(\d\d)", text):
            year, month = int(match[1]), int(match[2])
            return _month(year, month), _month(year + month // 12, month % 12 + 1)
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            start = from_rfc3339(text)
            return start, start + DAY
        start = from_rfc3339(text)
    except ValueError:
        raise QueryError(f"{text!r} is no time range", mend=_MEND) from None
    spelled = text.partition("T")[2] or text.partition(" ")[2]
    return start, start + (MINUTE if spelled.count(":") == 1 else SECOND)


def _month(year: int, month: int) -> int:
    return from_datetime(datetime(year, month, 1, tzinfo=UTC))
