"""Senders' tokens."""

from __future__ import annotations

from django.db import models


class SenderToken(models.Model):
    """``name`` is the source's. Two tokens may have one name, so that one can take the other's place."""

    name = models.CharField(max_length=100)
    format = models.CharField(max_length=64, blank=True)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    created_by = models.CharField(max_length=254)
    created_at = models.BigIntegerField()
    revoked_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"
