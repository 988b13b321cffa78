"""From rows to frozen values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from watchbill.core.values import AlertStatus, Criticality, Disposition, Severity
from watchbill.sdk.rules import EventRef
from watchbill.state.alerts import life, models
from watchbill.state.alerts.values import (
    SEVERITIES,
    AlertRow,
    AlertView,
    DeliveryState,
    DeliveryView,
    DetectionView,
    HistoryEntry,
    SuppressionState,
    SuppressionView,
)

_NEWEST_DETECTIONS = 100
#: Of an entity with more values than this a list shows so many; the alert's page shows all.
_VALUES_IN_LISTS = 10


def rows(alerts: Sequence[models.Alert], *, values: int | None = _VALUES_IN_LISTS) -> tuple[AlertRow, ...]:
    """Alerts as lists show them, in the same order, with one query for all of their entities."""
    entities: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    found = models.Entity.objects.filter(alert__in=[alert.pk for alert in alerts]).exclude(kind="control")
    for alert_id, kind, value in found.order_by("kind", "value").values_list("alert_id", "kind", "value"):
        entities[alert_id][kind].append(value)
    return tuple(
        row(alert, {kind: tuple(found[:values]) for kind, found in entities[alert.pk].items()}) for alert in alerts
    )


def row(alert: models.Alert, entities: dict[str, tuple[str, ...]]) -> AlertRow:
    return AlertRow(
        id=f"A-{alert.pk}",
        rule=alert.rule,
        title=alert.title,
        status=AlertStatus(alert.status),
        severity=SEVERITIES[alert.severity - 1],
        criticality=Criticality(alert.criticality),
        host=alert.host,
        group=tuple((key, value) for key, value in alert.group),
        assignee=alert.assignee,
        disposition=Disposition(alert.disposition) if alert.disposition else None,
        first=alert.first,
        last=alert.last,
        events=alert.events,
        detections=alert.detections,
        opened_at=alert.opened_at,
        acknowledged_at=alert.acknowledged_at,
        resolved_at=alert.resolved_at,
        controls=tuple(alert.controls),
        entities=entities,
    )


def alert_view(alert: models.Alert) -> AlertView:
    successor = models.Alert.objects.filter(predecessor=alert).order_by("pk").values_list("pk", flat=True).first()
    return AlertView(
        row=rows([alert], values=None)[0],
        owner=alert.owner,
        why=tuple(alert.why),
        evidence=tuple(
            EventRef(one.shard, one.position, one.time, one.host, one.message)
            for one in alert.evidence.order_by("time", "shard", "position")
        ),
        history=tuple(
            HistoryEntry(one.at, one.who, one.what, one.before, one.after, one.comment)
            for one in alert.history.order_by("pk")
        ),
        deliveries=tuple(delivery(one) for one in alert.deliveries.select_related("channel").order_by("pk")),
        detections=tuple(
            DetectionView(
                one.digest,
                severity(one.severity),
                one.first,
                one.last,
                one.events,
                tuple(one.why),
                one.applied_at,
                f"S-{one.suppression_id}" if one.suppression_id else None,
            )
            for one in alert.parts.order_by("-last", "-pk")[:_NEWEST_DETECTIONS]
        ),
        reopened=alert.reopened,
        predecessor=f"A-{alert.predecessor_id}" if alert.predecessor_id else None,
        successor=f"A-{successor}" if successor else None,
        allowed=life.allowed(AlertStatus(alert.status)),
    )


def delivery(one: models.Delivery) -> DeliveryView:
    return DeliveryView(
        id=one.pk,
        channel=one.channel.name,
        kind=one.channel.kind,
        alert=f"A-{one.alert_id}" if one.alert_id else None,
        reason=one.reason,
        severity=severity(one.severity),
        state=DeliveryState(one.state),
        tries=one.tries,
        queued_at=one.queued_at,
        next_try=one.next_try,
        done_at=one.done_at,
        reference=one.reference,
        answer=one.answer,
        error=one.error,
    )


def severity(rank: int) -> Severity:
    return SEVERITIES[rank - 1]


def suppression(row: models.Suppression, at: int, alerts: tuple[str, ...] = ()) -> SuppressionView:
    if row.ended_at is not None and row.ended_at <= at:
        state = SuppressionState.ENDED
    else:
        state = SuppressionState.ACTIVE if row.expires_at > at else SuppressionState.EXPIRED
    return SuppressionView(
        id=f"S-{row.pk}",
        rule=row.rule,
        conditions=tuple((kind, pattern) for kind, pattern in row.conditions),
        up_to=severity(row.up_to),
        reason=row.reason,
        state=state,
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
        detections=row.detections,
        events=row.events,
        last_hit=row.last_hit,
        alerts=alerts,
    )
