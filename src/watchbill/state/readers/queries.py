"""Where readers stand."""

from __future__ import annotations

from collections.abc import Iterator

from watchbill.state.readers.models import GroupState, Position


def position(name: str, shard: int) -> int:
    """The next position that the reader has to read; 0 for a reader that never was here."""
    row = Position.objects.filter(name=name, shard=shard).values_list("position", flat=True).first()
    return row or 0


def positions(name: str) -> dict[int, int]:
    return dict(Position.objects.filter(name=name).values_list("shard", "position"))


def states() -> Iterator[tuple[str, bytes]]:
    """All group states, for ``Detector.restore``."""
    for key, blob in GroupState.objects.values_list("key", "blob").iterator():
        yield key, bytes(blob)
