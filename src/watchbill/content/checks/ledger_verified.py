"""The ledger was verified lately, as a whole, and nothing was found.

Reads ``ledger``: {"now_s": int, "events": int, "verified": null or {"at_s": int, "ok": bool, "events": int,
"findings": [str, …]}}. Times are seconds since 1970; ``events`` of the verification is how many it covered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict

DAY_S = 86_400


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed when the last verification found something or is older than a day; unknown when there was none."""
    ledger = snapshot["ledger"]
    last = ledger["verified"]
    if not ledger["events"]:
        return Verdict(Outcome.UNKNOWN, "The ledger is empty: there is nothing to verify yet.")
    if last is None:
        return Verdict(Outcome.UNKNOWN, f"The ledger of {ledger['events']} events was never verified.")
    if not last["ok"]:
        count = len(last["findings"])
        return Verdict(Outcome.FAILED, f"The last verification found {count} faults.", tuple(last["findings"]))
    hours = (ledger["now_s"] - last["at_s"]) // 3600
    if ledger["now_s"] - last["at_s"] > DAY_S:
        late = f"The last clean verification is {hours} h old; it is due every 24 h."
        return Verdict(Outcome.FAILED, late, ("verification is overdue",))
    return Verdict(Outcome.PASSED, f"{last['events']} events were verified {hours} h ago and nothing was found.")


CHECK = Check(
    id="ledger_verified",
    title="The ledger is verified daily and clean",
    controls=("A.8.15", "A.5.33", "A.5.28"),
    rationale="A log proves something only as long as somebody checks that nobody changed it.",
    mend="Run watchbill verify and read its first finding; see that the worker runs, which verifies every day.",
    reads=("ledger",),
    judge=judge,
    examples=(
        CheckExample(
            {
                "ledger": {
                    "now_s": 90_000,
                    "events": 9,
                    "verified": {"at_s": 80_000, "ok": True, "events": 9, "findings": []},
                }
            },
            Outcome.PASSED,
        ),
        CheckExample(
            {
                "ledger": {
                    "now_s": 90_000,
                    "events": 9,
                    "verified": {"at_s": 100, "ok": True, "events": 9, "findings": []},
                }
            },
            Outcome.FAILED,
        ),
        CheckExample(
            {
                "ledger": {
                    "now_s": 90_000,
                    "events": 9,
                    "verified": {
                        "at_s": 80_000,
                        "ok": False,
                        "events": 9,
                        "findings": ["0/00000001.log: leaf 7 differs"],
                    },
                }
            },
            Outcome.FAILED,
        ),
        CheckExample({"ledger": {"now_s": 90_000, "events": 9, "verified": None}}, Outcome.UNKNOWN),
        CheckExample({"ledger": {"now_s": 90_000, "events": 0, "verified": None}}, Outcome.UNKNOWN),
    ),
)
