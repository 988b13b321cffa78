"""Assets and sources. Host names are kept in lower case, since they are compared without case (RFC 4343)."""

from __future__ import annotations

from django.db import models

from watchbill.core.values import Criticality

_CRITICALITIES = [(criticality.value, criticality.value) for criticality in Criticality]


class Asset(models.Model):
    name = models.CharField(max_length=255, unique=True)
    criticality = models.CharField(max_length=8, choices=_CRITICALITIES, default=Criticality.MEDIUM)
    reviewed = models.BooleanField(default=False)
    owner = models.CharField(max_length=254, blank=True)
    #: Names of sources, or parser ids, that have to send for this asset.
    expected_sources = models.JSONField(default=list)
    first_seen = models.BigIntegerField(null=True)
    last_seen = models.BigIntegerField(null=True)
    events = models.BigIntegerField(default=0)

    class Meta:
        indexes = (models.Index(fields=["criticality", "name"], name="asset_criticality"),)

    def __str__(self) -> str:
        return self.name


class Alias(models.Model):
    """Another name under which an asset's events come."""

    name = models.CharField(max_length=255, unique=True)
    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="aliases")

    def __str__(self) -> str:
        return self.name


class AssetSource(models.Model):
    """Which sources an asset's events came from, by source name and parser."""

    asset = models.ForeignKey(Asset, on_delete=models.CASCADE, related_name="seen_sources")
    source = models.CharField(max_length=255)
    parser = models.CharField(max_length=64)
    last_seen = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["asset", "source", "parser"], name="asset_source_once"),)

    def __str__(self) -> str:
        return f"{self.source} ({self.parser})"


class Source(models.Model):
    shard = models.SmallIntegerField()
    number = models.IntegerField()
    name = models.CharField(max_length=255)
    transport = models.CharField(max_length=32)
    format = models.CharField(max_length=64, blank=True)
    first_seen = models.BigIntegerField()
    last_seen = models.BigIntegerField()
    last_event_time = models.BigIntegerField(default=0)
    events = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    dropped = models.BigIntegerField(default=0)
    #: Counts by powers of two: of milliseconds from event to receipt, and of seconds between batches.
    delays = models.JSONField(default=list)
    gaps = models.JSONField(default=list)
    last_error = models.CharField(max_length=500, blank=True)
    last_error_at = models.BigIntegerField(null=True)
    #: Why it cannot be read now; empty when it can.
    unreadable = models.CharField(max_length=500, blank=True)
    #: Longest silence that is normal, in nanoseconds; None lets its history decide, 0 expects nothing.
    silent_after = models.BigIntegerField(null=True)
    #: When its silence was announced; None while it is not silent.
    silent_since = models.BigIntegerField(null=True)
    #: Nothing before this moment counts as silence (an operator said so, or it came back).
    watched_since = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["shard", "number"], name="source_number_once"),)
        indexes = (models.Index(fields=["name"], name="source_name"),)

    def __str__(self) -> str:
        return f"{self.name} ({self.transport})"


class SourceHour(models.Model):
    """What a source sent in one hour of receipt."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="hours")
    hour = models.BigIntegerField()
    events = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    #: The smallest time from event to receipt, in nanoseconds: negative when the source's clock runs ahead.
    least_delay = models.BigIntegerField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["source", "hour"], name="source_hour_once"),)
        indexes = (models.Index(fields=["hour"], name="source_hour"),)

    def __str__(self) -> str:
        return f"{self.source_id} {self.hour}"
