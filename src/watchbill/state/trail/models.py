"""The outbox of actions. Rows are never changed but for where they went; a trigger in the database refuses the rest."""

from __future__ import annotations

from django.db import models


class Entry(models.Model):
    at = models.BigIntegerField()
    actor = models.CharField(max_length=254)
    action = models.CharField(max_length=64)
    kind = models.CharField(max_length=32)
    object_id = models.CharField(max_length=255)
    #: Canonical JSON as text: PostgreSQL's jsonb would reorder it, and this is what gets hashed into the ledger.
    detail = models.TextField()
    forwarded_shard = models.SmallIntegerField(null=True)
    forwarded_position = models.BigIntegerField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["kind", "object_id", "id"], name="trail_object"),
            models.Index(fields=["actor", "id"], name="trail_actor"),
            models.Index(fields=["action", "id"], name="trail_action"),
            models.Index(fields=["at", "id"], name="trail_at"),
            models.Index(fields=["id"], name="trail_pending", condition=models.Q(forwarded_position__isnull=True)),
        )

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.kind} {self.object_id}"
