"""Readers' progress: stored with its results or not at all."""

from __future__ import annotations

import pytest

from watchbill.core.errors import ConflictError
from watchbill.state.readers import actions, queries


def test_positions_and_states_are_kept_together():
    """The last state of a key counts, None forgets it."""
    actions.save("detect", {0: 10, 1: 3}, [("a", b"1"), ("b", b"2"), ("a", b"3")])
    actions.save("detect", {0: 20}, [("b", None), ("none", None)])
    assert queries.positions("detect") == {0: 20, 1: 3}
    assert (queries.position("detect", 0), queries.position("lake", 0)) == (20, 0)
    assert dict(queries.states()) == {"a": b"3"}


def test_a_position_never_goes_back():
    """Two engines on one installation would judge everything twice; the second is refused."""
    actions.save("detect", {0: 10})
    with pytest.raises(ConflictError, match="second engine"):
        actions.save("detect", {0: 9})


def test_thousands_of_states():
    """A busy batch touches many groups."""
    actions.save("detect", {0: 1}, [(f"k{n}", b"x") for n in range(3000)])
    actions.save("detect", {0: 2}, [(f"k{n}", None) for n in range(2500)])
    assert len(list(queries.states())) == 500
    actions.forget("detect")
    assert queries.position("detect", 0) == 0
