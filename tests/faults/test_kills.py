"""Fault 1: kill -9 at random points. ``make torture`` kills a thousand times."""

from __future__ import annotations

import random

from kills import kills


def test_killed_at_random_points_nothing_acknowledged_is_lost(nursery, tmp_path):
    """Each restart takes less than 5 s and finds every acknowledged record; in the end all of it verifies."""
    assert len(list(kills(nursery, tmp_path, 24, random.Random(4)))) == 24
