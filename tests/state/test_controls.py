"""What is known of a control, now and at any past moment, and what that is made of (row K1)."""

from __future__ import annotations

import hashlib
import json

import pytest

from watchbill.core.clock import DAY, HOUR
from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.values import ControlState, Severity
from watchbill.sdk.checks import Check, Outcome, Verdict
from watchbill.state.controls import actions, queries
from watchbill.state.controls.values import Signal
from watchbill.state.trail import queries as trail

NOW = 20_500 * DAY + 3 * HOUR
LEAD = "lead@example.com"
FRAMEWORK = [
    {"id": "9.2", "title": "Internal audit", "theme": "clause", "max_age": "365d"},
    {"id": "A.8.13", "title": "Information backup", "theme": "technological", "max_age": "1d"},
    {"id": "A.8.15", "title": "Logging", "theme": "technological", "max_age": "1d"},
]


@pytest.fixture(autouse=True)
def catalogue(state):
    actions.sync_framework("iso27001_2022", FRAMEWORK, NOW - 100 * DAY)


def checked(outcome, at=NOW, check_id="log_flow", controls=("A.8.15",)):
    check = Check(check_id, "Logs flow", controls, "", "", (), lambda _: Verdict(outcome, ""), ())
    return actions.record_result(check, Verdict(outcome, f"3 of 3 sources {outcome}"), {"sources": [1, 2.5]}, at)


def state_of(control="A.8.15", at=None):
    return queries.control(control, at).row.state


def alert(severity, control="A.8.15"):
    return Signal(control, "alert", "A-7", "Logging stopped on db-01", NOW, severity)


def test_nothing_known_is_unknown():
    """Silence is not a verdict."""
    actions.refresh_states(NOW)
    assert queries.summary().states[ControlState.UNKNOWN] == 3
    assert state_of() is ControlState.UNKNOWN


@pytest.mark.parametrize(
    ("outcome", "signals", "expected"),
    [
        (Outcome.PASSED, (), ControlState.PROVEN),
        (Outcome.FAILED, (), ControlState.FAILING),
        (Outcome.UNKNOWN, (), ControlState.UNKNOWN),
        (Outcome.PASSED, (alert(Severity.HIGH),), ControlState.FAILING),
        (Outcome.PASSED, (alert(Severity.CRITICAL, "A.8.13"),), ControlState.PROVEN),
        (Outcome.PASSED, (alert(Severity.MEDIUM),), ControlState.PROVEN),
        (None, (alert(Severity.MEDIUM),), ControlState.UNKNOWN),
        (None, (Signal("A.8.15", "rule", "log_stopped", "a rule watches it", NOW),), ControlState.UNKNOWN),
        (None, (alert(Severity.CRITICAL),), ControlState.FAILING),
    ],
)
def test_states(outcome, signals, expected):
    """Checks prove, grave alerts fail, rules only support."""
    if outcome:
        checked(outcome)
    actions.refresh_states(NOW, signals)
    assert state_of() is expected
    assert queries.control("A.8.15").row.reasons


def test_proof_ages():
    """A check that passed proves for its age and then is stale."""
    checked(Outcome.PASSED)
    actions.refresh_states(NOW + DAY)
    assert state_of() is ControlState.PROVEN
    actions.refresh_states(NOW + DAY + 1)
    assert state_of() is ControlState.STALE


def test_attestation_holds_until_it_ends_or_is_withdrawn():
    """Somebody's word counts while it is valid, below a proof and above nothing."""
    one = actions.attest("9.2", "audit of March seen", valid_until=NOW + 10 * DAY, by=LEAD, at=NOW)
    assert actions.refresh_states(NOW) == ("9.2",)
    assert state_of("9.2") is ControlState.ATTESTED
    actions.refresh_states(NOW + 10 * DAY)
    assert state_of("9.2") is ControlState.STALE
    actions.withdraw_attestation(one, by=LEAD, at=NOW + 11 * DAY)
    actions.refresh_states(NOW + 11 * DAY)
    assert state_of("9.2") is ControlState.UNKNOWN
    with pytest.raises(ConflictError):
        actions.withdraw_attestation(one, by=LEAD, at=NOW)


