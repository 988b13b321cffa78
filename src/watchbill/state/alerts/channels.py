"""Channels, and the queue of deliveries that the worker empties. Reached through ``actions``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from django.db import transaction
from django.db.models import F

from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.values import Severity
from watchbill.state import secrets
from watchbill.state.alerts import views
from watchbill.state.alerts.models import Channel, Delivery
from watchbill.state.alerts.notifications import BACK_OFF, LEASE
from watchbill.state.alerts.values import SEVERITIES, DeliveryJob, DeliveryState
from watchbill.state.trail.actions import record
from watchbill.state.trail.values import SYSTEM


@transaction.atomic
def create_channel(
    kind: str, name: str, config: Mapping[str, str], *, secret: Collection[str] = (), min_severity: Severity,
    by: str, at: int, enabled: bool = True,
) -> int:  # fmt: skip
    """Make a channel of a notifier ``kind``. ``secret`` names the fields that are sealed and never shown again."""
    name = name.strip()
    if not name:
        raise WatchbillError("a channel needs a name")
    if Channel.objects.filter(name=name).exists():
        raise ConflictError(f"there is a channel {name} already", mend="choose another name")
    plain, sealed = _parted(config, secret)
    row = Channel.objects.create(
        kind=kind, name=name, config=plain, sealed=_seal(sealed), secret_fields=sorted(sealed),
        min_severity=min_severity.rank, enabled=enabled,
    )  # fmt: skip
    detail = {"name": name, "kind": kind, "config": plain, "secrets": sorted(sealed), "enabled": enabled,
              "min_severity": min_severity.value}  # fmt: skip
    record(by, "channel.create", "channel", str(row.pk), detail, at)
    return row.pk


@transaction.atomic
def change_channel(
    channel_id: int, *, by: str, at: int, name: str | None = None, config: Mapping[str, str] | None = None,
    secret: Collection[str] = (), min_severity: Severity | None = None, enabled: bool | None = None,
) -> None:  # fmt: skip
    """Change what is given. A secret field that is empty, "…" or left out of ``config`` keeps its value."""
    row = _channel(channel_id)
    before = _said(row)
    if name is not None:
        if Channel.objects.filter(name=name.strip()).exclude(pk=row.pk).exists():
            raise ConflictError(f"there is a channel {name} already", mend="choose another name")
        row.name = name.strip()
    detail: dict[str, object] = {}
    if config is not None:
        plain, sealed = _parted(config, secret)
        kept = {key: value for key, value in _secrets(row).items() if key in secret or not secret}
        row.config = {key: value for key, value in plain.items() if key not in kept}
        row.sealed, row.secret_fields = _seal(kept | sealed), sorted(kept | sealed)
        detail["secrets_changed"] = sorted(sealed)
    if min_severity is not None:
        row.min_severity = min_severity.rank
    if enabled is not None:
        row.enabled = enabled
    row.save()
    record(by, "channel.change", "channel", str(row.pk), {"from": before, "to": _said(row), **detail}, at)


@transaction.atomic
def remove_channel(channel_id: int, *, by: str, at: int) -> None:
    """Take a channel out of use. Its deliveries stay readable; those that wait are given up."""
    row = _channel(channel_id)
    name, row.name = row.name, f"{row.name[:80]} (removed {row.pk})"
    row.enabled, row.removed_at, row.sealed = False, at, ""
    row.save()
    waiting = Delivery.objects.filter(channel=row, next_try__isnull=False)
    gone = waiting.update(state=DeliveryState.GAVE_UP, next_try=None, done_at=at, error="the channel was removed")
    record(by, "channel.remove", "channel", str(row.pk), {"name": name, "given_up": gone}, at)


@transaction.atomic
def send_test(channel_id: int, *, by: str, at: int) -> int:
    """Queue a test message; returns the delivery's id."""
    row = _channel(channel_id)
    delivery = Delivery.objects.create(
        channel=row, alert=None, reason="test", severity=Severity.INFORMATIONAL.rank, state=DeliveryState.QUEUED,
        queued_at=at, next_try=at,
    )  # fmt: skip
    record(by, "channel.test", "channel", str(row.pk), {"name": row.name, "delivery": delivery.pk}, at)
    return delivery.pk


