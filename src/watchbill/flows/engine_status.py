"""What the engine says of itself, every few seconds, for whoever asks: a small file that a restart may lose."""

from __future__ import annotations

import contextlib

import msgspec

from watchbill.core.paths import DataDir

_NAME = "engine-status.json"


class EngineStatus(msgspec.Struct, frozen=True):
    """As of ``at`` (UTC nanoseconds): by how many ``rules`` it judges (``rules_refused`` do not run), and how many
    records are durable and not judged yet (``behind``). ``groups`` are windows that are open, ``spilled`` those of them
    on disk. Since it started: events that came beyond the lateness bound (``late``: judged and flagged), events that
    came again (``repeated``: counted once), events without a number where one is summed up (``unusable``), and stored
    windows that could not be used, of rules that changed or went (``discarded``).
    """

    at: int
    rules: int
    rules_refused: int
    behind: int
    groups: int
    spilled: int
    late: int
    repeated: int
    unusable: int
    discarded: int


def write(data: DataDir, status: EngineStatus) -> None:
    """Replace what was said before; on a full disk nothing is said."""
    path = data.run / _NAME
    partial = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        partial.write_bytes(msgspec.json.encode(status))
        partial.replace(path)


def read(data: DataDir) -> EngineStatus | None:
    """What was said last; None before an engine ran."""
    try:
        return msgspec.json.decode((data.run / _NAME).read_bytes(), type=EngineStatus)
    except (OSError, msgspec.MsgspecError):
        return None
