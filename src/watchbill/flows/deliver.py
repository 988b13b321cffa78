"""Notifications go out: what the alerts' transactions queued is sent, proven by a receipt or tried again."""

from __future__ import annotations

import logging

from watchbill.core.clock import Clock
from watchbill.core.errors import DeliveryError, NotFoundError
from watchbill.core.times import rfc3339
from watchbill.engine.catalog import Catalog
from watchbill.sdk import Message, Receipt
from watchbill.state.alerts import actions
from watchbill.state.alerts.values import DeliveryJob

log = logging.getLogger(__name__)
BATCH = 20


def deliver(catalog: Catalog, base_url: str, clock: Clock) -> int:
    """Send what is due; returns how many deliveries were tried. A failure is stored with the delivery, and seen."""
    jobs = actions.claim_deliveries(at=clock.now(), limit=BATCH)
    for job in jobs:
        try:
            receipt = _send(catalog, job, base_url)
        except DeliveryError as error:
            log.warning("delivery %d by %s failed: %s", job.id, job.channel, error)
            actions.mark_failed(job.id, error=str(error), retry=error.retry, at=clock.now())
        else:
            actions.mark_sent(job.id, reference=receipt.reference, answer=receipt.answer, at=clock.now())
    return len(jobs)


def _send(catalog: Catalog, job: DeliveryJob, base_url: str) -> Receipt:
    try:
        notifier = catalog.notifier(job.kind)
    except NotFoundError as error:
        raise DeliveryError(str(error), retry=False) from None
    try:
        return notifier.send(job.config, message(job, base_url))
    except DeliveryError:
        raise
    except Exception as error:
        # A notifier from outside may fail in ways that are its own; the delivery then says so instead of the worker.
        raise DeliveryError(f"{job.kind} failed: {type(error).__name__}: {error}", retry=True) from error


def message(job: DeliveryJob, base_url: str) -> Message:
    """An alert in the words of a notification."""
    alert = job.alert
    if alert is None:
        text = f"This is a test of the channel {job.channel}. Nothing needs to be done."
        return Message(f"delivery-{job.id}", "Watchbill: test of this channel", text, "informational", base_url, {})
    url = f"{base_url}/alerts/{alert.id}"
    raised = {"raised": "now ", "reopened": "reopened: "}.get(job.reason, "")
    entities = "\n".join(f"{name}: {', '.join(values)}" for name, values in alert.entities.items())
    lines = [
        alert.title,
        f"Severity: {raised}{alert.severity} (asset {alert.host or 'unknown'}, criticality {alert.criticality})",
        f"Events: {alert.events}, from {rfc3339(alert.first)} to {rfc3339(alert.last)}",
        entities,
        *job.why,
        f"Controls: {', '.join(alert.controls)}",
        url,
    ]
    facts = {
        "alert": alert.id, "rule": alert.rule, "title": alert.title, "severity": alert.severity.value,
        "host": alert.host, "criticality": alert.criticality.value, "status": alert.status.value,
        "first": rfc3339(alert.first), "last": rfc3339(alert.last), "events": alert.events, "reason": job.reason,
        "entities": {name: list(values) for name, values in alert.entities.items()}, "controls": list(alert.controls),
    }  # fmt: skip
    subject = f"[{alert.severity.upper()}] {raised}{alert.title} ({alert.host or alert.id})"
    return Message(
        f"{alert.id}-{job.reason}-{job.id}", subject, "\n".join(filter(None, lines)), alert.severity, url, facts
    )
