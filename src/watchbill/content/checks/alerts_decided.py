"""No alert of high or critical severity waits for a decision beyond its deadline.

Reads ``alerts``: {"now_s": int, "total": int, "open": [{"id": str, "title": str, "severity": str, "opened_s": int},
…]}: ``open`` are those that nobody has acknowledged, ``total`` all alerts there ever were; times in seconds since
1970. Nothing open is a pass only once there was an alert at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict

#: Seconds until somebody must have taken it.
DEADLINES_S = {"critical": 3_600, "high": 4 * 3_600}


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each open alert beyond its deadline; unknown when there was never an alert."""
    alerts = snapshot["alerts"]
    if not alerts["total"]:
        return Verdict(Outcome.UNKNOWN, "There was no alert yet: whether they are decided in time cannot be told.")
    bound = [alert for alert in alerts["open"] if alert["severity"] in DEADLINES_S]
    late = [alert for alert in bound if alerts["now_s"] - alert["opened_s"] > DEADLINES_S[alert["severity"]]]
    late.sort(key=lambda alert: int(alert["opened_s"]))
    summary = f"{len(late)} of {len(bound)} open alerts of high or critical severity are beyond their deadline."
    if not late:
        return Verdict(Outcome.PASSED, summary)
    findings = (
        f"{alert['id']} {alert['title']} ({alert['severity']}): open for {(alerts['now_s'] - alert['opened_s']) // 60} min"
        for alert in late
    )
    return Verdict(Outcome.FAILED, summary, tuple(findings))


def _alerts(severity: str, age_s: int) -> dict[str, Any]:
    alert = {"id": "1", "title": "Logging was stopped", "severity": severity, "opened_s": 100_000 - age_s}
    return {"alerts": {"now_s": 100_000, "total": 1, "open": [alert]}}


CHECK = Check(
    id="alerts_decided",
    title="Grave alerts are taken in time",
    controls=("A.5.25", "A.5.26"),
    rationale="An alert that nobody takes is worth nothing: critical ones within an hour, high ones within four.",
    mend="Take the alerts named here; if this happens often, look at rota, channels and thresholds.",
    reads=("alerts",),
    judge=judge,
    examples=(
        CheckExample(_alerts("critical", 3_600), Outcome.PASSED),
        CheckExample(_alerts("critical", 3_601), Outcome.FAILED),
        CheckExample(_alerts("high", 14_401), Outcome.FAILED),
        CheckExample(_alerts("medium", 90_000), Outcome.PASSED),
        CheckExample({"alerts": {"now_s": 1, "total": 0, "open": []}}, Outcome.UNKNOWN),
    ),
    every="5m",
    max_age="1h",
)
