"""Somebody reads the records who cannot change anything, and is no administrator.

Reads ``accounts`` (see administrators_have_mfa). One person's several accounts cannot be told from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchbill.sdk.checks import Check, CheckExample, Outcome, Verdict


def judge(snapshot: Mapping[str, Any]) -> Verdict:
    """Failed when an administrator is there and no auditor is; unknown when nobody is there."""
    active = [one for one in snapshot["accounts"] if one["active"]]
    if not active:
        return Verdict(Outcome.UNKNOWN, "There is no active account.")
    roles = {role: sum(one["role"] == role for one in active) for role in ("administrator", "auditor")}
    summary = f"{roles['auditor']} auditors and {roles['administrator']} administrators among {len(active)} accounts."
    findings = [f"there is no {role}" for role, count in roles.items() if not count]
    return Verdict(Outcome.FAILED if findings else Outcome.PASSED, summary, tuple(findings))


def _account(name: str, role: str, *, mfa: bool = True, active: bool = True) -> dict[str, Any]:
    return {"name": f"{name}@example.com", "role": role, "mfa": mfa, "active": active}


CHECK = Check(
    id="roles_separated",
    title="Auditors and administrators are different accounts",
    controls=("A.5.3",),
    rationale="Who checks must not be who is checked.",
    mend="Give an auditor an account of the role auditor.",
    reads=("accounts",),
    judge=judge,
    examples=(
        CheckExample({"accounts": [_account("ana", "administrator"), _account("bo", "auditor")]}, Outcome.PASSED),
        CheckExample({"accounts": [_account("ana", "administrator"), _account("bo", "analyst")]}, Outcome.FAILED),
        CheckExample(
            {"accounts": [_account("ana", "administrator"), _account("bo", "auditor", active=False)]}, Outcome.FAILED
        ),
        CheckExample({"accounts": []}, Outcome.UNKNOWN),
    ),
    every="1d",
    max_age="2d",
)
