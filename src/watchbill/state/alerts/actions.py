"""Everything that changes alerts. Times are UTC nanoseconds; ``by`` is the actor's e-mail address.

An action that does not fit the alert's status raises ConflictError with the mend; one that names no alert raises
NotFoundError. Channels and deliveries have their own module, ``channels``; their actions are exported here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.values import AlertStatus, Disposition
from watchbill.sdk.rules import Detection, RuleInfo
from watchbill.state.accounts.permissions import may
from watchbill.state.accounts.queries import user
from watchbill.state.alerts import life, notifications, raising, tallies
from watchbill.state.alerts.channels import (
    change_channel,
    claim_deliveries,
    create_channel,
    mark_failed,
    mark_sent,
    remove_channel,
    retry_delivery,
    send_test,
)
from watchbill.state.alerts.forgetting import forget_evidence
from watchbill.state.alerts.models import Alert, Entity, History
from watchbill.state.alerts.suppressions import end_suppression, suppress
from watchbill.state.alerts.values import Bulk, Raised, number
from watchbill.state.trail.actions import record

__all__ = [
    "acknowledge",
    "acknowledge_many",
    "assign",
    "change_channel",
    "claim_deliveries",
    "comment",
    "create_channel",
    "end_suppression",
    "forget_evidence",
    "investigate",
    "mark_failed",
    "mark_sent",
    "raise_alerts",
    "recount",
    "remove_channel",
    "reopen",
    "resolve",
    "resolve_many",
    "retry_delivery",
    "send_test",
    "suppress",
    "unacknowledge",
]


@transaction.atomic
def raise_alerts(detections: Sequence[Detection], infos: Mapping[str, RuleInfo], at: int) -> Raised:
    """Apply a batch of detections; thousands at once are fine. Each id counts once, in whatever order they come.

    There is at most one unresolved alert for each (rule, group): a detection adds to it, or opens one that names the
    last resolved one as its predecessor. Severity only rises. New and worsened alerts queue their notifications.
    """
    return raising.apply(detections, infos, at)


@transaction.atomic
def acknowledge(alert_id: str, *, by: str, at: int, comment: str = "") -> None:
    """Say that somebody has seen it: open -> acknowledged."""
    row = _alert(alert_id)
    row.acknowledged_at = row.acknowledged_at or at
    _step(row, "acknowledge", by=by, at=at, comment=comment)


@transaction.atomic
def acknowledge_many(alert_ids: Sequence[str], *, by: str, at: int, comment: str = "") -> Bulk:
    """Acknowledge all that are open, in one transaction; the others are refused with the reason."""
    return _many(alert_ids, lambda one: acknowledge(one, by=by, at=at, comment=comment))


@transaction.atomic
def unacknowledge(alert_id: str, *, by: str, at: int, comment: str = "") -> None:
    """Undo an acknowledgement: acknowledged -> open."""
    row = _alert(alert_id)
    row.acknowledged_at = None
    _step(row, "unacknowledge", by=by, at=at, comment=comment)


@transaction.atomic
def investigate(alert_id: str, *, by: str, at: int, comment: str = "") -> None:
    """Take it up: open or acknowledged -> investigating. Who begins is assigned, unless somebody is."""
    row = _alert(alert_id)
    row.acknowledged_at = row.acknowledged_at or at
    _step(row, "investigate", by=by, at=at, comment=comment)
    if not row.assignee and "@" in by:
        _assign(row, by, by=by, at=at)


@transaction.atomic
def resolve(alert_id: str, disposition: Disposition, *, by: str, at: int, comment: str = "") -> None:
    """Close it and say what it was. A false positive wants a comment: the rule's owner has to learn from it."""
    row = _alert(alert_id)
    if disposition is Disposition.FALSE_POSITIVE and not comment.strip():
        raise WatchbillError("a false positive needs its reason", mend="say in the comment why the rule was wrong")
    row.disposition = disposition.value
    row.acknowledged_at = row.acknowledged_at or at
    row.resolved_at = at
    _step(row, "resolve", by=by, at=at, comment=comment)


@transaction.atomic
def resolve_many(alert_ids: Sequence[str], disposition: Disposition, *, by: str, at: int, comment: str = "") -> Bulk:
    """Resolve all that are not, with one disposition; the others are refused with the reason."""
    return _many(alert_ids, lambda one: resolve(one, disposition, by=by, at=at, comment=comment))


