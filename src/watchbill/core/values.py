"""Small frozen values that everything shares."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """How bad an alert is; the words are Sigma's levels. Order them by ``rank``."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """1 (informational) to 5 (critical): OCSF's severity_id for the same words."""
        return _SEVERITY_ORDER.index(self) + 1


_SEVERITY_ORDER = list(Severity)


class Criticality(StrEnum):
    """How much an asset matters to the organisation."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Role(StrEnum):
    """What a person may do, from least to most; the auditor reads everything and changes nothing."""

    VIEWER = "viewer"
    AUDITOR = "auditor"
    ANALYST = "analyst"
    ADMINISTRATOR = "administrator"


class AlertStatus(StrEnum):
    """The life of an alert (row A1)."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    INVESTIGATING = "investigating"
    #: A suppression that people made covers all of its evidence: nobody is told, everything is counted.
    SUPPRESSED = "suppressed"
    RESOLVED = "resolved"


class Disposition(StrEnum):
    """What a resolved alert turned out to be."""

    TRUE_POSITIVE = "true positive"
    BENIGN = "benign"
    FALSE_POSITIVE = "false positive"


class ControlState(StrEnum):
    """What is known of a control now. Silence is never a verdict: nothing known is UNKNOWN."""

    PROVEN = "proven"
    FAILING = "failing"
    ATTESTED = "attested"
    STALE = "stale"
    UNKNOWN = "unknown"
