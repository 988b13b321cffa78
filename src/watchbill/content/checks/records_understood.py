"""Less than one in a hundred records of each source is beyond our parsers.

Reads ``sources`` (see critical_assets_send): ``events`` and, among them, ``quarantined``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict

LIMIT_PER_MILLE = 10
FEWEST = 100


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each source above the limit; sources with few records say nothing. Unknown when all say nothing."""
    telling = [source for source in snapshot["sources"] if source["events"] >= FEWEST]
    if not telling:
        return Verdict(Outcome.UNKNOWN, f"No source has sent the {FEWEST} records that tell something.")
    wrong = sorted(
        (source["name"], source["quarantined"], source["events"])
        for source in telling
        if source["quarantined"] * 1000 >= source["events"] * LIMIT_PER_MILLE
    )
    summary = f"{len(telling) - len(wrong)} of {len(telling)} sources have less than 1 % that could not be read."
    if not wrong:
        return Verdict(Outcome.PASSED, summary)
    return Verdict(
        Outcome.FAILED, summary, tuple(f"{name}: {failures} of {events}" for name, failures, events in wrong)
    )


def _source(quarantined: int, events: int = 1000) -> dict[str, Any]:
    return {"name": "app", "state": "alive", "events": events, "quarantined": quarantined, "skew_ms": 0}


CHECK = Check(
    id="records_understood",
    title="Records are understood",
    controls=("A.8.15",),
    rationale="Rules see only what was understood; the rest is kept, but nobody is told of it.",
    mend="Look at the quarantined records on the source's page; name its format, or have a parser written.",
    reads=("sources",),
    judge=judge,
    examples=(
        CheckExample({"sources": [_source(9)]}, Outcome.PASSED),
        CheckExample({"sources": [_source(10)]}, Outcome.FAILED),
        CheckExample({"sources": [_source(99, 99)]}, Outcome.UNKNOWN),
        CheckExample({"sources": []}, Outcome.UNKNOWN),
    ),
)
