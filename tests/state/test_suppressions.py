"""What people declared to be expected: counted, told to nobody, over when its time is."""

from __future__ import annotations

import pytest
from alert_detections import INFOS, NOW, detection

from watchbill.core.clock import DAY, HOUR
from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.values import AlertStatus, Disposition, Severity
from watchbill.state.alerts import actions, queries
from watchbill.state.alerts.values import UNRESOLVED, AlertFilter, SuppressionState
from watchbill.state.trail import queries as trail

ANALYST = "ana@example.com"
RULE = "ssh_brute_force"
SCANNER = (("src_ip", "192.0.2.0/24"),)


def suppress(rule=RULE, conditions=SCANNER, *, days=1, at=NOW, **rest) -> str:
    return actions.suppress(
        rule, conditions, reason="the weekly scan", expires_at=at + days * DAY, by=ANALYST, at=at, **rest
    )


@pytest.fixture(autouse=True)
def channel(state):
    return actions.create_channel("webhook", "all", {}, min_severity=Severity.LOW, by=ANALYST, at=NOW)


@pytest.fixture
def seen():
    """The rule has alerted before, elsewhere: one can suppress only what exists."""
    actions.raise_alerts([detection("before", host="old-01", src_ip="203.0.113.1")], INFOS, NOW - DAY)


def raised(*detections, at=NOW + HOUR):
    return actions.raise_alerts(list(detections), INFOS, at)


def told() -> list[tuple[str, str]]:
    return [(one.alert, one.reason) for one in reversed(queries.deliveries()) if one.alert]


def test_what_is_covered_is_counted_and_told_to_nobody(seen):
    """The alert is there with its evidence and the suppression's name; lists of what needs somebody leave it out."""
    made, before = suppress(), told()
    (one,) = raised(detection("d1", count=7), detection("d2", first=NOW + 60)).created
    found = queries.alert(one)
    assert found.row.status is AlertStatus.SUPPRESSED
    assert (found.row.events, {part.suppression for part in found.detections}) == (10, {made})
    assert told() == before
    assert one not in {row.id for row in queries.alerts(AlertFilter(status=UNRESOLVED)).items}
    assert one in {row.id for row in queries.alerts(AlertFilter(status=(AlertStatus.SUPPRESSED,))).items}
    view = queries.suppression(made, NOW + HOUR)
    assert (view.detections, view.events, view.alerts, view.last_hit) == (2, 10, (one,), NOW + HOUR)


@pytest.mark.parametrize(
    ("rule", "conditions", "up_to", "covered"),
    [
        (RULE, [("src_ip", "192.0.2.0/24")], Severity.HIGH, True),
        (RULE, [("src_ip", "192.0.2.7")], Severity.HIGH, True),
        (RULE, [("src_ip", "198.51.100.0/24")], Severity.HIGH, False),
        (RULE, [("src_ip", "2001:db8::/32")], Severity.HIGH, False),
        (RULE, [("host", "WEB-*")], Severity.HIGH, True),
        (RULE, [("host", "web-*"), ("user", "backup")], Severity.HIGH, False),
        (RULE, [("process", "*scan*")], Severity.HIGH, False),
        ("", [("user", "root")], Severity.HIGH, True),
        ("log_stopped", [("user", "root")], Severity.HIGH, False),
        (RULE, [], Severity.LOW, False),
        (RULE, [], Severity.MEDIUM, True),
    ],
    ids=range(11),
)
def test_what_a_suppression_covers(seen, rule, conditions, up_to, covered):
    """All conditions must hold, a severity beyond its limit is never hidden."""
    raised(detection("other", rule="log_stopped", host="old-02", user="eve", src_ip="203.0.113.2"))
    suppress(rule, conditions, up_to=up_to)
    (one,) = raised(detection("d1")).created
    assert (queries.alert(one).row.status is AlertStatus.SUPPRESSED) is covered


def test_one_foreign_address_among_the_expected_ones_is_not_expected(seen):
    """Whoever hides behind the scanner is told of."""
    suppress()
    mixed = detection("d1")
    mixed.entities["src_ip"] = ("192.0.2.7", "203.0.113.9")
    (one,) = raised(mixed).created
    assert queries.alert(one).row.status is AlertStatus.OPEN