@transaction.atomic
def retry_delivery(delivery_id: int, *, by: str, at: int) -> None:
    """Try a delivery again now that failed or was given up."""
    row = _delivery(delivery_id)
    if row.state not in {DeliveryState.FAILED, DeliveryState.GAVE_UP} or row.channel.removed_at is not None:
        raise ConflictError(
            f"delivery {row.pk} is {row.state}", mend="only a failed one of a live channel can be retried"
        )
    row.state, row.next_try, row.done_at = DeliveryState.FAILED, at, None
    row.save(update_fields=["state", "next_try", "done_at"])
    record(by, "delivery.retry", "delivery", str(row.pk), {"channel": row.channel.name}, at)


@transaction.atomic
def claim_deliveries(*, at: int, limit: int = 20) -> tuple[DeliveryJob, ...]:
    """Take what is due, oldest first. A claim ends after five minutes: a worker that died is replaced."""
    due = Delivery.objects.select_for_update(skip_locked=True, of=("self",)).filter(next_try__lte=at)
    due = due.select_related("channel", "alert").exclude(channel__enabled=False, reason__in=("new", "raised"))
    rows = list(due.order_by("next_try", "pk")[:limit])
    keys = [row.pk for row in rows]
    Delivery.objects.filter(pk__in=keys).update(
        state=DeliveryState.SENDING, next_try=at + LEASE, tries=F("tries") + 1
    )  # fmt: skip
    alerts = {row.id: row for row in views.rows([row.alert for row in rows if row.alert])}
    return tuple(
        DeliveryJob(
            id=row.pk,
            tries=row.tries + 1,
            reason=row.reason,
            channel=row.channel.name,
            kind=row.channel.kind,
            config=row.channel.config | _secrets(row.channel),
            alert=alerts.get(f"A-{row.alert_id}"),
            why=tuple(row.alert.why) if row.alert else (),
        )
        for row in rows
    )


@transaction.atomic
def mark_sent(delivery_id: int, *, reference: str, answer: str, at: int) -> None:
    """Keep the proof of a delivery."""
    row = _delivery(delivery_id)
    row.state, row.next_try, row.done_at = DeliveryState.SENT, None, at
    row.reference, row.answer, row.error = reference[:300], answer, ""
    row.save()
    record(SYSTEM, "delivery.sent", "delivery", str(row.pk), {**_about(row), "reference": row.reference}, at)


@transaction.atomic
def mark_failed(delivery_id: int, *, error: str, retry: bool, at: int) -> None:
    """Keep why it failed, and when it is tried next; without ``retry`` or after the last try it is given up."""
    row = _delivery(delivery_id)
    row.error = error
    if retry and row.tries <= len(BACK_OFF):
        row.state, row.next_try = DeliveryState.FAILED, at + BACK_OFF[max(row.tries, 1) - 1]
    else:
        row.state, row.next_try, row.done_at = DeliveryState.GAVE_UP, None, at
    row.save()
    detail = {**_about(row), "tries": row.tries, "gave_up": row.next_try is None, "error": error}
    record(SYSTEM, "delivery.failed", "delivery", str(row.pk), detail, at)


def _about(row: Delivery) -> dict[str, object]:
    return {"channel": row.channel.name, "alert": f"A-{row.alert_id}" if row.alert_id else "", "reason": row.reason}


def _channel(channel_id: int) -> Channel:
    row = Channel.objects.select_for_update().filter(pk=channel_id, removed_at=None).first()
    if row is None:
        raise NotFoundError(f"there is no channel {channel_id}")
    return row


def _delivery(delivery_id: int) -> Delivery:
    row = Delivery.objects.select_for_update(of=("self",)).select_related("channel").filter(pk=delivery_id).first()
    if row is None:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    return row


def _parted(config: Mapping[str, str], secret: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    plain = {key: value for key, value in config.items() if key not in secret}
    return plain, {key: value for key, value in config.items() if key in secret and value not in {"", "…"}}


def _seal(sealed: Mapping[str, str]) -> str:
    return secrets.seal(json.dumps(dict(sealed))) if sealed else ""


def _secrets(row: Channel) -> dict[str, str]:
    found: dict[str, str] = json.loads(secrets.unseal(row.sealed)) if row.sealed else {}
    return found


def _said(row: Channel) -> dict[str, object]:
    return {
        "name": row.name, "config": row.config, "min_severity": SEVERITIES[row.min_severity - 1].value,
        "enabled": row.enabled,
    }  # fmt: skip
