"""Alerts, their evidence and history, the counts kept beside them, channels and deliveries.

``status`` and ``severity`` lead the indexes: lists are read cell by cell (one status, one severity) in the order of
an index and merged, which costs the same with a thousand alerts and a million (see ``listing``).
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from watchbill.core.values import AlertStatus, Severity

_STATUSES = [(status.value, status.value) for status in AlertStatus]
_SEVERITIES = [(severity.rank, severity.value) for severity in Severity]


class Alert(models.Model):
    rule = models.CharField(max_length=128)
    #: SHA-256 over (rule, group), in hex, cut to 32 digits.
    digest = models.CharField(max_length=32)
    group = models.JSONField()
    title = models.CharField(max_length=300)
    owner = models.CharField(max_length=128, blank=True)
    status = models.CharField(max_length=16, choices=_STATUSES, default=AlertStatus.OPEN)
    severity = models.SmallIntegerField(choices=_SEVERITIES)
    criticality = models.CharField(max_length=8)
    host = models.CharField(max_length=255, blank=True)
    controls = models.JSONField(default=list)
    why = models.JSONField(default=list)
    #: (severity, -first, detection id) of the detection that ``why`` is from, so that order of arrival says nothing.
    why_from = models.CharField(max_length=200)
    assignee = models.CharField(max_length=254, blank=True)
    disposition = models.CharField(max_length=16, blank=True)
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    events = models.BigIntegerField()
    detections = models.IntegerField()
    opened_at = models.BigIntegerField()
    acknowledged_at = models.BigIntegerField(null=True)
    resolved_at = models.BigIntegerField(null=True)
    reopened = models.SmallIntegerField(default=0)
    predecessor = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="successors")

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["digest"], name="alert_one_unresolved", condition=~Q(status=AlertStatus.RESOLVED)
            ),
        )
        indexes = (
            models.Index(F("status"), F("severity"), F("last").desc(), F("id").desc(), name="alert_newest"),
            models.Index(F("status"), F("severity"), F("opened_at"), F("id"), name="alert_oldest"),
            models.Index(
                F("rule"), F("status"), F("severity"), F("last").desc(), F("id").desc(), name="alert_rule"
            ),
            models.Index(
                F("host"), F("status"), F("severity"), F("last").desc(), F("id").desc(), name="alert_host"
            ),
            models.Index(fields=["assignee", "status"], name="alert_assignee", condition=~Q(assignee="")),
            models.Index(fields=["digest", "-id"], name="alert_digest"),
            models.Index(fields=["opened_at", "severity"], name="alert_opened"),
            models.Index(fields=["resolved_at"], name="alert_resolved", condition=Q(resolved_at__isnull=False)),
            models.Index(fields=["last", "id"], name="alert_last"),
        )  # fmt: skip

    def __str__(self) -> str:
        return f"A-{self.pk} {self.title}"


class Suppression(models.Model):
    """What people declared to be expected, until when and why. ``conditions`` are [kind, pattern]; all must hold."""

    #: "" stands for every rule.
    rule = models.CharField(max_length=128, blank=True)
    conditions = models.JSONField(default=list)
    #: Alerts more severe than this are never suppressed.
    up_to = models.SmallIntegerField(choices=_SEVERITIES)
    reason = models.TextField()
    created_by = models.CharField(max_length=254)
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField()
    ended_at = models.BigIntegerField(null=True)
    ended_by = models.CharField(max_length=254, blank=True)
    detections = models.BigIntegerField(default=0)
    events = models.BigIntegerField(default=0)
    last_hit = models.BigIntegerField(null=True)

    class Meta:
        indexes = (models.Index(fields=["expires_at"], name="suppression_active", condition=Q(ended_at=None)),)

    def __str__(self) -> str:
        return f"S-{self.pk}"


class Detection(models.Model):
    """A detection that was applied. Its id is unique, so it counts once however often the engine says it."""

    digest = models.CharField(max_length=128, unique=True)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="parts")
    severity = models.SmallIntegerField(choices=_SEVERITIES)
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    events = models.IntegerField()
    why = models.JSONField(default=list)
    applied_at = models.BigIntegerField()
    suppression = models.ForeignKey(Suppression, on_delete=models.PROTECT, null=True, related_name="covered")

    def __str__(self) -> str:
        return self.digest


class Evidence(models.Model):
    """An event that an alert rests on, by its place in the ledger."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="evidence")
    shard = models.SmallIntegerField()
    position = models.BigIntegerField()
    time = models.BigIntegerField()
    host = models.CharField(max_length=255, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["alert", "shard", "position"], name="evidence_once"),)

    def __str__(self) -> str:
        return f"{self.shard}-{self.position}"


class Entity(models.Model):
    """Who or what an alert is about: "user", "src_ip", "host" …, and "control". ``status`` repeats the alert's."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="entities")
    kind = models.CharField(max_length=32)
    value = models.CharField(max_length=255)
    status = models.CharField(max_length=16, choices=_STATUSES)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["alert", "kind", "value"], name="entity_once"),)
        indexes = (models.Index(fields=["value", "kind", "status", "-alert"], name="entity_value"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class History(models.Model):
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="history")
    at = models.BigIntegerField()
    who = models.CharField(max_length=254)
    what = models.CharField(max_length=32)
    before = models.CharField(max_length=254, blank=True)
    after = models.CharField(max_length=254, blank=True)
    comment = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.who} {self.what}"


class Tally(models.Model):
    """How many alerts there are of one status and severity for one rule, and for one host. Kept by the actions."""

    dimension = models.CharField(max_length=8)
    value = models.CharField(max_length=255)
    status = models.CharField(max_length=16)
    severity = models.SmallIntegerField()
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["dimension", "value", "status", "severity"], name="tally_once"),)

    def __str__(self) -> str:
        return f"{self.dimension} {self.value}: {self.count}"


class RuleTitle(models.Model):
    """Titles of the rules that ever alerted, so that words can be looked up without reading all alerts."""

    rule = models.CharField(max_length=128, unique=True)
    title = models.CharField(max_length=300)

    def __str__(self) -> str:
        return self.rule


class Channel(models.Model):
    kind = models.CharField(max_length=64)
    name = models.CharField(max_length=100, unique=True)
    config = models.JSONField(default=dict)
    #: The secret fields of the configuration, sealed with the installation's key.
    sealed = models.TextField(blank=True)
    secret_fields = models.JSONField(default=list)
    min_severity = models.SmallIntegerField(choices=_SEVERITIES)
    enabled = models.BooleanField(default=True)
    removed_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="deliveries")
    #: None for a test message.
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, null=True, related_name="deliveries")
    reason = models.CharField(max_length=16)
    severity = models.SmallIntegerField(choices=_SEVERITIES)
    #: How often the alert had been reopened: each life of an alert has its own news.
    life = models.SmallIntegerField(default=0)
    state = models.CharField(max_length=16)
    tries = models.SmallIntegerField(default=0)
    queued_at = models.BigIntegerField()
    next_try = models.BigIntegerField(null=True)
    done_at = models.BigIntegerField(null=True)
    reference = models.CharField(max_length=300, blank=True)
    answer = models.TextField(blank=True)
    error = models.TextField(blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["channel", "alert", "reason", "severity", "life"], name="delivery_once"),
        )
        indexes = (
            models.Index(fields=["next_try"], name="delivery_due", condition=Q(next_try__isnull=False)),
            models.Index(fields=["state", "-id"], name="delivery_state"),
        )

    def __str__(self) -> str:
        return f"{self.channel_id} {self.state}"
