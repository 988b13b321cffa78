"""Reading alerts."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from django.db.models import Avg, Count, F, Max, QuerySet, Sum
from django.db.models.functions import Floor

from watchbill.core.errors import NotFoundError, QueryError
from watchbill.core.values import AlertStatus, Disposition, Severity
from watchbill.state.alerts import listing, models, views
from watchbill.state.alerts.values import (
    UNRESOLVED,
    AlertFilter,
    AlertPage,
    AlertView,
    Bucket,
    ChannelView,
    ControlAlert,
    Counts,
    DeliveryState,
    DeliveryView,
    Facets,
    Pulse,
    SuppressionState,
    SuppressionView,
    Times,
    number,
    suppression_number,
)

_MOST_FACETS = 20
_MOST_BUCKETS = 1000
_MOST_CONTROL_ALERTS = 10_000


def alerts(wanted: AlertFilter | None = None) -> AlertPage:
    """One page of alerts; page on with ``cursor`` = the page's ``next``. Raises QueryError for a foreign cursor."""
    wanted = wanted or AlertFilter()
    page = listing.listed(wanted)
    count, exact = listing.total(wanted)
    return AlertPage(views.rows(page.rows), count, exact, page.next)


def alert(alert_id: str) -> AlertView:
    """All of an alert. Raises NotFoundError."""
    row = models.Alert.objects.filter(pk=number(alert_id)).first()
    if row is None:
        raise NotFoundError(f"there is no alert {alert_id}", mend="see the list: watchbill alerts")
    return views.alert_view(row)


def facets(wanted: AlertFilter | None = None) -> Facets:
    """How many there are by status, severity, rule and host."""
    wanted = wanted or AlertFilter()
    timed = wanted.start is not None or wanted.end is not None
    if listing.needs_candidates(wanted) or timed or wanted.assignee:
        return _facets_of_candidates(wanted)
    return _facets_of_tallies(wanted)


def counts() -> Counts:
    """Of all alerts, from the tallies."""
    rows = models.Tally.objects.filter(dimension="rule")
    by_status = dict(listing.grouped(rows, "status"))
    unresolved = dict(listing.grouped(rows.filter(status__in=UNRESOLVED), "severity"))
    assigned = models.Alert.objects.filter(status__in=UNRESOLVED).exclude(assignee="").count()
    return Counts(
        status={status: by_status.get(status, 0) for status in AlertStatus},
        unresolved={severity: unresolved.get(severity.rank, 0) for severity in Severity},
        unassigned=sum(unresolved.values()) - assigned,
    )


