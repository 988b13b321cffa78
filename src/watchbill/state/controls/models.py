"""Controls, every change of what is known of them, and what that knowledge is made of."""

from __future__ import annotations

from django.db import models

from watchbill.core.values import ControlState
from watchbill.sdk.checks import Outcome

_STATES = [(state.value, state.value) for state in ControlState]
_OUTCOMES = [(outcome.value, outcome.value) for outcome in Outcome]


class Control(models.Model):
    #: The framework's number: "A.8.15", "9.2".
    key = models.CharField(max_length=32, unique=True)
    framework = models.CharField(max_length=64)
    place = models.IntegerField()
    title = models.CharField(max_length=300)
    theme = models.CharField(max_length=32)
    max_age = models.BigIntegerField()
    #: All that the framework says of it, as it stands in the catalogue.
    facts = models.JSONField(default=dict)
    #: A control that the catalogue no longer holds keeps its history.
    retired = models.BooleanField(default=False)
    owner = models.CharField(max_length=254, blank=True)
    applicable = models.BooleanField(default=True)
    justification = models.TextField(blank=True)
    state = models.CharField(max_length=16, choices=_STATES, default=ControlState.UNKNOWN)
    since = models.BigIntegerField()
    reasons = models.JSONField(default=list)

    class Meta:
        indexes = (models.Index(fields=["framework", "place"], name="control_place"),)

    def __str__(self) -> str:
        return f"{self.key} {self.title}"


class Change(models.Model):
    """What was known of a control from ``at`` on, until the next change."""

    control = models.ForeignKey(Control, on_delete=models.CASCADE, related_name="changes")
    at = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=_STATES)
    reasons = models.JSONField(default=list)

    class Meta:
        indexes = (models.Index(fields=["control", "at"], name="control_change"),)

    def __str__(self) -> str:
        return f"{self.control_id} {self.state}"


class Check(models.Model):
    """A check as of its newest result."""

    key = models.CharField(max_length=128, unique=True)
    title = models.CharField(max_length=300)
    controls = models.JSONField(default=list)
    max_age = models.BigIntegerField()
    outcome = models.CharField(max_length=16, choices=_OUTCOMES)
    summary = models.TextField()
    at = models.BigIntegerField()
    #: When it last passed; None for never.
    passed_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return self.key


class Result(models.Model):
    """A verdict with the snapshot that it was made from, so that it can be judged again."""

    check_row = models.ForeignKey(Check, on_delete=models.CASCADE, related_name="results")
    at = models.BigIntegerField()
    outcome = models.CharField(max_length=16, choices=_OUTCOMES)
    summary = models.TextField()
    findings = models.JSONField(default=list)
    #: JSON as text, because its digest stands in the trail.
    snapshot = models.TextField()
    digest = models.CharField(max_length=64)

    class Meta:
        indexes = (models.Index(fields=["check_row", "-at"], name="check_result"),)

    def __str__(self) -> str:
        return f"{self.check_row_id} {self.outcome}"


class Attestation(models.Model):
    control = models.ForeignKey(Control, on_delete=models.CASCADE, related_name="attestations")
    who = models.CharField(max_length=254)
    statement = models.TextField()
    at = models.BigIntegerField()
    valid_until = models.BigIntegerField()
    withdrawn_at = models.BigIntegerField(null=True)

    class Meta:
        indexes = (models.Index(fields=["control", "-at"], name="attestation_control"),)

    def __str__(self) -> str:
        return f"{self.control_id} {self.who}"
