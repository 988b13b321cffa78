"""Every asset of high criticality has a source that is alive.

Reads ``assets``: [{"name": str, "criticality": "high" | "medium" | "low", "owner": str, "reviewed": bool,
"sources": [str, …]}, …], where ``sources`` names those that were seen to report on it, and ``sources``: [{"name": str,
"state": "alive" | "silent" | "recorded" | "unreadable", "events": int, "quarantined": int, "skew_ms": int | null}, …].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each asset of high criticality without a living source; unknown when there is no such asset."""
    critical = {asset["name"]: asset["sources"] for asset in snapshot["assets"] if asset["criticality"] == "high"}
    if not critical:
        return Verdict(Outcome.UNKNOWN, "No asset is of high criticality: nobody has said what matters most.")
    alive = {source["name"] for source in snapshot["sources"] if source["state"] == "alive"}
    dark = sorted(name for name, sources in critical.items() if alive.isdisjoint(sources))
    summary = f"{len(critical) - len(dark)} of {len(critical)} assets of high criticality are sending."
    if not dark:
        return Verdict(Outcome.PASSED, summary)
    findings = tuple(f"{name}: {'its sources are silent' if critical[name] else 'it has no source'}" for name in dark)
    return Verdict(Outcome.FAILED, summary, findings)


def _asset(name: str, criticality: str) -> dict[str, Any]:
    return {
        "name": name,
        "criticality": criticality,
        "owner": "it@example.com",
        "reviewed": True,
        "sources": [f"{name}/auth.log"],
    }


def _source(asset: str, state: str) -> dict[str, Any]:
    return {"name": f"{asset}/auth.log", "state": state, "events": 10, "quarantined": 0, "skew_ms": 0}


CHECK = Check(
    id="critical_assets_send",
    title="Every critical asset is sending",
    controls=("A.8.15", "A.8.16"),
    rationale="What matters most must never be dark.",
    mend="Bring the silent source back, or connect the asset; if it is not critical, say so on its page.",
    reads=("assets", "sources"),
    judge=judge,
    examples=(
        CheckExample({"assets": [_asset("db-01", "high")], "sources": [_source("db-01", "alive")]}, Outcome.PASSED),
        CheckExample({"assets": [_asset("db-01", "high")], "sources": [_source("db-01", "silent")]}, Outcome.FAILED),
        CheckExample({"assets": [_asset("db-01", "high")], "sources": [_source("web-01", "alive")]}, Outcome.FAILED),
        CheckExample({"assets": [{**_asset("db-01", "high"), "sources": []}], "sources": []}, Outcome.FAILED),
        CheckExample({"assets": [_asset("web-01", "medium")], "sources": []}, Outcome.UNKNOWN),
    ),
    every="5m",
    max_age="1h",
)