def severity_over_time(start: int, end: int, buckets: int = 48) -> tuple[Bucket, ...]:
    """Alerts opened in [start, end) by severity, in so many equal parts of time, the empty ones too."""
    if end <= start or not 0 < buckets <= _MOST_BUCKETS:
        raise QueryError("a time range needs an end after its start", mend=f"and 1 to {_MOST_BUCKETS} buckets")
    width = -(-(end - start) // buckets)
    rows = models.Alert.objects.filter(opened_at__gte=start, opened_at__lt=end)
    parts = rows.annotate(part=Floor((F("opened_at") - start) / width)).values("part", "severity")
    found = {(int(one["part"]), one["severity"]): one["n"] for one in parts.annotate(n=Count("pk")).order_by()}
    return tuple(
        Bucket(start + part * width, {severity: found.get((part, severity.rank), 0) for severity in Severity})
        for part in range(buckets)
    )


def activity(alert_ids: Sequence[str], start: int, end: int, buckets: int = 24) -> dict[str, tuple[int, ...]]:
    """For each of these alerts: events by when the detections that hold them ended, in equal parts of [start, end)."""
    width = -(-(end - start) // buckets)
    found = {one: [0] * buckets for one in alert_ids}
    rows = models.Detection.objects.filter(alert__in=[number(one) for one in alert_ids], last__gte=start, last__lt=end)
    parts = rows.annotate(part=Floor((F("last") - start) / width)).values("alert", "part")
    for one in parts.annotate(n=Sum("events")).order_by():
        found[f"A-{one['alert']}"][int(one["part"])] = one["n"]
    return {one: tuple(values) for one, values in found.items()}


def times(start: int, end: int) -> Times:
    """How fast the alerts opened in [start, end) were handled, and what they were."""
    rows = models.Alert.objects.filter(opened_at__gte=start, opened_at__lt=end)
    found = rows.aggregate(
        opened=Count("pk"),
        acknowledged=Count("acknowledged_at"),
        resolved=Count("resolved_at"),
        to_acknowledge=Avg(F("acknowledged_at") - F("opened_at")),
        to_resolve=Avg(F("resolved_at") - F("opened_at")),
    )
    kinds = rows.exclude(disposition="").values("disposition").annotate(n=Count("pk")).order_by()
    by_kind = {one["disposition"]: one["n"] for one in kinds}
    return Times(
        found["opened"],
        found["acknowledged"],
        found["resolved"],
        _whole(found["to_acknowledge"]),
        _whole(found["to_resolve"]),
        {disposition: by_kind.get(disposition, 0) for disposition in Disposition},
    )


def rule_counts() -> dict[str, dict[AlertStatus, int]]:
    """For every rule that ever alerted: its alerts by status."""
    found: dict[str, dict[AlertStatus, int]] = {}
    rows = models.Tally.objects.filter(dimension="rule").values("value", "status").annotate(n=Sum("count"))
    for one in rows.order_by():
        found.setdefault(one["value"], dict.fromkeys(AlertStatus, 0))[AlertStatus(one["status"])] = one["n"]
    return found


def control_alerts() -> tuple[ControlAlert, ...]:
    """Each unresolved alert with each control that it bears on; worst first (at most ten thousand of them)."""
    rows = models.Entity.objects.filter(kind="control", status__in=UNRESOLVED).order_by("-alert__severity", "-alert_id")
    found = rows.values_list("value", "alert_id", "alert__title", "alert__severity", "alert__opened_at")
    return tuple(
        ControlAlert(control, f"A-{alert_id}", title, views.severity(rank), opened_at)
        for control, alert_id, title, rank, opened_at in found[:_MOST_CONTROL_ALERTS]
    )


def pulse() -> Pulse:
    """Ask this for whether anything changed since."""
    history = models.History.objects.aggregate(most=Max("pk"))["most"]
    detections = models.Detection.objects.aggregate(most=Max("pk"))["most"]
    return Pulse(history or 0, detections or 0)


def channels() -> tuple[ChannelView, ...]:
    rows = models.Channel.objects.filter(removed_at=None).order_by("name")
    states: dict[int, dict[str, int]] = {}
    for one in models.Delivery.objects.values("channel", "state").annotate(n=Count("pk")).order_by():
        states.setdefault(one["channel"], {})[one["state"]] = one["n"]
    return tuple(_channel(row, states.get(row.pk, {})) for row in rows)


def channel(channel_id: int) -> ChannelView:
    """Raises NotFoundError."""
    for view in channels():
        if view.id == channel_id:
            return view
    raise NotFoundError(f"there is no channel {channel_id}")


def deliveries(
    *, channel: int | None = None, state: DeliveryState | None = None, limit: int = 100
) -> tuple[DeliveryView, ...]:  # fmt: skip
    """The newest deliveries first."""
    rows = models.Delivery.objects.select_related("channel").order_by("-pk")
    if channel is not None:
        rows = rows.filter(channel=channel)
    if state is not None:
        rows = rows.filter(state=state)
    return tuple(views.delivery(row) for row in rows[:limit])


def suppressions(at: int, *, state: SuppressionState | None = None, limit: int = 500) -> tuple[SuppressionView, ...]:
    """The newest first, with the state that each has at a time."""
    rows = models.Suppression.objects.order_by("-pk")
    if state is SuppressionState.ENDED:
        rows = rows.exclude(ended_at=None)
    elif state is not None:
        rows = rows.filter(ended_at=None)
        rows = rows.filter(expires_at__gt=at) if state is SuppressionState.ACTIVE else rows.filter(expires_at__lte=at)
    return tuple(views.suppression(row, at) for row in rows[:limit])


def suppression(suppression_id: str, at: int) -> SuppressionView:
    """One, with the alerts that it bears on. Raises NotFoundError."""
    row = models.Suppression.objects.filter(pk=suppression_number(suppression_id)).first()
    if row is None:
        raise NotFoundError(f"there is no suppression {suppression_id}", mend="see the list: watchbill suppressions")
    covered = models.Detection.objects.filter(suppression=row).order_by("-alert_id").values_list("alert_id", flat=True)
    return views.suppression(row, at, tuple(f"A-{number}" for number in covered.distinct()[:100]))


def _facets_of_tallies(wanted: AlertFilter) -> Facets:
    dimension, values = ("host", wanted.host) if wanted.host else ("rule", wanted.rule)
    chosen = models.Tally.objects.filter(dimension=dimension)
    if values:
        chosen = chosen.filter(value__in=list(values))
    status = dict(listing.grouped(_narrow(chosen, wanted, status=False), "status"))
    severity = dict(listing.grouped(_narrow(chosen, wanted, severity=False), "severity"))
    if wanted.host:
        rules, rules_exact = _direct(wanted, "rule")
    else:
        rules, rules_exact = _top(wanted, "rule"), True
    if wanted.rule:
        hosts, hosts_exact = _direct(wanted, "host")
    else:
        hosts, hosts_exact = _top(wanted, "host"), True
    return _facets(status, severity, rules, hosts, exact=rules_exact and hosts_exact)


def _narrow(
    rows: QuerySet[models.Tally], wanted: AlertFilter, *, status: bool = True, severity: bool = True
) -> QuerySet[models.Tally]:  # fmt: skip
    if status and wanted.status:
        rows = rows.filter(status__in=list(wanted.status))
    if severity and wanted.severity:
        rows = rows.filter(severity__in=[one.rank for one in wanted.severity])
    return rows


def _top(wanted: AlertFilter, dimension: str) -> list[tuple[str, int]]:
    rows = _narrow(models.Tally.objects.filter(dimension=dimension), wanted)
    sums = rows.values("value").annotate(n=Sum("count")).filter(n__gt=0).order_by("-n", "value")
    return [(one["value"], one["n"]) for one in sums[:_MOST_FACETS]]


def _direct(wanted: AlertFilter, field: str) -> tuple[list[tuple[str, int]], bool]:
    """Counts by one field of the alerts themselves, for what the tallies cannot tell; of a bounded number of them."""
    without = msgspec.structs.replace(wanted, **{field: ()})
    rows = list(listing.candidates(without).order_by()[: listing.BOUND + 1].values_list(field, flat=True))
    sums: dict[str, int] = {}
    for value in rows:
        sums[value] = sums.get(value, 0) + 1
    return sorted(sums.items(), key=lambda one: (-one[1], one[0]))[:_MOST_FACETS], len(rows) <= listing.BOUND


def _facets_of_candidates(wanted: AlertFilter) -> Facets:
    cells, exact = listing.cell_counts(wanted)
    sums: dict[str, dict[str | int, int]] = {"status": {}, "severity": {}, "rule": {}, "host": {}}
    for status, severity, rule, host, count in cells:
        has_status = not wanted.status or status in wanted.status
        has_severity = not wanted.severity or views.severity(severity) in wanted.severity
        for name, value, counted in (
            ("status", status, has_severity),
            ("severity", severity, has_status),
            ("rule", rule, has_status and has_severity),
            ("host", host, has_status and has_severity),
        ):
            if counted:
                sums[name][value] = sums[name].get(value, 0) + count
    rules, hosts = (
        sorted(((str(value), n) for value, n in sums[name].items()), key=lambda one: (-one[1], one[0]))[:_MOST_FACETS]
        for name in ("rule", "host")
    )
    return _facets(sums["status"], sums["severity"], rules, hosts, exact=exact)


def _facets(
    status: dict[str | int, int], severity: dict[str | int, int], rules: list[tuple[str, int]],
    hosts: list[tuple[str, int]], *, exact: bool,
) -> Facets:  # fmt: skip
    titles = dict(models.RuleTitle.objects.filter(rule__in=[rule for rule, _ in rules]).values_list("rule", "title"))
    return Facets(
        {one: status.get(one.value, 0) for one in AlertStatus},
        {one: severity.get(one.rank, 0) for one in Severity},
        tuple((rule, titles.get(rule, rule), count) for rule, count in rules),
        tuple(hosts),
        exact,
    )


def _channel(row: models.Channel, states: dict[str, int]) -> ChannelView:
    return ChannelView(
        id=row.pk,
        kind=row.kind,
        name=row.name,
        config=row.config | dict.fromkeys(row.secret_fields, "…"),
        secrets=tuple(row.secret_fields),
        min_severity=views.severity(row.min_severity),
        enabled=row.enabled,
        sent=states.get(DeliveryState.SENT, 0),
        waiting=sum(
            states.get(state, 0) for state in (DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.FAILED)
        ),
        gave_up=states.get(DeliveryState.GAVE_UP, 0),
    )


def _whole(value: float | None) -> int | None:
    return round(value) if value is not None else None
