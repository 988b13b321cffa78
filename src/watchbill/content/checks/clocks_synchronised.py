"""The clocks of all living sources agree with ours.

Reads ``sources`` (see critical_assets_send): ``clock_skew_s`` is how many seconds a source's clock is ahead of ours
(negative: behind), null when it was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict

BOUND_S = 5


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each living source further off than the bound; unknown when none was measured, or not all."""
    alive = [source for source in snapshot["sources"] if source["state"] == "alive"]
    measured = [source for source in alive if source["clock_skew_s"] is not None]
    if not measured:
        return Verdict(Outcome.UNKNOWN, f"The clock of none of {len(alive)} living sources was measured.")
    wrong = sorted(
        (source["name"], source["clock_skew_s"]) for source in measured if abs(source["clock_skew_s"]) > BOUND_S
    )
    summary = f"{len(measured) - len(wrong)} of {len(alive)} living sources are within {BOUND_S} s."
    if wrong:
        return Verdict(Outcome.FAILED, summary, tuple(f"{name}: {skew:+d} s" for name, skew in wrong))
    if len(measured) < len(alive):
        unmeasured = sorted(source["name"] for source in alive if source["clock_skew_s"] is None)
        return Verdict(Outcome.UNKNOWN, summary, tuple(f"{name}: not measured" for name in unmeasured))
    return Verdict(Outcome.PASSED, summary)


def _source(skew: int | None, state: str = "alive") -> dict[str, Any]:
    return {
        "name": "db-01/auth.log", "asset": "db-01", "state": state, "events": 10, "parse_failures": 0, "clock_skew_s": skew,
    }  # fmt: skip


CHECK = Check(
    id="clocks_synchronised",
    title="The clocks of all sources agree",
    controls=("A.8.17",),
    rationale="Without a common time the order of events cannot be shown.",
    mend="Point the source to the organisation's time servers (NTP) and see that its offset shrinks.",
    reads=("sources",),
    judge=judge,
    examples=(
        CheckExample({"sources": [_source(0), _source(-5)]}, Outcome.PASSED),
        CheckExample({"sources": [_source(0), _source(-6)]}, Outcome.FAILED),
        CheckExample({"sources": [_source(0), _source(None)]}, Outcome.UNKNOWN),
        CheckExample({"sources": [_source(900, "silent")]}, Outcome.UNKNOWN),
        CheckExample({"sources": []}, Outcome.UNKNOWN),
    ),
)
