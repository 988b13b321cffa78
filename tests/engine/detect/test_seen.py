"""Positions that were judged are known again, and no other is."""

from hypothesis import given
from hypothesis import strategies as st

from watchbill.engine.detect.seen import Seen


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), max_size=8))
def test_positions_are_known_again(batches):
    """Whatever the order and the gaps, and after each batch stored and restored."""
    known, seen = set(), Seen()
    for batch in batches:
        expected = set()
        for place, position in enumerate(batch):
            if position in known:
                expected.add(place)
            known.add(position)
        assert seen.add(0, batch) == expected
        blob, seen = seen.encode(), Seen()
        seen.restore(blob)
