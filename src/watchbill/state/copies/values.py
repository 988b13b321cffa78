"""What copies give to others. Times are UTC nanoseconds."""

from __future__ import annotations

import msgspec


class CopyView(msgspec.Struct, frozen=True):
    """``kind`` is "folder" or "s3". ``config`` holds no secret; ``secrets`` names those that are set.

    ``upto`` is the number of records of each shard that the copy holds; ``lag`` how old the oldest record is that it
    does not hold yet, in nanoseconds (0: it has everything).
    """

    name: str
    kind: str
    config: dict[str, str]
    secrets: tuple[str, ...]
    added_by: str
    added_at: int
    copied_at: int
    upto: dict[str, int]
    behind_since: int
    verified_at: int
    error: str
