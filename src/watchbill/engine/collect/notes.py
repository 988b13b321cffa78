"""What the receivers themselves have to say, as internal events (JSON lines of the source "watchbill")."""

from __future__ import annotations

import orjson

from watchbill.engine.collect.framing import Cut
from watchbill.engine.collect.origin import Origin

NAME = "watchbill"
TRANSPORT = "internal"


def note(event: str, at: int, origin: Origin, **detail: str | int) -> bytes:
    """One internal event about a source; ``at`` is UTC nanoseconds."""
    return orjson.dumps(
        {
            "watchbill": 1,
            "event": event,
            "at": at,
            "actor": "system",
            "object": {"kind": "source", "id": origin.name},
            "detail": {"transport": origin.transport, **detail},
        }
    )


def cut_short(cut: Cut, at: int, origin: Origin) -> bytes:
    """A record was longer than the limit: what it was, so that the whole can be recognised elsewhere."""
    return note("source.cut", at, origin, length=cut.length, kept=cut.kept, sha256=cut.sha256)


def gap(at: int, origin: Origin, reason: str, **detail: str | int) -> bytes:
    """Records were lost, or may have been; ``reason`` says how."""
    return note("source.gap", at, origin, reason=reason, **detail)


def refused(at: int, origin: Origin, address: str, reason: str, **detail: str | int) -> bytes:
    """A peer was sent away before it could send anything."""
    return note("source.refused", at, origin, address=address, reason=reason, **detail)


def replayed(at: int, origin: Origin, address: str, **detail: str | int) -> bytes:
    """A batch came again that was acknowledged long ago: no sender does that by itself."""
    return note("source.replayed", at, origin, address=address, **detail)


def incident(event: str, at: int, **detail: int) -> bytes:
    """Something befell the machine: its clock was set ("clock.stepped"), its disk was full ("storage.full")."""
    thing = {"kind": "machine", "id": event.partition(".")[0]}
    return orjson.dumps(
        {"watchbill": 1, "event": event, "at": at, "actor": "system", "object": thing, "detail": detail}
    )
