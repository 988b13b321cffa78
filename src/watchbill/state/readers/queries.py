"""Where readers stand."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from watchbill.state.readers.models import GroupState, Position, SeenHead


class KnownHead(msgspec.Struct, frozen=True):
    """A log's head as it was seen last; ``root`` in hex."""

    shard: int
    origin: str
    size: int
    root: str
    at: int


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


def known_heads() -> dict[int, KnownHead]:
    """The heads of all logs as they were seen last, by shard."""
    return {row.shard: KnownHead(row.shard, row.origin, row.size, row.root, row.at) for row in SeenHead.objects.all()}
