"""Fault 3: of every disk that a crash may leave, none has lost an acknowledged record, and the writer starts on each."""

from __future__ import annotations

import random

import pytest
from crash_states import build
from judging import judge
from scenarios import SCENARIOS, play


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_no_crash_state_loses_what_was_acknowledged(scenario, nursery, scratch):
    """A sample of the states of each recorded run; ``make torture`` takes a hundred thousand."""
    found = list(play(nursery, scenario, scratch, 1, random.Random(1), 4))
    for number, state in enumerate(random.Random(2).sample(found, 24)):
        build(state, scratch / f"{number}")
        try:
            assert judge(scratch / f"{number}", 1, state.acknowledged) >= state.acknowledged
        except Exception as error:
            raise AssertionError(f"{scenario.name}, {state.story}: {error}") from error
    assert len(found) > 200
    assert max(state.acknowledged for state in found) > 150
