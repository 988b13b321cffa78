"""Counts of what was judged, and what the ledger itself says."""

from __future__ import annotations

from django.db import models


class JudgedSource(models.Model):
    """How many records of a source were judged since counting began; of source 0: the ledger's own, of which no event
    is made.
    """

    shard = models.SmallIntegerField()
    source = models.BigIntegerField()
    events = models.BigIntegerField()
    quarantined = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["shard", "source"], name="judged_source_once"),)

    def __str__(self) -> str:
        return f"{self.shard}/{self.source}: {self.events}"


class RuleEdition(models.Model):
    """The rules that were judged by since a time: ``rules`` is {name: [version, [route, …]]}."""

    digest = models.CharField(max_length=64, unique=True)
    since = models.BigIntegerField()
    rules = models.JSONField()

    def __str__(self) -> str:
        return self.digest


class JudgedKind(models.Model):
    """How many events of a kind, received within an hour, were held against the rules of an edition. Counts of hours
    that are long ago stand under hour 0.
    """

    shard = models.SmallIntegerField()
    hour = models.BigIntegerField()
    edition = models.ForeignKey(RuleEdition, on_delete=models.PROTECT)
    product = models.CharField(max_length=64)
    service = models.CharField(max_length=64)
    category = models.CharField(max_length=64)
    class_uid = models.IntegerField()
    events = models.BigIntegerField()
    quarantined = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["hour", "shard", "edition", "product", "service", "category", "class_uid"],
                name="judged_kind_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.hour} {self.product}/{self.service}/{self.category}/{self.class_uid}: {self.events}"


class Reconciliation(models.Model):
    """What the ledger itself says that a shard holds since counting began (at position ``since``): its manifests up to
    the log's entry ``entry`` and position ``sealed``, by source. ``known`` are differences that were told of.
    """

    shard = models.SmallIntegerField(unique=True)
    since = models.BigIntegerField()
    entry = models.BigIntegerField(default=0)
    sealed = models.BigIntegerField()
    records = models.JSONField(default=dict)
    known = models.JSONField(default=dict)
    #: Up to where the two were last compared, and when.
    position = models.BigIntegerField()
    at = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.shard}: {self.position}"
