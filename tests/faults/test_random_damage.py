"""Fault 8: truncation and bit flips of any file of a ledger. ``make torture`` does two thousand."""

from __future__ import annotations

import random
from collections import Counter

from tampering import tampered


def test_every_change_of_a_file_is_found_and_placed(tmp_path):
    """The verifier names the file; the few changes that change nothing are known (see tampering.py)."""
    found = list(tampered(tmp_path, 40, random.Random(3)))
    assert [one.wrong for one in found if one.wrong] == []
    assert Counter(one.found for one in found)[True] > 25
