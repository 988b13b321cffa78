"""Detections for the tests, and rules that they could be of."""

from __future__ import annotations

from watchbill.core.values import Criticality, Severity
from watchbill.sdk.rules import Detection, EventRef, RuleInfo

NOW = 1_772_600_000_000_000_000


def rule(name="ssh_brute_force", title="Password guessing over SSH", controls=("A.8.5", "A.8.16")) -> RuleInfo:
    return RuleInfo(
        id=name, title=title, description="", severity=Severity.MEDIUM, controls=controls,
        owner="security-operations", rationale="", response=(), false_positives=(), tags=(), status="stable", path="",
        text="",
    )  # fmt: skip


INFOS = {one.id: one for one in (rule(), rule("log_stopped", "Logging stopped", ("A.8.15",)))}


def detection(
    name="d1", *, host="web-01", rule="ssh_brute_force", severity=Severity.MEDIUM, first=NOW, count=3, events=3,
    user="root", src_ip="192.0.2.7",
) -> Detection:  # fmt: skip
    """``events`` references stand one second apart, at positions that follow from ``first``."""
    start = first // 1_000_000_000 * 1_000
    return Detection(
        id=name,
        rule=rule,
        group=(("device.hostname", host),),
        severity=severity,
        criticality=Criticality.HIGH,
        host=host,
        first=first,
        last=first + max(events - 1, 0) * 1_000_000_000,
        count=count,
        events=tuple(
            EventRef(0, start + part, first + part * 1_000_000_000, host, f"message {part}") for part in range(events)
        ),
        why=(f"{name}: {count} failed sign-ins",),
        entities={"user": (user,), "src_ip": (src_ip,)},
    )
