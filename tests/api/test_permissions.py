"""Who may call what: every operation for every role, by token and by session."""

from __future__ import annotations

import pytest
from calling import PEOPLE, Caller

from watchbill.core.clock import DAY, SystemClock
from watchbill.core.values import Role
from watchbill.state.accounts import actions as accounts
from watchbill.state.accounts.permissions import CAPABILITIES, may
from watchbill.state.alerts import queries as alerts
from watchbill.state.trail import queries as trail

#: A verification writes from a thread of its own, which would wait for the test's transaction: see test_served.py.
ELSEWHERE = "verify_ledger"


def test_every_operation_says_what_it_needs(operations):
    """Each names a capability of the matrix, and all capabilities but none open something."""
    assert {one.needs for one in operations} == set(CAPABILITIES)
    assert len(operations) > 70


@pytest.mark.parametrize("role", list(Role))
def test_a_token_opens_exactly_what_its_role_may(caller, operations, undone, role):
    """403 names the mend where the role lacks the capability; elsewhere the operation answers."""
    call = caller(role)
    for one in operations:
        if one.id == ELSEWHERE and may(role, one.needs):
            continue
        with undone():
            answer = call(one.method, one.where, one.body)
        told = f"{role} {one.method} {one.where}: {answer.status_code} {getattr(answer, 'content', b'')[:200]}"
        if may(role, one.needs):
            assert answer.status_code in {200, 204, 404, 409}, told
        else:
            assert answer.status_code == 403, told
            assert answer.json()["error"]["mend"].startswith("ask somebody with the role"), told
        if getattr(answer, "streaming", False):
            b"".join(answer)


@pytest.mark.parametrize("role", list(Role))
def test_a_session_opens_the_same(sign_in, operations, undone, role):
    """The console's own scripts may do what their person may."""
    call = Caller(None, sign_in(role))
    for one in operations:
        if one.id == ELSEWHERE:
            continue
        with undone():
            answer = call(one.method, one.where, one.body)
        assert (answer.status_code == 403) == (not may(role, one.needs)), f"{role} {one.id}: {answer.status_code}"
        if getattr(answer, "streaming", False):
            b"".join(answer)


def test_strangers_get_in_nowhere(caller, operations):
    """Without a token every operation answers 401, whatever else is wrong with the request."""
    call = caller(None)
    for one in operations:
        for body in (one.body, {"no": "such body"}):
            answer = call(one.method, one.where, body)
            assert answer.status_code == 401, one.id
            assert answer["WWW-Authenticate"].startswith("Bearer"), one.id


def test_who_only_reads_changes_nothing(caller, an_alert):
    """An auditor who acknowledges gets 403, and the alert stays as it was."""
    before = alerts.alert(an_alert)
    assert caller(Role.AUDITOR)("POST", f"/alerts/{an_alert}/acknowledge").status_code == 403
    assert alerts.alert(an_alert) == before


def test_a_session_changes_nothing_without_its_csrf_token(sign_in, an_alert):
    """Reading needs the cookie alone; a form of another site cannot act with it."""
    client = sign_in(Role.ANALYST, enforce_csrf_checks=True)
    assert client.get(f"/api/v1/alerts/{an_alert}").status_code == 200
    where = f"/api/v1/alerts/{an_alert}/acknowledge"
    refused = client.post(where, content_type="application/json")
    assert refused.status_code == 403
    assert "CSRF" in refused.json()["error"]["what"]
    client.get("/")
    token = client.cookies[next(name for name in client.cookies if "csrf" in name)].value
    assert client.post(where, content_type="application/json", headers={"X-CSRFToken": token}).status_code == 200


@pytest.mark.parametrize("end", ["revoked", "expired", "deactivated"])
def test_a_token_ends_at_once(console, caller, end):
    """Revoked, expired, or its owner shut out: 401 from the next call on."""
    at, email = SystemClock().now(), PEOPLE[Role.VIEWER]
    made = at - 2 * DAY if end == "expired" else at
    token = accounts.issue_token(email, name="x", by=email, at=made, expires_at=made + DAY)
    call = Caller(token)
    assert call("GET", "/me").status_code == (401 if end == "expired" else 200)
    if end == "revoked":
        assert call("DELETE", f"/tokens/{call.get('/tokens')[0]['id']}").status_code == 204
    if end == "deactivated":
        accounts.deactivate(email, by="admin", at=at)
    assert call("GET", "/me").status_code == 401


def test_a_token_cannot_become_more_than_it_is(console, caller):
    """A viewer's token of an administrator makes no administrator's token, none that outlives it, and ends no such."""
    at, email = SystemClock().now(), PEOPLE[Role.ADMINISTRATOR]
    weak = Caller(accounts.issue_token(email, name="weak", by=email, at=at, role=Role.VIEWER, expires_at=at + DAY))
    caller(Role.ADMINISTRATOR)
    strong = weak.get("/tokens")[0]["id"]
    assert weak.get("/me")["role"] == "viewer"
    assert weak("POST", "/tokens", {"name": "more", "role": "administrator", "expires": "1h"}).status_code == 403
    assert weak("POST", "/tokens", {"name": "longer", "expires": "30d"}).status_code == 403
    assert weak("DELETE", f"/tokens/{strong}").status_code == 403
    assert weak("POST", "/tokens", {"name": "same", "expires": "1h"}).json()["about"]["role"] == "viewer"


def test_wrong_tokens_are_throttled_and_on_the_trail(console, caller, analyst):
    """After ten a minute an address gets 429 for wrong tokens; a right one still opens."""
    call = Caller("wb_not-a-token")
    statuses = [call("GET", "/alerts").status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert call("GET", "/alerts")["Retry-After"] == "60"
    assert analyst("GET", "/alerts").status_code == 200
    assert [one.action for one in trail.entries()].count("sign_in.failed") == 10
