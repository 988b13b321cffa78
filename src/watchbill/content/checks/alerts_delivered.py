"""Alerts reach people: an enabled channel exists, and the last delivery of each arrived.

Reads ``channels``: [{"name": str, "enabled": bool, "deliveries": int, "last": null or "sent" | "failed" | "gave-up"},
…]: ``last`` is the outcome of the newest delivery (tests of the channel included) that is no longer queued.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed without an enabled channel or when a newest delivery failed; unknown while one was never tried."""
    channels = [channel for channel in snapshot["channels"] if channel["enabled"]]
    if not channels:
        return Verdict(Outcome.FAILED, "No channel is enabled: alerts reach nobody.", ("no enabled channel",))
    failed = sorted(
        f"{channel['name']}: {channel['last']}" for channel in channels if channel["last"] in {"failed", "gave-up"}
    )
    sent = sum(channel["last"] == "sent" for channel in channels)
    summary = f"The last delivery arrived on {sent} of {len(channels)} enabled channels."
    if failed:
        return Verdict(Outcome.FAILED, summary, tuple(failed))
    untried = sorted(f"{channel['name']}: never tried" for channel in channels if channel["last"] is None)
    return Verdict(Outcome.UNKNOWN if untried else Outcome.PASSED, summary, tuple(untried))


def _channel(last: str | None, *, enabled: bool = True) -> dict[str, Any]:
    return {"name": "on-call mail", "enabled": enabled, "deliveries": 0 if last is None else 3, "last": last}


CHECK = Check(
    id="alerts_delivered",
    title="Alerts reach people",
    controls=("A.8.16", "A.6.8", "A.5.24"),
    rationale="Detection without delivery ends at a screen that nobody looks at.",
    mend="Set up a channel, send a test through it, and read its last answer when it fails.",
    reads=("channels",),
    judge=judge,
    examples=(
        CheckExample({"channels": [_channel("sent"), _channel("failed", enabled=False)]}, Outcome.PASSED),
        CheckExample({"channels": [_channel("sent"), _channel("gave-up")]}, Outcome.FAILED),
        CheckExample({"channels": []}, Outcome.FAILED),
        CheckExample({"channels": [_channel(None)]}, Outcome.UNKNOWN),
    ),
)
