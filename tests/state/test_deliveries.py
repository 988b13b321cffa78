"""Notifications: queued with what they tell of, tried again, proven or given up, and all of it visible."""

from __future__ import annotations

import pytest
from alert_detections import INFOS, NOW, detection
from django.db import transaction

from watchbill.core.errors import ConflictError, NotFoundError
from watchbill.core.values import Disposition, Severity
from watchbill.state.alerts import actions, models, queries
from watchbill.state.alerts.notifications import BACK_OFF, LEASE
from watchbill.state.alerts.values import DeliveryState
from watchbill.state.trail import queries as trail

ADMINISTRATOR = "admin@example.com"


@pytest.fixture
def channel():
    return actions.create_channel(
        "webhook", "on call", {"url": "https://hooks.example.com/x", "key": "s3cret"}, secret=["key"],
        min_severity=Severity.HIGH, by=ADMINISTRATOR, at=NOW,
    )  # fmt: skip


def raised(name="a", **rest):
    return actions.raise_alerts([detection(name, **rest)], INFOS, NOW)


def test_only_what_the_channel_wants_is_queued(channel):
    """An alert below the channel's severity is told when it becomes worse, and once."""
    (one,) = raised(severity=Severity.LOW).created
    assert queries.alert(one).deliveries == ()
    raised("b", severity=Severity.CRITICAL)
    raised("c", severity=Severity.CRITICAL)
    assert [(d.reason, d.severity) for d in queries.alert(one).deliveries] == [("raised", Severity.CRITICAL)]


def test_delivery_shares_the_alerts_fate(channel):
    """A transaction that fails leaves neither alert nor notification."""
    with transaction.atomic():
        raised(severity=Severity.HIGH)
        transaction.set_rollback(True)
    assert actions.claim_deliveries(at=NOW) == ()


def test_claim_then_proof(channel):
    """A claimed delivery has all that is needed to send it, is claimed by nobody else, and keeps its receipt."""
    (one,) = raised(severity=Severity.HIGH).created
    (job,) = actions.claim_deliveries(at=NOW)
    assert (job.alert.id, job.kind, job.tries) == (one, "webhook", 1)
    assert job.config == {"url": "https://hooks.example.com/x", "key": "s3cret"}
    assert job.why == ("a: 3 failed sign-ins",)
    assert actions.claim_deliveries(at=NOW + LEASE - 1) == ()
    actions.mark_sent(job.id, reference="202", answer="accepted", at=NOW + 5)
    (view,) = queries.alert(one).deliveries
    assert (view.state, view.reference, view.answer, view.done_at) == (DeliveryState.SENT, "202", "accepted", NOW + 5)
    assert actions.claim_deliveries(at=NOW + 10 * LEASE) == ()


def test_a_dead_workers_claim_ends(channel):
    """Nothing is lost when a worker dies while sending."""
    raised(severity=Severity.HIGH)
    (job,) = actions.claim_deliveries(at=NOW)
    (again,) = actions.claim_deliveries(at=NOW + LEASE)
    assert (again.id, again.tries) == (job.id, 2)


def test_failures_back_off_and_end(channel):
    """Each try waits longer; after the last it is given up, and each failure stands on the trail."""
    raised(severity=Severity.HIGH)
    at = NOW
    for tries, pause in enumerate(BACK_OFF, 1):
        (job,) = actions.claim_deliveries(at=at)
        assert job.tries == tries
        actions.mark_failed(job.id, error="connection refused", retry=True, at=at)
        assert actions.claim_deliveries(at=at + pause - 1) == ()
        at += pause
    (job,) = actions.claim_deliveries(at=at)
    actions.mark_failed(job.id, error="connection refused", retry=True, at=at)
    assert queries.deliveries()[0].state is DeliveryState.GAVE_UP
    assert queries.channels()[0].gave_up == 1
    assert len([one for one in trail.entries() if one.action == "delivery.failed"]) == len(BACK_OFF) + 1
    actions.retry_delivery(job.id, by=ADMINISTRATOR, at=at)
    assert len(actions.claim_deliveries(at=at)) == 1


def test_hopeless_failures_are_given_up_at_once(channel):
    """What trying again cannot mend is not tried again."""
    raised(severity=Severity.HIGH)
    (job,) = actions.claim_deliveries(at=NOW)
    actions.mark_failed(job.id, error="no such address", retry=False, at=NOW)
    assert queries.deliveries(state=DeliveryState.GAVE_UP)[0].error == "no such address"


def test_each_life_of_an_alert_has_its_news(channel):
    """Reopening notifies each time."""
    (one,) = raised(severity=Severity.HIGH).created
    for _ in range(2):
        actions.resolve(one, Disposition.BENIGN, by=ADMINISTRATOR, at=NOW)
        actions.reopen(one, by=ADMINISTRATOR, at=NOW)
    assert [d.reason for d in queries.alert(one).deliveries] == ["new", "reopened", "reopened"]


def test_secrets_are_sealed_and_kept(channel):
    """A secret is in no row, view or trail entry in clear; changing other fields keeps it."""
    row = models.Channel.objects.get()
    assert "s3cret" not in repr((row.config, row.sealed, queries.channels(), trail.entries()))
    assert queries.channel(channel).config["key"] == "…"
    actions.change_channel(
        channel, config={"url": "https://hooks.example.com/y", "key": "…"}, secret=["key"], by=ADMINISTRATOR, at=NOW
    )
    raised(severity=Severity.HIGH)
    (job,) = actions.claim_deliveries(at=NOW)
    assert job.config == {"url": "https://hooks.example.com/y", "key": "s3cret"}


def test_removed_channel_gives_up_what_waits(channel):
    """A removed channel sends nothing, keeps its record, and its name is free again."""
    (one,) = raised(severity=Severity.HIGH).created
    actions.remove_channel(channel, by=ADMINISTRATOR, at=NOW)
    assert queries.alert(one).deliveries[0].state is DeliveryState.GAVE_UP
    assert queries.channels() == ()
    with pytest.raises(NotFoundError):
        actions.send_test(channel, by=ADMINISTRATOR, at=NOW)
    actions.create_channel("email", "on call", {}, min_severity=Severity.LOW, by=ADMINISTRATOR, at=NOW)
    with pytest.raises(ConflictError):
        actions.create_channel("email", "on call", {}, min_severity=Severity.LOW, by=ADMINISTRATOR, at=NOW)


def test_a_test_message_needs_no_alert(channel):
    """A channel can be tried out before it is needed."""
    actions.send_test(channel, by=ADMINISTRATOR, at=NOW)
    (job,) = actions.claim_deliveries(at=NOW)
    assert (job.reason, job.alert) == ("test", None)
