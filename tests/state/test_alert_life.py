"""The life of an alert (row A1): every step that is allowed, every one that is not, and what each leaves behind."""

from __future__ import annotations

import pytest
from alert_detections import INFOS, NOW, detection

from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.values import AlertStatus, Disposition, Role
from watchbill.state.accounts import actions as accounts
from watchbill.state.alerts import actions, models, queries, tallies
from watchbill.state.alerts.life import STEPS, allowed
from watchbill.state.alerts.values import AlertFilter, number
from watchbill.state.trail import queries as trail

ANALYST = "ana@example.com"
DO = {
    "acknowledge": lambda one: actions.acknowledge(one, by=ANALYST, at=NOW + 1),
    "unacknowledge": lambda one: actions.unacknowledge(one, by=ANALYST, at=NOW + 2),
    "investigate": lambda one: actions.investigate(one, by=ANALYST, at=NOW + 3),
    "resolve": lambda one: actions.resolve(one, Disposition.TRUE_POSITIVE, by=ANALYST, at=NOW + 4),
    "reopen": lambda one: actions.reopen(one, by=ANALYST, at=NOW + 5),
}
WAYS = {
    AlertStatus.OPEN: (),
    AlertStatus.ACKNOWLEDGED: ("acknowledge",),
    AlertStatus.INVESTIGATING: ("investigate",),
    AlertStatus.SUPPRESSED: ("suppress",),
    AlertStatus.RESOLVED: ("resolve",),
}
TAKE = DO | {
    "suppress": lambda one: actions.suppress(
        queries.alert(one).row.rule, [], reason="tests", expires_at=NOW + 10, by=ANALYST, at=NOW
    )
}


def alert(name="d1", **rest) -> str:
    (made,) = actions.raise_alerts([detection(name, **rest)], INFOS, NOW).created
    return made


def tallied() -> list:
    return sorted(
        models.Tally.objects.filter(count__gt=0).values_list("dimension", "value", "status", "severity", "count")
    )


@pytest.mark.parametrize("step", DO)
@pytest.mark.parametrize("status", AlertStatus)
def test_every_step_from_every_status(status, step):
    """A step leads where the life says, with history and trail, or is refused with the mend and changes nothing."""
    one = alert()
    for before in WAYS[status]:
        TAKE[before](one)
    if step in allowed(status):
        DO[step](one)
        view = queries.alert(one)
        assert view.row.status is STEPS[step][1]
        assert [(entry.who, entry.what) for entry in view.history if entry.what != "assign"][-1] == (ANALYST, step)
        assert f"alert.{step}" in {entry.action for entry in trail.about("alert", one)}
    else:
        history = queries.alert(one).history
        with pytest.raises(ConflictError, match="To mend"):
            DO[step](one)
        assert queries.alert(one).history == history
    kept = tallied()
    tallies.recount()
    assert tallied() == kept
    assert set(models.Entity.objects.values_list("status", flat=True)) == {queries.alert(one).row.status.value}


def test_times_of_handling():
    """Mean times are over what was handled, and say how many that is."""
    first, second = alert("a"), alert("b", host="db-01")
    actions.acknowledge(first, by=ANALYST, at=NOW + 10)
    actions.resolve(first, Disposition.TRUE_POSITIVE, by=ANALYST, at=NOW + 40)
    found = queries.times(NOW, NOW + 100)
    assert (found.opened, found.acknowledged, found.resolved) == (2, 1, 1)
    assert (found.to_acknowledge, found.to_resolve) == (10, 40)
    assert found.dispositions[Disposition.TRUE_POSITIVE] == 1
    assert queries.alert(second).row.acknowledged_at is None


def test_undo_takes_the_acknowledgement_back():
    """An undone acknowledgement does not count as one."""
    one = alert()
    actions.acknowledge(one, by=ANALYST, at=NOW + 1)
    actions.unacknowledge(one, by=ANALYST, at=NOW + 2)
    assert queries.alert(one).row.acknowledged_at is None


def test_reopen_is_refused_while_a_newer_one_is_open():
    """The story goes on in the newer alert; two open ones would be two stories of one thing."""
    old = alert("a")
    actions.resolve(old, Disposition.BENIGN, by=ANALYST, at=NOW)
    new = alert("b")
    with pytest.raises(ConflictError, match=new):
        actions.reopen(old, by=ANALYST, at=NOW)


def test_reopened_alert_gets_new_evidence():
    """After reopening, detections are added to it again."""
    one = alert("a")
    actions.resolve(one, Disposition.BENIGN, by=ANALYST, at=NOW)
    actions.reopen(one, by=ANALYST, at=NOW)
    assert actions.raise_alerts([detection("b")], INFOS, NOW).updated == (one,)


def test_false_positive_needs_its_reason():
    """Whoever tunes the rule must know why."""
    one = alert()
    with pytest.raises(WatchbillError, match="reason"):
        actions.resolve(one, Disposition.FALSE_POSITIVE, by=ANALYST, at=NOW, comment="  ")
    actions.resolve(one, Disposition.FALSE_POSITIVE, by=ANALYST, at=NOW, comment="a scanner of ours")
    assert queries.alert(one).history[-1].after == "resolved (false positive)"


def test_bulk_acknowledges_what_can_be():
    """What cannot be acknowledged is named with its reason; the rest is done."""
    ids = [alert(f"d{n}", host=f"web-{n}") for n in range(4)]
    actions.resolve(ids[1], Disposition.BENIGN, by=ANALYST, at=NOW)
    found = actions.acknowledge_many([*ids, "A-999999"], by=ANALYST, at=NOW)
    assert found.done == (ids[0], ids[2], ids[3])
    assert [one for one, _ in found.refused] == [ids[1], "A-999999"]
    assert queries.alerts(AlertFilter(status=(AlertStatus.ACKNOWLEDGED,))).total == 3


def test_assignment(people):
    """An alert is given to people who may act on it, and to nobody else."""
    one = alert()
    actions.assign(one, ANALYST, by="admin@example.com", at=NOW)
    assert queries.alerts(AlertFilter(assignee=ANALYST)).total == 1
    assert queries.alerts(AlertFilter(assignee="-")).total == 0
    accounts.create_user("eve@example.com", role=Role.AUDITOR, at=NOW)
    with pytest.raises(ConflictError, match="may not act"):
        actions.assign(one, "eve@example.com", by=ANALYST, at=NOW)
    with pytest.raises(NotFoundError):
        actions.assign(one, "nobody@example.com", by=ANALYST, at=NOW)
    actions.assign(one, "", by=ANALYST, at=NOW)
    assert queries.counts().unassigned == 1


def test_who_investigates_is_assigned():
    """Taking it up means having it, unless somebody has it."""
    one = alert()
    actions.investigate(one, by=ANALYST, at=NOW)
    assert queries.alert(one).row.assignee == ANALYST


def test_comments_stand_in_the_history():
    """Words can be added at any time, and empty ones cannot."""
    one = alert()
    actions.comment(one, " asked the owner ", by=ANALYST, at=NOW)
    assert queries.alert(one).history[-1].comment == "asked the owner"
    with pytest.raises(WatchbillError):
        actions.comment(one, "  ", by=ANALYST, at=NOW)


@pytest.mark.parametrize("name", ["", "B-1", "A-", "A-1x", "A-99999999999999999999", "½"])
def test_what_is_no_alert_id(name):
    """A wrong id is an error of ours, with the right form."""
    with pytest.raises(NotFoundError):
        number(name)
    with pytest.raises(NotFoundError):
        queries.alert(name)
