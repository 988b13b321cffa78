"""Controls: every check gets a snapshot that it can judge, and nothing is passed that was not looked at."""

from __future__ import annotations

import pytest

from watchbill.core.clock import DAY, SECOND
from watchbill.core.values import Role, Severity
from watchbill.flows import prove
from watchbill.flows.assess import SNAPSHOTS, assess
from watchbill.sdk import Outcome
from watchbill.state.accounts import actions as accounts
from watchbill.state.alerts import actions as alerts
from watchbill.state.controls import queries


def outcomes(place) -> dict[str, Outcome]:
    assess(place.data, place.catalog, place.rules, place.clock, force=True)
    found = {one.id: one for one in queries.checks()}
    assert set(found) == {check.id for check in place.catalog.checks}
    assert not [one for one in found.values() if "could not judge" in one.summary]
    return {name: one.outcome for name, one in found.items()}


def test_every_name_that_a_check_reads_has_a_snapshot(place):
    """A new check that reads something new fails here first."""
    assert {name for check in place.catalog.checks for name in check.reads} <= set(SNAPSHOTS)


def test_on_an_empty_installation_nothing_is_passed(place):
    """Only the disk can be looked at before anything was received or set up; no control is proven by silence."""
    passed = {name for name, outcome in outcomes(place).items() if outcome is Outcome.PASSED}
    assert passed <= {"storage_has_room"}
    watched = {control for check in place.catalog.checks for control in check.controls}
    for row in queries.controls():
        assert row.state.value != "proven" or (row.id in watched and "storage" in row.reasons[0].reference), row
        assert row.state.value == "proven" or row.reasons, f"{row.id} says no reason"


def test_on_a_living_installation_every_check_can_judge(place, story):
    """With sources, assets, people, alerts, channels and a verified ledger, the checks' words are about those."""
    place.receive(*story.lines[-400:], transport="syslog-tcp")
    place.judge()
    place.clock.advance(2 * SECOND)
    accounts.create_user("admin@example.com", role=Role.ADMINISTRATOR, at=place.clock.now())
    alerts.create_channel("webhook", "hook", {"url": "http://127.0.0.1:9/"}, min_severity=Severity.HIGH, by="x", at=1)
    prove.verify(place.data, place.clock)
    found = outcomes(place)
    assert found["ledger_verified"] is Outcome.PASSED
    assert found["administrators_have_mfa"] is Outcome.FAILED
    assert found["alerts_delivered"] is Outcome.UNKNOWN
    assert found["assets_owned"] is Outcome.FAILED
    open_alerts = {control for alert in place.alerts() for control in place.rules.infos[alert[0]].controls}
    reasons = {row.id: {reason.kind for reason in row.reasons} for row in queries.controls()}
    assert open_alerts
    assert all("alert" in reasons[control] for control in open_alerts)


def test_a_check_runs_when_it_is_due(place):
    """Between its times it is left alone; results older than it allows make its controls stale, not proven."""
    assess(place.data, place.catalog, place.rules, place.clock)
    first = {one.id: one.at for one in queries.checks()}
    place.clock.advance(SECOND)
    assess(place.data, place.catalog, place.rules, place.clock)
    assert {one.id: one.at for one in queries.checks()} == first
    place.clock.advance(40 * DAY)
    assess(place.data, place.catalog, place.rules, place.clock)
    assert all(one.at == place.clock.now() for one in queries.checks())


def test_a_check_that_breaks_says_unknown(place):
    """Its own fault neither passes nor keeps the others from judging."""

    def judge(_snapshot):
        raise ValueError("no such field")

    broken = place.catalog.checks[0]._replace(judge=judge)

    class Catalog:
        checks = (broken, *place.catalog.checks[1:])

    assess(place.data, Catalog(), place.rules, place.clock, force=True)
    found = {one.id: one for one in queries.checks()}
    assert found[broken.id].outcome is Outcome.UNKNOWN
    assert "no such field" in found[broken.id].summary
    assert len(found) == len(place.catalog.checks)


@pytest.mark.parametrize("name", sorted(SNAPSHOTS))
def test_a_snapshot_can_be_kept(place, name):
    """What was judged is stored with the result: plain JSON without floats, so that its digest is exact."""
    from watchbill.core import canonical

    assert canonical.dumps(SNAPSHOTS[name](place.data, place.clock.now()))
