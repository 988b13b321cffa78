"""What may come in: the types of query parameters, path parameters and bodies, with their bounds."""

from __future__ import annotations

import re
from typing import Annotated

from ninja import Schema
from pydantic import AfterValidator, ConfigDict, Field

from watchbill.api.auth import now
from watchbill.core.clock import DAY
from watchbill.core.errors import QueryError
from watchbill.core.times import parse_duration, parse_range

#: Largest page of a list.
MOST = 500
_EVER = 1 << 62
_LONGEST = 100 * 366 * DAY
_CURSOR = re.compile(r'[a-z0-9\[\]",_-]*')


def _storable(text: str) -> str:
    """Neither PostgreSQL nor UTF-8 takes these."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("text holds no NUL and no half of a surrogate pair")
    return text


def _cursor(text: str) -> str:
    numbers = [int(digits) for digits in re.findall(r"[0-9]{1,40}", text)]
    if not _CURSOR.fullmatch(text) or re.search(r"\d[a-z]", text) or any(number >= 1 << 63 for number in numbers):
        raise ValueError("this is no cursor: take it from the page before")
    return text


Word = Annotated[str, Field(max_length=500), AfterValidator(_storable)]
Text = Annotated[str, Field(max_length=20_000), AfterValidator(_storable)]
Number = Annotated[int, Field(ge=0, lt=1 << 63)]
Limit = Annotated[int, Field(ge=1, le=MOST, description="Most items of a page.")]
Buckets = Annotated[int, Field(ge=1, le=1000)]
Cursor = Annotated[str, Field(max_length=200, description="`next` of the page before."), AfterValidator(_cursor)]
Words = Annotated[tuple[Word, ...], Field(max_length=100)]
Range = Annotated[
    Word, Field(description='A time range in words: "last 24h", "today", "2026-03", "2026-03-01 to 2026-03-04", "all".')
]
Duration = Annotated[Word, Field(description='A length of time in words: "30s", "5m", "1h30m", "7d", "2w".')]
Moment = Annotated[
    Word, Field(description='As it was known at a past moment, for instance "2026-03-04T10:00"; empty: now.')
]
EventId = Annotated[
    str, Field(pattern=r"^[0-9]{1,5}-[0-9]{1,18}$", description="Its place in the ledger: shard-position.")
]


class Body(Schema):
    """A body; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


def within(words: str) -> tuple[int, int]:
    """A time range in words as [start, end). Raises QueryError."""
    start, end = parse_range(words, now())
    return max(start, 0), min(end, _EVER)


def bounds(words: str) -> tuple[int | None, int | None]:
    """Like ``within``, with None for what has no bound."""
    start, end = within(words)
    return start or None, None if end >= _EVER else end


def moment(words: str) -> int | None:
    """A past moment in words; None for now. Raises QueryError."""
    return within(words)[0] if words.strip() else None


def length(words: str) -> int:
    """A length of time in words. Raises QueryError."""
    found = parse_duration(words)
    if found > _LONGEST:
        raise QueryError(f"{words!r} is longer than anybody waits", mend="write at most 100 years: 36500d")
    return found


def place(event_id: str) -> tuple[int, int]:
    """(shard, position) of an event's id."""
    shard, _, position = event_id.partition("-")
    return int(shard), int(position)
