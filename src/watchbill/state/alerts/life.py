"""The life of an alert (row A1): which step leads from where to where. The only place that says so."""

from __future__ import annotations

from watchbill.core.errors import ConflictError
from watchbill.core.values import AlertStatus

_OPEN, _ACKNOWLEDGED = AlertStatus.OPEN, AlertStatus.ACKNOWLEDGED
_INVESTIGATING, _RESOLVED = AlertStatus.INVESTIGATING, AlertStatus.RESOLVED
_SUPPRESSED = AlertStatus.SUPPRESSED

STEPS: dict[str, tuple[frozenset[AlertStatus], AlertStatus]] = {
    "acknowledge": (frozenset({_OPEN}), _ACKNOWLEDGED),
    "unacknowledge": (frozenset({_ACKNOWLEDGED}), _OPEN),
    "investigate": (frozenset({_OPEN, _ACKNOWLEDGED}), _INVESTIGATING),
    "resolve": (frozenset({_OPEN, _ACKNOWLEDGED, _INVESTIGATING, _SUPPRESSED}), _RESOLVED),
    "reopen": (frozenset({_RESOLVED, _SUPPRESSED}), _OPEN),
}


def allowed(status: AlertStatus) -> tuple[str, ...]:
    """The steps that lead on from a status, in the order in which people take them."""
    return tuple(step for step, (sources, _) in STEPS.items() if status in sources)


def after(status: AlertStatus, step: str, alert_id: str) -> AlertStatus:
    """Where a step leads. Raises ConflictError with what can be done instead."""
    sources, target = STEPS[step]
    if status not in sources:
        instead = " or ".join(allowed(status))
        raise ConflictError(f"{alert_id} is {status.value}, so one cannot {step} it", mend=f"{instead} it")
    return target
