"""What alerts give to others. Times are UTC nanoseconds; an alert's public id is "A-" and its number."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from watchbill.core.errors import NotFoundError
from watchbill.core.values import AlertStatus, Criticality, Disposition, Severity
from watchbill.sdk.rules import EventRef

SEVERITIES = tuple(Severity)  # by rank - 1
#: What still needs somebody.
UNRESOLVED = (AlertStatus.OPEN, AlertStatus.ACKNOWLEDGED, AlertStatus.INVESTIGATING)


def number(alert_id: str) -> int:
    """Read "A-1042" (or "1042") as its number. Raises NotFoundError."""
    digits = alert_id.strip().upper().removeprefix("A-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise NotFoundError(f"{alert_id!r} names no alert", mend='an alert is named like "A-1042"')
    return int(digits)


def suppression_number(suppression_id: str) -> int:
    """Read "S-12" (or "12") as its number. Raises NotFoundError."""
    digits = suppression_id.strip().upper().removeprefix("S-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise NotFoundError(f"{suppression_id!r} names no suppression", mend='a suppression is named like "S-12"')
    return int(digits)


class Sort(StrEnum):
    #: Worst first, and the latest evidence first among equals.
    SEVERITY = "severity"
    #: Latest evidence first.
    NEWEST = "newest"
    #: Longest waiting first.
    OLDEST = "oldest"


class AlertFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All that is given must hold; a tuple holds when one of its values does.

    ``text``: each word is an alert id, the begin of an entity's value (user, address, host, control …), or a part of
    a rule's name or title. ``start`` and ``end`` bound the time of the latest evidence. ``assignee`` "-" is nobody.
    ``cursor`` comes from ``AlertPage.next``.
    """

    text: str = ""
    status: tuple[AlertStatus, ...] = ()
    severity: tuple[Severity, ...] = ()
    rule: tuple[str, ...] = ()
    host: tuple[str, ...] = ()
    user: str = ""
    src_ip: str = ""
    control: str = ""
    assignee: str = ""
    start: int | None = None
    end: int | None = None
    sort: Sort = Sort.SEVERITY
    cursor: str = ""
    size: int = 50


class AlertRow(msgspec.Struct, frozen=True):
    """An alert as lists show it."""

    id: str
    rule: str
    title: str
    status: AlertStatus
    severity: Severity
    criticality: Criticality
    host: str
    group: tuple[tuple[str, str], ...]
    assignee: str
    disposition: Disposition | None
    first: int
    last: int
    events: int
    detections: int
    opened_at: int
    acknowledged_at: int | None
    resolved_at: int | None
    controls: tuple[str, ...]
    entities: dict[str, tuple[str, ...]]


class AlertPage(msgspec.Struct, frozen=True):
    """``total`` is exact when ``exact``, else there are at least that many. ``next`` is "" on the last page."""

    items: tuple[AlertRow, ...]
    total: int
    exact: bool
    next: str


class Facets(msgspec.Struct, frozen=True):
    """Counts by value, each made under all filters but the one on itself. At most 20 rules and hosts, most first."""

    status: dict[AlertStatus, int]
    severity: dict[Severity, int]
    rule: tuple[tuple[str, str, int], ...]
    host: tuple[tuple[str, int], ...]
    exact: bool


class HistoryEntry(msgspec.Struct, frozen=True):
    at: int
    who: str
    what: str
    before: str
    after: str
    comment: str


class DeliveryState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    #: It failed and will be tried again at ``next_try``.
    FAILED = "failed"
    GAVE_UP = "gave up"


class DeliveryView(msgspec.Struct, frozen=True):
    """``reason``: new, raised (its severity rose), reopened, unsuppressed or test. ``alert`` is None for a test."""

    id: int
    channel: str
    kind: str
    alert: str | None
    reason: str
    severity: Severity
    state: DeliveryState
    tries: int
    queued_at: int
    next_try: int | None
    done_at: int | None
    reference: str
    answer: str
    error: str