@transaction.atomic
def reopen(alert_id: str, *, by: str, at: int, comment: str = "") -> None:
    """Take it up again, resolved -> open, and notify again. Refused while a newer alert of the same rule and group is unresolved."""
    row = _alert(alert_id)
    newer = Alert.objects.filter(digest=row.digest).exclude(status=AlertStatus.RESOLVED).exclude(pk=row.pk).first()
    if newer is not None and row.status == AlertStatus.RESOLVED:
        raise ConflictError(
            f"A-{newer.pk} is open for the same rule and the same things", mend=f"work on A-{newer.pk} instead"
        )
    row.disposition, row.resolved_at, row.acknowledged_at = "", None, None
    row.reopened += 1
    _step(row, "reopen", by=by, at=at, comment=comment)
    notifications.queue([(row, "reopened")], at)


@transaction.atomic
def comment(alert_id: str, text: str, *, by: str, at: int) -> None:
    """Add words to the history, whatever the status."""
    row, text = _alert(alert_id), text.strip()
    if not text:
        raise WatchbillError("an empty comment says nothing", mend="write something")
    History.objects.create(alert=row, at=at, who=by, what="comment", comment=text)
    record(by, "alert.comment", "alert", f"A-{row.pk}", {"comment": text}, at)


@transaction.atomic
def assign(alert_id: str, assignee: str, *, by: str, at: int) -> None:
    """Give it to an active person who may act on alerts, by e-mail address; "" to nobody."""
    row = _alert(alert_id)
    if row.status == AlertStatus.RESOLVED:
        raise ConflictError(f"A-{row.pk} is resolved", mend="reopen it first")
    if assignee:
        person = user(assignee)
        if not (person.is_active and may(person.role, "alerts.act")):
            raise ConflictError(f"{person.email} may not act on alerts", mend="choose an analyst or administrator")
        assignee = person.email
    _assign(row, assignee, by=by, at=at)


@transaction.atomic
def recount(at: int) -> None:
    """Count the alerts anew from what is there (after a restore by other means than Watchbill's own)."""
    tallies.recount()
    record("system", "alert.recount", "alert", "*", {}, at)


def _alert(alert_id: str) -> Alert:
    row = Alert.objects.select_for_update().filter(pk=number(alert_id)).first()
    if row is None:
        raise NotFoundError(f"there is no alert {alert_id}", mend="see the list: watchbill alerts")
    return row


def _step(row: Alert, step: str, *, by: str, at: int, comment: str) -> None:
    """Move an alert along its life: check, change, count, history, trail."""
    before, cell = row.status, tallies.cell(row)
    row.status = life.after(AlertStatus(before), step, f"A-{row.pk}")
    row.save(update_fields=["status", "acknowledged_at", "resolved_at", "disposition", "reopened"])
    Entity.objects.filter(alert=row).update(status=row.status)
    tallies.move([cell], [tallies.cell(row)])
    comment = comment.strip()
    after = f"{row.status} ({row.disposition})" if row.disposition else row.status
    History.objects.create(alert=row, at=at, who=by, what=step, before=before, after=after, comment=comment)
    detail: dict[str, Any] = {"from": before, "to": row.status, "rule": row.rule, "comment": comment}
    if row.disposition:
        detail["disposition"] = row.disposition
    record(by, f"alert.{step}", "alert", f"A-{row.pk}", detail, at)


def _assign(row: Alert, assignee: str, *, by: str, at: int) -> None:
    if row.assignee == assignee:
        return
    before, row.assignee = row.assignee, assignee
    row.save(update_fields=["assignee"])
    History.objects.create(alert=row, at=at, who=by, what="assign", before=before, after=assignee)
    record(by, "alert.assign", "alert", f"A-{row.pk}", {"from": before, "to": assignee}, at)


def _many(alert_ids: Sequence[str], do: Any) -> Bulk:
    done, refused = [], []
    # Locked in one order, so that two of these at once cannot block each other.
    for pk in sorted({number(one) for one in alert_ids}):
        try:
            with transaction.atomic():
                do(f"A-{pk}")
        except (ConflictError, NotFoundError) as error:
            refused.append((f"A-{pk}", str(error)))
        else:
            done.append(f"A-{pk}")
    return Bulk(tuple(done), tuple(refused))
