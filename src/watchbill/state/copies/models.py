"""Second copies of the ledger."""

from __future__ import annotations

from django.db import models


class Copy(models.Model):
    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=16)
    config = models.JSONField(default=dict)
    #: The secret fields of the configuration, sealed with the installation's key.
    sealed = models.TextField(blank=True)
    secret_fields = models.JSONField(default=list)
    added_by = models.CharField(max_length=254)
    added_at = models.BigIntegerField()
    copied_at = models.BigIntegerField(default=0)
    upto = models.JSONField(default=dict)
    #: Since when it does not hold what the ledger has; 0 when it does.
    behind_since = models.BigIntegerField(default=0)
    #: When its falling behind was told; 0 when that is over.
    told_at = models.BigIntegerField(default=0)
    verified_at = models.BigIntegerField(default=0)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name
