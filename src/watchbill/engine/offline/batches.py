"""What readers give: some records of a file, each with its place, and what could not be read."""

from __future__ import annotations

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
