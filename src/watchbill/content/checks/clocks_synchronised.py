"""The clocks of all living sources agree with ours.

Reads ``sources`` (see critical_assets_send): ``skew_ms`` is how many milliseconds a source's clock is ahead of ours
(negative: behind), null when it was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict

BOUND_MS = 5_000


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each living source further off than the bound; unknown when none was measured, or not all."""
    alive = [source for source in snapshot["sources"] if source["state"] == "alive"]
    measured = [source for source in alive if source["skew_ms"] is not None]
    if not measured:
        return Verdict(Outcome.UNKNOWN, f"The clock of none of {len(alive)} living sources was measured.")
    wrong = sorted((source["name"], source["skew_ms"]) for source in measured if abs(source["skew_ms"]) > BOUND_MS)
    summary = f"{len(measured) - len(wrong)} of {len(alive)} living sources are within {BOUND_MS} ms."
    if wrong:
        return Verdict(Outcome.FAILED, summary, tuple(f"{name}: {skew:+d} ms" for name, skew in wrong))
    if len(measured) < len(alive):
        unmeasured = sorted(source["name"] for source in alive if source["skew_ms"] is None)
        return Verdict(Outcome.UNKNOWN, summary, tuple(f"{name}: not measured" for name in unmeasured))
    return Verdict(Outcome.PASSED, summary)


def _source(skew: int | None, state: str = "alive") -> dict[str, Any]:
    return {"name": "db-01/auth.log", "state": state, "events": 10, "quarantined": 0, "skew_ms": skew}


CHECK = Check(
    id="clocks_synchronised",
    title="The clocks of all sources agree",
    controls=("A.8.17",),
    rationale="Without a common time the order of events cannot be shown.",
    mend="Point the source to the organisation's time servers (NTP) and see that its offset shrinks.",
    reads=("sources",),
    judge=judge,
    examples=(
        CheckExample({"sources": [_source(0), _source(-5_000)]}, Outcome.PASSED),
        CheckExample({"sources": [_source(0), _source(-5_001)]}, Outcome.FAILED),
        CheckExample({"sources": [_source(0), _source(None)]}, Outcome.UNKNOWN),
        CheckExample({"sources": [_source(900_000, "silent")]}, Outcome.UNKNOWN),
        CheckExample({"sources": []}, Outcome.UNKNOWN),
    ),
)
