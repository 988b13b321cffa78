"""Counts by powers of two: bucket n counts values from 2**(n-1) up to 2**n - 1, bucket 0 counts values below 1."""

from __future__ import annotations

from collections.abc import Sequence


def add(histogram: list[int], value: int, count: int = 1) -> None:
    """Count a value in place."""
    bucket = max(value, 0).bit_length()
    if bucket >= len(histogram):
        histogram.extend([0] * (bucket + 1 - len(histogram)))
    histogram[bucket] += count


def merged(one: Sequence[int], other: Sequence[int]) -> list[int]:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return [count + (shorter[index] if index < len(shorter) else 0) for index, count in enumerate(longer)]


def halved(histogram: Sequence[int]) -> list[int]:
    """Forget half of it, so that what is new weighs more."""
    return [count // 2 for count in histogram]


def quantile(histogram: Sequence[int], share: float) -> int | None:
    """The value below which this share of the counted lies, interpolated within its bucket; None without counts."""
    total = sum(histogram)
    if not total:
        return None
    wanted = share * total
    for bucket, count in enumerate(histogram):
        if count and wanted <= count:
            low, high = ((1 << bucket) >> 1), (1 << bucket) - 1
            return round(low + (high - low) * (wanted / count))
        wanted -= count
    return (1 << (len(histogram) - 1)) - 1
