"""What readers give: some records of a file, each with its place, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple


class Fault(NamedTuple):
    """Something of a file that could not be read, at a byte (or, in CSV, a line)."""

    place: int
    reason: str


class Batch(NamedTuple):
    """Records in order. ``places`` are unique within the file; ``size`` is how much of it (unpacked) is behind them."""

    raws: list[bytes]
    places: list[int]
    size: int
    faults: list[Fault]


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches that follow each other as one."""
    if len(batches) == 1:
        return batches[0]
    raws, places, sizes, faults = zip(*batches, strict=True)
    return Batch(list(chain(*raws)), list(chain(*places)), sum(sizes), list(chain(*faults)))
