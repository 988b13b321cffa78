"""What the receiving process says of its receivers. Knows no database."""

from __future__ import annotations

import msgspec
import orjson

from watchbill.core.paths import DataDir


class ListenerView(msgspec.Struct, frozen=True):
    """A receiver of this installation. ``where`` is its address while it listens; ``reason`` why it does not."""

    kind: str
    state: str
    where: str
    reason: str


def listeners(data: DataDir) -> tuple[ListenerView, ...]:
    """What the receiving process says of its receivers; nothing when it never ran."""
    try:
        sources = orjson.loads((data.run / "collect-status.json").read_bytes())["sources"]
    except (OSError, ValueError, KeyError):
        return ()
    found = []
    for one in sources:
        if one["transport"] == "receiver":
            listens = one["state"] == "listening"
            where, reason = (one["reason"], one["last_error"]) if listens else ("", one["reason"] or one["last_error"])
            found.append(ListenerView(one["name"].partition(":")[2], one["state"], where, reason))
    return tuple(found)
