"""What is known of a control, from what there is. Pure, so that each case can be tested as a table.

FAILING: the newest result of a check failed, or an unresolved alert of high or critical severity bears on it.
PROVEN: a check passed within its age. Rules support and never prove. ATTESTED: somebody vouches for it, validly.
STALE: there was something, and all of it is too old. UNKNOWN: nothing. Silence is never a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchbill.core.clock import SECOND
from watchbill.core.times import rfc3339
from watchbill.core.values import ControlState, Severity
from watchbill.sdk.checks import Outcome
from watchbill.state.controls.values import AttestationView, CheckView, Reason, Signal

_GRAVE = frozenset({Severity.HIGH, Severity.CRITICAL})


def judge(
    checks: Sequence[CheckView], attestations: Sequence[AttestationView], signals: Sequence[Signal], now: int
) -> tuple[ControlState, tuple[Reason, ...]]:
    """The state of one control at ``now`` with its reasons, those that decided it first.

    The words of a reason hold no ages or counts that change by themselves: a new reason is a new fact.
    """
    fresh = [check for check in checks if now - check.at <= check.max_age]
    old = [_check(check, "too old") for check in checks if now - check.at > check.max_age]
    failed = [_check(check, "failed") for check in fresh if check.outcome is Outcome.FAILED]
    passed = [_check(check, "passed") for check in fresh if check.outcome is Outcome.PASSED]
    blind = [_check(check, "could not tell") for check in fresh if check.outcome is Outcome.UNKNOWN]
    alerts = [signal for signal in signals if signal.kind == "alert"]
    grave = [_signal(signal) for signal in alerts if signal.severity in _GRAVE]
    slight = [_signal(signal) for signal in alerts if signal.severity not in _GRAVE]
    rules = [_signal(signal) for signal in signals if signal.kind != "alert"]
    valid = [_attested(one) for one in attestations if one.withdrawn_at is None and now < one.valid_until]
    over = [_attested(one, "expired: ") for one in attestations if one.withdrawn_at is None and now >= one.valid_until]
    rest = (*blind, *slight, *rules)
    if failed or grave:
        return ControlState.FAILING, (*failed, *grave, *passed, *valid, *rest, *old)
    if passed:
        return ControlState.PROVEN, (*passed, *valid, *rest, *old)
    if valid:
        return ControlState.ATTESTED, (*valid, *rest, *old)
    if old or over:
        return ControlState.STALE, (*old, *over, *rest)
    return ControlState.UNKNOWN, (*rest,) or (Reason("none", "", "nothing was checked or attested yet"),)


def _check(check: CheckView, verdict: str) -> Reason:
    return Reason("check", check.id, f"{check.title}: {verdict}: {check.summary}", None)


def _signal(signal: Signal) -> Reason:
    return Reason(signal.kind, signal.reference, signal.words, signal.at)


def _attested(one: AttestationView, before: str = "") -> Reason:
    until = rfc3339(one.valid_until - one.valid_until % SECOND)
    return Reason("attestation", str(one.id), f"{before}attested by {one.who} until {until}: {one.statement}", one.at)
