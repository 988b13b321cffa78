"""Queueing notifications, in the transaction of what they tell of. Called by actions only."""

from __future__ import annotations

from collections.abc import Sequence

from watchbill.core.clock import HOUR, MINUTE, SECOND
from watchbill.state.alerts.models import Alert, Channel, Delivery
from watchbill.state.alerts.values import DeliveryState

#: How long to wait after the first, second … failed try; when they are used up, the delivery is given up (a day).
BACK_OFF = (30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR)
#: A claimed delivery whose worker died is tried again after this long.
LEASE = 5 * MINUTE


def queue(told: Sequence[tuple[Alert, str]], at: int) -> None:
    """One delivery for each channel that wants this severity; the same news is never queued twice."""
    if not told:
        return
    channels = list(Channel.objects.filter(enabled=True, removed_at=None))
    rows = [
        Delivery(
            channel=channel, alert=alert, reason=reason, severity=alert.severity, state=DeliveryState.QUEUED,
            life=alert.reopened, queued_at=at, next_try=at,
        )
        for channel in channels
        for alert, reason in told
        if alert.severity >= channel.min_severity
    ]  # fmt: skip
    Delivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
