"""What a search answers."""

from __future__ import annotations

import msgspec

from watchbill.lake.columns import Row

FACETS = ("host", "user", "src_ip", "class", "rule")


class Total(msgspec.Struct, frozen=True):
    """How many events match; when not ``exact`` there are at least so many."""

    count: int
    exact: bool

    def __str__(self) -> str:
        return f"{self.count:,}" if self.exact else f"at least {self.count:,}"


class SearchResult(msgspec.Struct, frozen=True):
    """A page of events. ``cursor`` asks for the next page ("" when this is the last one).

    When patience ended before the page was full, ``reached`` is the time (UTC nanoseconds) up to which everything was
    looked at, and the cursor goes on from there; otherwise it is None. ``took`` is in seconds.
    """

    rows: tuple[Row, ...]
    cursor: str
    total: Total
    took: float
    reached: int | None = None


class Bucket(msgspec.Struct, frozen=True):
    """Events in [start, end), UTC nanoseconds."""

    start: int
    end: int
    count: int


class Histogram(msgspec.Struct, frozen=True):
    """Counts over time; what is older than ``seen_from`` was not counted because patience ended. ``took``: seconds."""

    buckets: tuple[Bucket, ...]
    seen_from: int
    took: float


class Facets(msgspec.Struct, frozen=True):
    """The most frequent values of a few fields, as (value, count), in ``of`` matches: all of them when ``whole``."""

    fields: dict[str, tuple[tuple[str, int], ...]]
    of: int
    whole: bool
    took: float
