"""Policies, legal holds and erasures. ``positions`` of an erasure are ranges [first, count] of shard 0."""

from __future__ import annotations

from django.db import models


class Policy(models.Model):
    name = models.CharField(max_length=80, unique=True)
    days = models.IntegerField()
    source = models.CharField(max_length=255, default="*")
    transport = models.CharField(max_length=64, default="*")
    format = models.CharField(max_length=64, default="*")
    by = models.CharField(max_length=254)
    set_at = models.BigIntegerField()

    def __str__(self) -> str:
        return self.name


class Hold(models.Model):
    source = models.CharField(max_length=255, default="*")
    start = models.BigIntegerField(default=0)
    end = models.BigIntegerField(null=True)
    reason = models.TextField()
    placed_by = models.CharField(max_length=254)
    placed_at = models.BigIntegerField()
    released_by = models.CharField(max_length=254, blank=True)
    released_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"H-{self.pk}"


class Erasure(models.Model):
    state = models.CharField(max_length=16)
    reason = models.CharField(max_length=32)
    note = models.TextField(blank=True)
    query = models.TextField(blank=True)
    positions = models.JSONField(default=list)
    proposed_by = models.CharField(max_length=254)
    proposed_at = models.BigIntegerField()
    decided_by = models.CharField(max_length=254, blank=True)
    decided_at = models.BigIntegerField(null=True)
    done_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"E-{self.pk}"
