"""Fault 4: the power of a disk with a real ext4 is cut between any two of its blocks. ``make torture`` cuts 500 times."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from block_device import power_cuts


def test_a_power_cut_loses_nothing_that_was_acknowledged(tmp_path):
    """The journal is replayed by the kernel, the ledger by its writer; every acknowledged record is there."""
    if os.getuid() or not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs root, /dev/fuse and loop devices")
    kept = list(power_cuts(tmp_path, 10, random.Random(5)))
    assert len(kept) == 10
    assert max(kept) > 50
