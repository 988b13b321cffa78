"""What the trail gives to others."""

from __future__ import annotations

from typing import Any

import msgspec

from watchbill.core import canonical

SYSTEM = "system"


class Act(msgspec.Struct, frozen=True):
    """Something that was done and is to be recorded. ``detail`` is plain JSON without floats (it gets hashed)."""

    actor: str
    action: str
    kind: str
    object_id: str
    detail: dict[str, Any]
    at: int


class Entry(msgspec.Struct, frozen=True):
    """A recorded act. ``shard`` and ``position`` say where in the ledger it stands; None until it was forwarded."""

    id: int
    at: int
    actor: str
    action: str
    kind: str
    object_id: str
    detail: dict[str, Any]
    shard: int | None = None
    position: int | None = None

    def record(self) -> bytes:
        """The line that goes into the ledger. ``entry`` lets a reader recognise one that was forwarded twice."""
        return canonical.dumps(
            {
                "watchbill": 1,
                "entry": self.id,
                "event": self.action,
                "at": self.at,
                "actor": self.actor,
                "object": {"kind": self.kind, "id": self.object_id},
                "detail": self.detail,
            }
        )


class TrailFilter(msgspec.Struct, frozen=True):
    """``action`` may end in a dot to mean all of a family ("alert."). ``before`` is the id to page on from."""

    actor: str = ""
    action: str = ""
    kind: str = ""
    object_id: str = ""
    start: int | None = None
    end: int | None = None
    before: int | None = None
    limit: int = 100
