"""Who may open and do what: every address for every role."""

from __future__ import annotations

import pytest
from django.urls import URLPattern, URLResolver

from watchbill.core.values import Role
from watchbill.state.accounts.permissions import CAPABILITIES, may
from watchbill.web import urls
from watchbill.web.access import ANYBODY, SIGNED_IN

ARGUMENTS = {
    "alert_id": "A-1", "shard": 0, "position": 1, "source_id": "0-1", "control_id": "A.8.15", "channel_id": 1,
    "delivery_id": 1, "email": "viewer@example.com", "token_id": 1, "attestation_id": 1, "kind": "webhook",
    "form": "csv", "suppression_id": "S-1", "hold_id": "H-1", "erasure_id": "E-1", "tile": "checkpoint", "secret": "none", "rule": "x", "export_id": "0" * 16,
}  # fmt: skip
NAMES = {
    "alert-step": "investigate", "alerts-bulk": "acknowledge", "rule": "failed_logins_by_address", "asset": "db-01",
    "asset-edit": "db-01",
}  # fmt: skip
OURS = [one for one in urls.urlpatterns if isinstance(one, URLPattern)]


def address(pattern: URLPattern) -> str:
    from django.urls import reverse

    wanted = pattern.pattern.converters
    values = {name: NAMES[pattern.name] if name == "name" else ARGUMENTS[name] for name in wanted}
    return reverse(pattern.name, kwargs=values)


def test_every_address_says_what_it_needs():
    """No view of ours is open by forgetting."""
    for pattern in OURS:
        needed = pattern.callback.needs
        assert needed in CAPABILITIES or needed in {SIGNED_IN, ANYBODY}, pattern.name
    assert {one.callback.needs for one in OURS} >= {"alerts.act", "ledger.verify", "users.write", "channels.write"}
    assert all(isinstance(one, URLPattern | URLResolver) for one in urls.urlpatterns)


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role or "anonymous")
def test_each_role_gets_in_exactly_where_it_may(sign_in, role):
    """GET or POST of every address: a stranger is sent to sign in, a role without the capability gets 403."""
    client = sign_in(role)
    for pattern in OURS:
        needed, where = pattern.callback.needs, address(pattern)
        if pattern.name in {"setup", "theme", "live"}:
            continue
        for method in (client.get, client.post):
            if pattern.name == "ledger-verify" and method == client.post and role is not None and may(role, needed):
                continue  # it would begin in a thread of its own, outside this test's transaction
            answer = method(where)
            told = f"{role} {method.__name__} {where}: {answer.status_code}"
            if role is None:
                assert answer.status_code == 302, told
                assert answer["Location"].startswith("/account/login/"), told
            elif needed != SIGNED_IN and not may(role, needed):
                assert answer.status_code == 403, told
            else:
                assert answer.status_code not in {401, 403, 500}, told
            if getattr(answer, "streaming", False):
                b"".join(answer)  # closing it half read would close the test's database with it


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_who_only_reads_changes_nothing(sign_in, an_alert, role):
    """An auditor or viewer who posts an action gets 403, and the alert stays as it was."""
    from watchbill.state.alerts import queries

    before = queries.alert(an_alert).row.status
    assert sign_in(role).post(f"/alerts/{an_alert}/acknowledge").status_code == 403
    assert queries.alert(an_alert).row.status == before


def test_a_post_without_its_token_is_refused(sign_in, an_alert):
    """CSRF: a form from elsewhere changes nothing and is told what to do."""
    client = sign_in(Role.ANALYST, enforce_csrf_checks=True)
    answer = client.post(f"/alerts/{an_alert}/acknowledge")
    assert answer.status_code == 403
    assert b"load the page again" in answer.content


def test_sign_in_leads_back_but_never_elsewhere(sign_in):
    """The address asked for is kept; another host's is not."""
    assert sign_in(None).get("/alerts?severity=high")["Location"] == "/account/login/?next=%2Falerts%3Fseverity%3Dhigh"
    answer = sign_in(Role.ANALYST).post("/theme", {"theme": "dark", "next": "https://elsewhere.example/"})
    assert answer["Location"] == "/"
    assert answer.cookies["watchbill_theme"].value == "dark"


def test_the_policy_lets_nothing_in_from_outside(analyst):
    """Scripts need this page's nonce or our own origin, styles our own files; there is no inline style or handler."""
    import re

    for where in ("/", "/alerts", "/events?when=all", "/controls", "/controls/A.8.15", "/ledger", "/account/2fa/"):
        answer = analyst.get(where)
        policy, page = answer["Content-Security-Policy"], answer.content.decode()
        assert "'unsafe-inline'" not in policy
        assert "'unsafe-eval'" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"<[^>]+\s(style|on\w+)=", page), where
        assert not re.search(r"(src|href)=\"https?://", page), where
        nonce = re.search(r"'nonce-([^']+)'", policy)[1]
        assert f'nonce="{nonce}"' in page