@pytest.mark.parametrize("together", [True, False])
def test_evidence_that_nothing_covers_opens_the_alert(seen, together):
    """In one batch or later, the outcome is the same: open, and people are told once."""
    suppress()
    parts = [detection("d1"), detection("d2", src_ip="203.0.113.9", first=NOW + 60)]
    for batch in [parts] if together else [[one] for one in parts]:
        raised(*batch)
    (row,) = queries.alerts(AlertFilter(host=("web-01",))).items
    assert (row.status, row.detections) == (AlertStatus.OPEN, 2)
    assert [alert for alert, _ in told()].count(row.id) == 1


def test_after_its_time_the_next_evidence_opens_the_alert(seen):
    """Expiry needs nobody to remember it."""
    made = suppress(days=1)
    raised(detection("d1"))
    late = NOW + 2 * DAY
    raised(detection("d2", first=late), at=late)
    (row,) = queries.alerts(AlertFilter(host=("web-01",))).items
    assert row.status is AlertStatus.OPEN
    assert queries.suppression(made, late).state is SuppressionState.EXPIRED
    assert told()[-1] == (row.id, "unsuppressed")


def test_open_alerts_that_match_are_suppressed_at_once_and_come_back_when_it_ends():
    """Ending it early opens what nothing else covers, and tells of it."""
    (one,) = raised(detection("d1"), at=NOW).created
    first, second = suppress(), suppress(conditions=[("host", "web-01")])
    assert queries.alert(one).row.status is AlertStatus.SUPPRESSED
    assert queries.counts().unresolved[Severity.MEDIUM] == 0
    assert actions.end_suppression(first, by=ANALYST, at=NOW + 1) == ()
    assert actions.end_suppression(second, by=ANALYST, at=NOW + 2) == (one,)
    assert queries.alert(one).row.status is AlertStatus.OPEN
    assert [reason for alert, reason in told() if alert == one] == ["new", "unsuppressed"]
    with pytest.raises(ConflictError, match="is over"):
        actions.end_suppression(second, by=ANALYST, at=NOW + 3)


def test_ended_quietly_it_leaves_its_alerts_as_they_are():
    (one,) = raised(detection("d1"), at=NOW).created
    actions.end_suppression(suppress(), by=ANALYST, at=NOW + 1, reopen=False)
    assert queries.alert(one).row.status is AlertStatus.SUPPRESSED
    actions.resolve(one, Disposition.BENIGN, by=ANALYST, at=NOW + 2)
    assert queries.alert(one).row.status is AlertStatus.RESOLVED


def test_who_suppressed_what_and_why_is_in_the_trail(seen):
    made = suppress()
    actions.end_suppression(made, by="bea@example.com", at=NOW + 1)
    entries = {entry.action: entry for entry in trail.about("suppression", made)}
    assert entries["alert.suppress"].detail["reason"] == "the weekly scan"
    assert entries["alert.suppress_end"].actor == "bea@example.com"


@pytest.mark.parametrize(
    ("rule", "conditions", "rest", "said"),
    [
        ("", (), {}, "suppress everything"),
        (RULE, [("colour", "red")], {}, "cannot be asked for"),
        (RULE, [("user", "**")], {}, "holds for everything"),
        (RULE, [("user", "a*b*c*d*e*f")], {}, "too wide"),
        (RULE, [("src_ip", "192.0.2.0/99")], {}, "no network"),
        (RULE, (), {"reason": " "}, "needs its reason"),
        (RULE, (), {"expires_at": NOW}, "over before it begins"),
        (RULE, (), {"expires_at": NOW + 400 * DAY}, "within a year"),
    ],
    ids=range(8),
)
def test_what_would_hide_too_much_is_refused(seen, rule, conditions, rest, said):
    asked = {"reason": "because", "expires_at": NOW + DAY, "by": ANALYST, "at": NOW} | rest
    with pytest.raises(WatchbillError, match=said):
        actions.suppress(rule, conditions, **asked)
    assert queries.suppressions(NOW) == ()


def test_a_rule_that_does_not_exist_cannot_be_suppressed(state):
    with pytest.raises(NotFoundError, match="has alerted yet"):
        suppress("ssh_brute_forse")
