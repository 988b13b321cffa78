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
