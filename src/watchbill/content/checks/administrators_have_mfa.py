"""All administrators of Watchbill sign in with a second factor.

Reads ``accounts``: [{"name": str, "role": "viewer" | "auditor" | "analyst" | "administrator", "mfa": bool,
"active": bool}, …]. ``name`` is the e-mail address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed for each active administrator without a second factor; unknown when there is no administrator."""
    administrators = [one for one in snapshot["accounts"] if one["active"] and one["role"] == "administrator"]
    if not administrators:
        return Verdict(Outcome.UNKNOWN, "There is no active administrator.")
    without = sorted(one["name"] for one in administrators if not one["mfa"])
    summary = f"{len(administrators) - len(without)} of {len(administrators)} administrators have a second factor."
    return Verdict(Outcome.FAILED if without else Outcome.PASSED, summary, tuple(f"{name}: none" for name in without))


def _account(name: str, role: str, *, mfa: bool = True, active: bool = True) -> dict[str, Any]:
    return {"name": f"{name}@example.com", "role": role, "mfa": mfa, "active": active}


CHECK = Check(
    id="administrators_have_mfa",
    title="Administrators of Watchbill have a second factor",
    controls=("A.8.5", "A.8.2"),
    rationale="Whoever administers the watch could blind it.",
    mend="Each administrator sets up a second factor on their account page.",
    reads=("accounts",),
    judge=judge,
    examples=(
        CheckExample(
            {"accounts": [_account("ana", "administrator"), _account("bo", "viewer", mfa=False)]}, Outcome.PASSED
        ),
        CheckExample({"accounts": [_account("ana", "administrator", mfa=False)]}, Outcome.FAILED),
        CheckExample({"accounts": [_account("ana", "administrator", mfa=False, active=False)]}, Outcome.UNKNOWN),
        CheckExample({"accounts": []}, Outcome.UNKNOWN),
    ),
)
