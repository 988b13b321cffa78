"""Alerts forget what they copied of erased records: the evidence's text, and what was said of why. Reached through ``actions``."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Q

from watchbill.state.alerts.models import Alert, Detection, Evidence
from watchbill.state.trail.actions import record

#: What stands in the place of an erased text.
ERASED = "(erased)"
_AT_ONCE = 200


@transaction.atomic
def forget_evidence(shard: int, ranges: Sequence[tuple[int, int]], *, by: str, at: int) -> int:
    """Cleanse the copies of the records in ranges (first position, count); returns how many alerts had some.

    The alerts stay, with their times, their place in the ledger and what people wrote.
    """
    touched: set[int] = set()
    for low in range(0, len(ranges), _AT_ONCE):
        inside = Q()
        for first, count in ranges[low : low + _AT_ONCE]:
            inside |= Q(position__gte=first, position__lt=first + count)
        rows = Evidence.objects.filter(inside, shard=shard).exclude(message=ERASED)
        touched.update(rows.values_list("alert_id", flat=True))
        rows.update(message=ERASED)
    for alert in sorted(touched):
        Alert.objects.filter(pk=alert).update(why=[])
        Detection.objects.filter(alert=alert).update(why=[])
        record(by, "alert.forget", "alert", f"A-{alert}", {}, at)
    return len(touched)
