"""Times as people and logs write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.core.clock import DAY, HOUR, MINUTE
from watchbill.core.errors import QueryError
from watchbill.core.times import from_rfc3339, parse_duration, parse_range, rfc3339

NOW = from_rfc3339("2026-03-04T10:30:00Z")


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_a_time_survives_being_written(ns):
    """RFC 3339 keeps every nanosecond."""
    assert from_rfc3339(rfc3339(ns)) == ns


@pytest.mark.parametrize(
    ("words", "start", "length"),
    [
        ("last 24h", "2026-03-03T10:30:00Z", DAY + 1),
        ("last 7 days", "2026-02-25T10:30:00Z", 7 * DAY + 1),
        ("the past hour", "2026-03-04T09:30:00Z", HOUR + 1),
        ("today", "2026-03-04T00:00:00Z", DAY),
        ("yesterday", "2026-03-03T00:00:00Z", DAY),
        ("2026-02", "2026-02-01T00:00:00Z", 28 * DAY),
        ("2025", "2025-01-01T00:00:00Z", 365 * DAY),
        ("2026-03-04", "2026-03-04T00:00:00Z", DAY),
        ("2026-03-04T10:00", "2026-03-04T10:00:00Z", MINUTE),
        ("2026-03-01 to 2026-03-03", "2026-03-01T00:00:00Z", 3 * DAY),
        ("2026-03-01T10:00Z..2026-03-01T12:00Z", "2026-03-01T10:00:00Z", 2 * HOUR + MINUTE),
        ("90m", "2026-03-04T09:00:00Z", 90 * MINUTE + 1),
    ],
)
def test_ranges_in_words(words, start, length):
    """Each form means what it says."""
    begin, end = parse_range(words, NOW)
    assert (rfc3339(begin), end - begin) == (start, length)


@given(st.text(max_size=40))
def test_any_words_are_read_or_refused(words):
    """Nothing that a person types makes the reader fail otherwise."""
    try:
        parse_range(words, NOW)
    except QueryError as error:
        assert error.mend


def test_durations():
    """Parts add up."""
    assert parse_duration("1h30m") == 90 * MINUTE
    with pytest.raises(QueryError):
        parse_duration("5 apples")