def test_the_past_stays_answerable():
    """At any past moment the state and its reasons are what was known then."""
    actions.refresh_states(NOW - 50 * DAY)
    checked(Outcome.PASSED, NOW - 2 * DAY)
    actions.refresh_states(NOW - 2 * DAY)
    actions.refresh_states(NOW - HOUR, (alert(Severity.HIGH),))
    checked(Outcome.PASSED, NOW)
    actions.refresh_states(NOW)
    asked = (NOW - 99 * DAY, NOW - 50 * DAY, NOW - 2 * DAY, NOW - HOUR, NOW)
    states = [state_of(at=at) for at in asked]
    assert states == [
        ControlState.UNKNOWN, ControlState.UNKNOWN, ControlState.PROVEN, ControlState.FAILING, ControlState.PROVEN,
    ]  # fmt: skip
    assert queries.control("A.8.15", NOW - HOUR).row.reasons[0].reference == "A-7"
    assert queries.summary(NOW - HOUR).states[ControlState.FAILING] == 1
    assert [row.state for row in queries.controls(NOW - HOUR)][2] is ControlState.FAILING


def test_the_strip_shows_the_worst_of_each_day():
    """A failure of an hour colours its day; days before anything was known are empty."""
    checked(Outcome.PASSED, NOW - 2 * DAY)
    actions.refresh_states(NOW - 2 * DAY)
    actions.refresh_states(NOW - HOUR, (alert(Severity.HIGH),))
    checked(Outcome.PASSED, NOW)
    actions.refresh_states(NOW)
    strip = queries.strip("A.8.15", 5, now=NOW)
    assert [day.state for day in strip] == [None, None, "proven", "proven", "failing"]


def test_nothing_new_is_no_change():
    """Judging again without news writes nothing."""
    checked(Outcome.PASSED)
    actions.refresh_states(NOW)
    entries, changes = len(trail.entries()), len(queries.control("A.8.15").changes)
    assert actions.refresh_states(NOW + HOUR) == ()
    assert (len(trail.entries()), len(queries.control("A.8.15").changes)) == (entries, changes)


def test_other_numbers_are_no_change():
    """A check that passes again with other words is shown as it is now, and adds nothing to the history."""
    checked(Outcome.PASSED)
    actions.refresh_states(NOW)
    changes = len(queries.control("A.8.15").changes)
    check = Check("log_flow", "Logs flow", ("A.8.15",), "", "", (), lambda _: Verdict(Outcome.PASSED, ""), ())
    actions.record_result(check, Verdict(Outcome.PASSED, "4 of 4 sources"), {}, NOW + HOUR)
    actions.refresh_states(NOW + HOUR)
    view = queries.control("A.8.15")
    assert len(view.changes) == changes
    assert "4 of 4 sources" in view.row.reasons[0].words


def test_results_can_be_judged_again():
    """The snapshot is kept as it was, and its digest stands in the trail."""
    result = queries.result(checked(Outcome.FAILED))
    text = json.dumps(result.snapshot, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == result.digest
    assert trail.about("check", "log_flow")[0].detail["snapshot_sha256"] == result.digest
    assert queries.results("log_flow") == (result,)


def test_a_late_result_does_not_replace_a_newer_one():
    """The newest result decides, not the last that was written."""
    checked(Outcome.PASSED, NOW)
    checked(Outcome.FAILED, NOW - HOUR)
    assert queries.checks()[0].outcome is Outcome.PASSED


def test_the_same_catalogue_again_is_no_change():
    """Each start brings the framework along; only what it says differently is told of."""
    framework = [{**FRAMEWORK[0], "edition_2013": ("9.2",)}, *FRAMEWORK[1:]]
    assert actions.sync_framework("iso27001_2022", framework, NOW) == ("9.2",)
    entries = len(trail.entries())
    assert actions.sync_framework("iso27001_2022", framework, NOW) == ()
    assert len(trail.entries()) == entries


def test_catalogue_follows_the_framework_and_keeps_history():
    """What changed is told; what is gone is retired; syncing again changes nothing."""
    assert actions.sync_framework("iso27001_2022", FRAMEWORK, NOW) == ()
    changed = [{**FRAMEWORK[0], "title": "Internal audits"}, FRAMEWORK[1]]
    assert actions.sync_framework("iso27001_2022", changed, NOW) == ("9.2", "A.8.15")
    assert [row.id for row in queries.controls()] == ["9.2", "A.8.13"]


def test_applicability_needs_its_reason_and_clauses_stay():
    """Only controls of Annex A can be left out, and never without a justification."""
    actions.set_applicable("A.8.13", applicable=False, justification="no data at rest", by=LEAD, at=NOW)
    assert (queries.summary().total, queries.summary().excluded) == (2, 1)
    with pytest.raises(WatchbillError, match="justification"):
        actions.set_applicable("A.8.15", applicable=False, justification=" ", by=LEAD, at=NOW)
    with pytest.raises(ConflictError):
        actions.set_applicable("9.2", applicable=False, justification="x", by=LEAD, at=NOW)
    with pytest.raises(NotFoundError):
        actions.set_owner("A.9.99", LEAD, by=LEAD, at=NOW)
