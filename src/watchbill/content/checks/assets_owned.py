"""Every asset has an owner, and somebody has looked at its criticality.

Reads ``assets`` (see critical_assets_send).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each asset without an owner or with a criticality that nobody reviewed; unknown without assets."""
    assets = snapshot["assets"]
    if not assets:
        return Verdict(Outcome.UNKNOWN, "The inventory is empty.")
    findings = []
    for asset in sorted(assets, key=lambda asset: str(asset["name"])):
        lacks = [
            what
            for what, there in (("an owner", asset["owner"]), ("a reviewed criticality", asset["reviewed"]))
            if not there
        ]
        if lacks:
            findings.append(f"{asset['name']}: lacks {' and '.join(lacks)}")
    summary = f"{len(assets) - len(findings)} of {len(assets)} assets have an owner and a reviewed criticality."
    return Verdict(Outcome.FAILED if findings else Outcome.PASSED, summary, tuple(findings))


def _asset(owner: str, *, reviewed: bool) -> dict[str, Any]:
    return {"name": "db-01", "criticality": "high", "owner": owner, "reviewed": reviewed, "sources": []}


CHECK = Check(
    id="assets_owned",
    title="Every asset has an owner and a reviewed criticality",
    controls=("A.5.9",),
    rationale="Thresholds and priorities rest on criticality, and alerts need somebody who knows the system.",
    mend="Open the assets page, filter by unreviewed, and set owner and criticality.",
    reads=("assets",),
    judge=judge,
    examples=(
        CheckExample({"assets": [_asset("it@example.com", reviewed=True)]}, Outcome.PASSED),
        CheckExample({"assets": [_asset("", reviewed=True)]}, Outcome.FAILED),
        CheckExample({"assets": [_asset("it@example.com", reviewed=False)]}, Outcome.FAILED),
        CheckExample({"assets": []}, Outcome.UNKNOWN),
    ),
    every="1d",
    max_age="2d",
)
