"""Detections become alerts: at most one unresolved for each rule and group, whatever comes in whatever order."""

from __future__ import annotations

import random

import pytest
from alert_detections import INFOS, NOW, detection
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.core.values import Disposition, Severity
from watchbill.state.alerts import actions, models, queries, tallies
from watchbill.state.alerts.raising import KEPT
from watchbill.state.alerts.values import AlertFilter
from watchbill.state.trail import queries as trail

SECOND = 1_000_000_000


def raised(*detections, at=NOW):
    return actions.raise_alerts(detections, INFOS, at)


def story(alert_id):
    """All that must not depend on the order of arrival."""
    view = queries.alert(alert_id)
    row = view.row
    return (
        row.rule, row.group, row.severity, row.criticality, row.first, row.last, row.events, row.detections,
        row.entities, row.controls, view.why, view.evidence, row.title,
    )  # fmt: skip


def test_one_alert_for_each_rule_and_group():
    """Two hosts are two stories; more evidence of one is added to it."""
    found = raised(detection("a"), detection("b", first=NOW + 60 * SECOND), detection("c", host="db-01"))
    assert len(found.created) == 2
    first = queries.alert(found.created[0])
    assert (first.row.events, first.row.detections, len(first.evidence)) == (6, 2, 6)
    again = raised(detection("d", first=NOW + 120 * SECOND))
    assert again.created == ()
    assert again.updated == (found.created[0],)
    assert queries.alert(found.created[0]).row.last == NOW + 122 * SECOND


def test_a_detection_counts_once():
    """Judging the same events twice changes nothing, within a batch and across batches."""
    (alert_id,) = raised(detection("a"), detection("a")).created
    before = story(alert_id)
    assert raised(detection("a"), at=NOW + 1).repeated == 1
    assert story(alert_id) == before


def test_the_database_itself_allows_one_unresolved_alert():
    """The constraint holds for whoever writes."""
    (alert_id,) = raised(detection()).created
    twin = models.Alert.objects.get(pk=alert_id[2:])
    twin.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


def test_severity_only_rises():
    """A worse detection makes the alert worse and is told; a lesser one changes nothing."""
    (alert_id,) = raised(detection("a", severity=Severity.MEDIUM)).created
    assert raised(detection("b", severity=Severity.CRITICAL, first=NOW + SECOND)).raised == (alert_id,)
    assert raised(detection("c", severity=Severity.LOW, first=NOW + 2 * SECOND)).raised == ()
    view = queries.alert(alert_id)
    assert view.row.severity is Severity.CRITICAL
    assert view.why == ("b: 3 failed sign-ins",)
    assert [(one.before, one.after) for one in view.history if one.what == "severity"] == [("medium", "critical")]
    assert [one.action for one in trail.about("alert", alert_id)] == ["alert.raise", "alert.open"]


def test_after_resolution_a_new_alert_names_its_predecessor():
    """What was resolved stays resolved; what comes then says that it was seen before."""
    (old,) = raised(detection("a")).created
    actions.resolve(old, Disposition.BENIGN, by="ana@example.com", at=NOW)
    (new,) = raised(detection("b", first=NOW + SECOND)).created
    assert queries.alert(new).predecessor == old
    assert queries.alert(old).successor == new
    assert queries.alert(new).history[0].comment == f"seen before: {old}"
    assert raised(detection("a")).repeated == 1


def test_evidence_keeps_both_ends_and_counts_all():
    """Of a long story the first and the newest hundred events are kept, in whatever order it came."""
    parts = [detection(f"d{n}", first=NOW + n * 10 * SECOND, count=10, events=10) for n in range(60)]
    random.Random(3).shuffle(parts)
    (alert_id,) = raised(*parts[:20]).created
    raised(*parts[20:45])
    raised(*parts[45:])
    view = queries.alert(alert_id)
    times = [ref.time for ref in view.evidence]
    every = [NOW + n * SECOND for n in range(600)]
    assert times == every[:KEPT] + every[-KEPT:]
    assert view.row.events == 600


def test_an_unknown_rule_still_alerts():
    """A rule that was unloaded between judging and storing loses nothing."""
    (alert_id,) = raised(detection(rule="gone")).created
    assert queries.alert(alert_id).row.title == "gone"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_order_and_repetition_change_nothing(data):
    """Any order, any split into batches, any repetition: the same alerts in the end."""
    whole = data.draw(
        st.lists(
            st.builds(
                detection,
                st.sampled_from([f"d{n}" for n in range(30)]),
                host=st.sampled_from(["web-01", "db-01"]),
                severity=st.sampled_from(Severity),
                first=st.integers(0, 500).map(lambda n: NOW + n * SECOND),
                count=st.integers(1, 9),
                events=st.integers(0, 9),
                user=st.sampled_from(["root", "ana"]),
            ),
            min_size=1, max_size=12, unique_by=lambda one: one.id,
        )
    )  # fmt: skip
    shuffled = data.draw(st.permutations(whole)) + data.draw(st.lists(st.sampled_from(whole), max_size=5))
    cut = data.draw(st.integers(0, len(shuffled)))
    outcomes = []
    for batches in ([whole], [shuffled[:cut], shuffled[cut:]]):
        with transaction.atomic():
            for batch in batches:
                raised(*batch)
            outcomes.append(sorted(repr(story(row.id)) for row in queries.alerts(AlertFilter(size=50)).items))
            kept = sorted(
                models.Tally.objects.filter(count__gt=0).values_list("dimension", "value", "severity", "count")
            )
            tallies.recount()
            assert kept == sorted(models.Tally.objects.values_list("dimension", "value", "severity", "count"))
            transaction.set_rollback(True)
    assert outcomes[0] == outcomes[1]


def test_thousands_at_once():
    """A large batch is one transaction, and its statements do not grow with it one by one."""
    many = [detection(f"d{n}", host=f"host-{n % 300}", events=1) for n in range(1200)]
    with CaptureQueriesContext(connection) as captured:
        found = raised(*many)
    assert len(captured) < 60
    assert (len(found.created), queries.counts().status["open"]) == (300, 300)