class DetectionView(msgspec.Struct, frozen=True):
    id: str
    severity: Severity
    first: int
    last: int
    events: int
    why: tuple[str, ...]
    applied_at: int
    #: The suppression that covered it ("S-12"), if any did.
    suppression: str | None


class SuppressionState(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    #: Somebody ended it before its time.
    ENDED = "ended"


class SuppressionView(msgspec.Struct, frozen=True):
    """What was declared to be expected. ``rule`` "" is every rule; ``conditions`` are (kind, pattern) and all must hold.
    ``detections`` and ``events`` count what it covered; ``alerts`` are the newest hundred that hold some of that.
    """

    id: str
    rule: str
    conditions: tuple[tuple[str, str], ...]
    up_to: Severity
    reason: str
    state: SuppressionState
    created_by: str
    created_at: int
    expires_at: int
    ended_at: int | None
    ended_by: str
    detections: int
    events: int
    last_hit: int | None
    alerts: tuple[str, ...] = ()


class AlertView(msgspec.Struct, frozen=True):
    """All of an alert. ``evidence`` is at most the first and the newest hundred events, by time; ``events`` counts all.
    ``allowed`` are the actions that its status permits. ``detections`` are the newest hundred, newest first.
    """

    row: AlertRow
    owner: str
    why: tuple[str, ...]
    evidence: tuple[EventRef, ...]
    history: tuple[HistoryEntry, ...]
    deliveries: tuple[DeliveryView, ...]
    detections: tuple[DetectionView, ...]
    reopened: int
    predecessor: str | None
    successor: str | None
    allowed: tuple[str, ...]


class Raised(msgspec.Struct, frozen=True):
    """What a batch of detections did: ids of alerts that are new, got more evidence, or became more severe."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    raised: tuple[str, ...]
    #: Detections that had been applied before.
    repeated: int


class Bulk(msgspec.Struct, frozen=True):
    """What was done, and what was refused with the reason."""

    done: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]


class ChannelView(msgspec.Struct, frozen=True):
    """``config`` shows "…" for secrets that are set. The counts are of deliveries."""

    id: int
    kind: str
    name: str
    config: dict[str, str]
    secrets: tuple[str, ...]
    min_severity: Severity
    enabled: bool
    sent: int
    waiting: int
    gave_up: int


class DeliveryJob(msgspec.Struct, frozen=True):
    """A claimed delivery: send it with ``config`` (secrets in clear), then call ``mark_sent`` or ``mark_failed``."""

    id: int
    tries: int
    reason: str
    channel: str
    kind: str
    config: dict[str, str]
    alert: AlertRow | None
    why: tuple[str, ...]


class Bucket(msgspec.Struct, frozen=True):
    """Alerts opened from ``start`` for one width, by severity."""

    start: int
    counts: dict[Severity, int]


class Counts(msgspec.Struct, frozen=True):
    """Of all alerts: by status, and of the unresolved ones by severity."""

    status: dict[AlertStatus, int]
    unresolved: dict[Severity, int]
    unassigned: int


class Times(msgspec.Struct, frozen=True):
    """Of alerts opened in a period: how many, how many were handled, and mean nanoseconds to acknowledge and resolve.
    None where nothing was handled: no mean without its count.
    """

    opened: int
    acknowledged: int
    resolved: int
    to_acknowledge: int | None
    to_resolve: int | None
    dispositions: dict[Disposition, int]


class ControlAlert(msgspec.Struct, frozen=True):
    """An unresolved alert as it bears on a control."""

    control: str
    alert: str
    title: str
    severity: Severity
    opened_at: int


class Pulse(msgspec.Struct, frozen=True):
    """Grows whenever any alert changes; cheap enough to ask each second."""

    history: int
    detections: int

    @property
    def mark(self) -> int:
        """One number for both: what a page was made at, and what it is told there is now."""
        return self.history + self.detections
