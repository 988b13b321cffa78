"""The disks that hold ledger and lake have room.

Reads ``storage``: [{"name": str, "used_bytes": int, "total_bytes": int}, …], one for each file system.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict

LIMIT_PERCENT = 85


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each file system at or above the limit; unknown when none could be measured."""
    measured = [part for part in snapshot["storage"] if part["total_bytes"] > 0]
    if not measured:
        return Verdict(Outcome.UNKNOWN, "No file system could be measured.")
    used = {part["name"]: part["used_bytes"] * 100 // part["total_bytes"] for part in measured}
    full = tuple(f"{name}: {percent} %" for name, percent in sorted(used.items()) if percent >= LIMIT_PERCENT)
    summary = f"{len(used) - len(full)} of {len(used)} file systems are below {LIMIT_PERCENT} %; the fullest is at {max(used.values())} %."
    return Verdict(Outcome.FAILED if full else Outcome.PASSED, summary, full)


def _storage(used: int, total: int = 100) -> dict[str, Any]:
    return {"storage": [{"name": "/", "used_bytes": used, "total_bytes": total}]}


CHECK = Check(
    id="storage_has_room",
    title="Storage for logs has room",
    controls=("A.8.6", "A.8.15"),
    rationale="A full disk ends logging, and nothing acknowledged may be lost.",
    mend="Make room or add some; look for a source that sends much more than it used to.",
    reads=("storage",),
    judge=judge,
    examples=(
        CheckExample(_storage(84), Outcome.PASSED),
        CheckExample(_storage(85), Outcome.FAILED),
        CheckExample(_storage(0, 0), Outcome.UNKNOWN),
        CheckExample({"storage": []}, Outcome.UNKNOWN),
    ),
    every="5m",
    max_age="1h",
)
