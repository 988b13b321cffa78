"""Positions and group states: written in the same transaction as the results that they belong to."""

from __future__ import annotations

from django.db import models


class Position(models.Model):
    name = models.CharField(max_length=64)
    shard = models.SmallIntegerField()
    position = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["name", "shard"], name="reader_once_a_shard"),)

    def __str__(self) -> str:
        return f"{self.name} {self.shard}-{self.position}"


class GroupState(models.Model):
    key = models.CharField(max_length=512, unique=True)
    blob = models.BinaryField()

    def __str__(self) -> str:
        return self.key


class SeenHead(models.Model):
    """The newest head of a log that the worker saw: kept away from the ledger's own files."""

    shard = models.SmallIntegerField(unique=True)
    origin = models.CharField(max_length=255)
    size = models.BigIntegerField()
    root = models.CharField(max_length=64)
    at = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.origin} {self.size}"
