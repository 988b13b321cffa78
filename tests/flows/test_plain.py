"""Values for programs outside: valid JSON, times as RFC 3339, durations in seconds, nothing lost."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from watchbill.core.times import from_rfc3339
from watchbill.flows.plain import plain

NAMES = st.sampled_from(["at", "first_seen", "skew", "silent_after", "name", "events", "next_try", "opened_at"])
#: Times from 1970 on, to the nanosecond, beside small numbers.
NUMBERS = st.integers(1, 4_000_000_000 * 10**9) | st.integers(0, 100)
LEAVES = st.none() | st.booleans() | NUMBERS | st.text(max_size=5)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))


def leaves(value, name=""):
    """Every plain value, with the name that it stands under."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield name, value


@given(VALUES)
def test_whatever_goes_in_valid_json_comes_out(value):
    """As many values as before, each readable by any JSON reader; no time or duration is left in nanoseconds."""
    out = plain(value)
    assert msgspec.json.decode(msgspec.json.encode(out)) == out
    assert len(list(leaves(out))) == len(list(leaves(value)))
    for name, item in leaves(out):
        if name in {"at", "first_seen", "next_try", "opened_at"} and type(item) is int:
            assert item == 0
        assert name not in {"skew", "silent_after"} or type(item) is not int


@given(st.integers(1, 4_000_000_000 * 10**9))
def test_times_and_durations_keep_their_value(nanoseconds):
    """To the nanosecond for times, to a float's precision for durations."""
    out = plain({"at": nanoseconds, "skew": nanoseconds})
    assert from_rfc3339(out["at"]) == nanoseconds
    assert abs(out["skew_seconds"] * 10**9 - nanoseconds) <= nanoseconds * 1e-15 + 1


class Inner(msgspec.Struct, frozen=True):
    seen_at: int
    tags: tuple[str, ...]


class Outer(msgspec.Struct, frozen=True):
    inner: tuple[Inner, ...]
    counts: dict[int, int]


def test_structs_within_structs():
    """Frozen values in tuples and dicts with numbers as keys come out whole."""
    out = plain(Outer((Inner(1_772_712_000 * 10**9, ("a",)),), {7: 1}))
    assert out == {"inner": [{"seen_at": "2026-03-05T12:00:00Z", "tags": ["a"]}], "counts": {"7": 1}}
