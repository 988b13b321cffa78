"""People: the permission matrix, the last administrator, tokens and one-time links."""

from __future__ import annotations

import pytest
from django.contrib.auth import authenticate

from watchbill.core.clock import DAY, MINUTE
from watchbill.core.errors import ConflictError, DeniedError, NotFoundError, WatchbillError
from watchbill.core.values import Role
from watchbill.state.accounts import actions, queries
from watchbill.state.accounts.models import ApiToken, User
from watchbill.state.accounts.permissions import CAPABILITIES, READING, capped, demand, may
from watchbill.state.trail import queries as trail

NOW = 1_772_600_000_000_000_000
ADMINISTRATOR, ANALYST = "admin@example.com", "ana@example.com"
PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_matrix_gives_no_more_than_the_roles_mean(capability):
    """Administrators may all; viewers only read; the auditor reads all and changes nothing; nobody may what is unsaid."""
    assert may(Role.ADMINISTRATOR, capability)
    assert not may(None, capability)
    if may(Role.AUDITOR, capability):
        assert capability in READING | {"tokens.own"}
    else:
        assert capability not in READING
    if may(Role.VIEWER, capability):
        assert capability.endswith(".read") or capability == "tokens.own"
    if capability in {"users.write", "channels.write", "controls.write"}:
        assert CAPABILITIES[capability] == {Role.ADMINISTRATOR}


def test_unknown_capabilities_are_a_mistake_of_ours():
    """A misspelt capability must not quietly deny or allow."""
    with pytest.raises(KeyError):
        may(Role.ADMINISTRATOR, "alerts.akt")


def test_denial_says_whom_to_ask():
    """A refusal names the permission and the roles that have it."""
    with pytest.raises(DeniedError, match=r"users\.write.*administrator"):
        demand(Role.ANALYST, "users.write")


@pytest.mark.parametrize(
    "do",
    [
        lambda: actions.set_role(ADMINISTRATOR, Role.VIEWER, by=ADMINISTRATOR, at=NOW),
        lambda: actions.deactivate(ADMINISTRATOR, by=ADMINISTRATOR, at=NOW),
    ],
)
def test_the_last_administrator_stays(people, do):
    """An installation that nobody can administer would be lost."""
    with pytest.raises(ConflictError, match="last administrator"):
        do()
    actions.set_role(ANALYST, Role.ADMINISTRATOR, by=ADMINISTRATOR, at=NOW)
    actions.set_role(ADMINISTRATOR, Role.VIEWER, by=ANALYST, at=NOW)
    assert queries.user(ADMINISTRATOR).role is Role.VIEWER


def test_passwords_are_argon2_and_addresses_have_no_case():
    """The address is kept in lower case; the password only as its argon2 hash."""
    actions.create_user(" Bo@Example.COM ", role=Role.VIEWER, at=NOW, password=PASSWORD)
    stored = User.objects.get(email="bo@example.com")
    assert stored.password.startswith("argon2")
    assert authenticate(email="bo@example.com", password=PASSWORD) == stored
    assert authenticate(email="bo@example.com", password="wrong") is None
    with pytest.raises(ConflictError):
        actions.create_user("BO@example.com", role=Role.VIEWER, at=NOW)


@pytest.mark.parametrize(
    ("email", "password"), [("nobody", PASSWORD), ("a@example.com", "short"), ("a@example.com", "1234567890123")]
)
def test_what_is_refused_for_a_user(email, password):
    """No address or a weak password: nothing is created."""
    with pytest.raises(WatchbillError):
        actions.create_user(email, role=Role.VIEWER, at=NOW, password=password)
    assert queries.users() == ()


def test_token_is_shown_once_and_stored_hashed(people):
    """Whoever reads the database or the trail cannot use what is there."""
    token = actions.issue_token(ANALYST, name="script", by=ANALYST, at=NOW)
    row = ApiToken.objects.get()
    assert token.startswith("wb_")
    assert token not in (row.digest, row.prefix)
    assert not any(token in repr(entry) for entry in trail.entries())
    owner = queries.user_by_token(token, NOW)
    assert (owner.email, owner.role) == (ANALYST, Role.ANALYST)
    assert queries.user_by_token(token + "x", NOW) is None
    assert queries.user_by_token("", NOW) is None


def test_tokens_end(people):
    """By expiry, by revocation, by deactivation of their owner."""
    expiring = actions.issue_token(ANALYST, name="a", by=ANALYST, at=NOW, expires_at=NOW + DAY)
    assert queries.user_by_token(expiring, NOW + DAY - 1)
    assert queries.user_by_token(expiring, NOW + DAY) is None
    revoked = actions.issue_token(ANALYST, name="b", by=ANALYST, at=NOW)
    with pytest.raises(NotFoundError):
        actions.revoke_token(
            queries.user_by_token(revoked, NOW).token_id, by=ADMINISTRATOR, at=NOW, owner=ADMINISTRATOR
        )
    actions.revoke_token(queries.user_by_token(revoked, NOW).token_id, by=ANALYST, at=NOW, owner=ANALYST)
    assert queries.user_by_token(revoked, NOW) is None
    left = actions.issue_token(ANALYST, name="c", by=ANALYST, at=NOW)
    actions.deactivate(ANALYST, by=ADMINISTRATOR, at=NOW)
    actions.activate(ANALYST, by=ADMINISTRATOR, at=NOW)
    assert queries.user_by_token(left, NOW) is None


@pytest.mark.parametrize(
    ("token", "owner", "real"),
    [
        (Role.VIEWER, Role.ANALYST, Role.VIEWER),
        (Role.ANALYST, Role.ANALYST, Role.ANALYST),
        (Role.ADMINISTRATOR, Role.ANALYST, Role.VIEWER),
        (Role.ANALYST, Role.AUDITOR, Role.VIEWER),
        (Role.AUDITOR, Role.ADMINISTRATOR, Role.AUDITOR),
    ],
)
def test_a_token_is_never_more_than_its_owner(token, owner, real):
    """Who loses a role loses it in their tokens at once."""
    assert capped(token, owner) is real


def test_a_token_cannot_be_issued_above_its_owner(people):
    """An analyst's token is an analyst's at most."""
    with pytest.raises(DeniedError):
        actions.issue_token(ANALYST, name="x", role=Role.ADMINISTRATOR, by=ANALYST, at=NOW)


def test_token_use_is_noted_coarsely(people):
    """An API call must not cost a write each time."""
    token = actions.issue_token(ANALYST, name="x", by=ANALYST, at=NOW)
    token_id = queries.user_by_token(token, NOW).token_id
    for at in (NOW, NOW + MINUTE, NOW + 6 * MINUTE):
        actions.note_token_use(token_id, at)
    assert queries.tokens(ANALYST)[0].last_used_at == NOW + 6 * MINUTE
    actions.note_token_use(token_id, NOW + 7 * MINUTE)
    assert queries.tokens(ANALYST)[0].last_used_at == NOW + 6 * MINUTE


def test_setup_link_makes_one_administrator_once():
    """The first administrator comes in by a link that works once and not for long."""
    assert not queries.has_administrator()
    old = actions.make_setup_link(at=NOW)
    link = actions.make_setup_link(at=NOW)
    assert queries.setup_link(old, NOW) is None
    assert queries.setup_link(link, NOW).role is Role.ADMINISTRATOR
    with pytest.raises(DeniedError):
        actions.use_setup_link(link, "a@example.com", PASSWORD, at=NOW + DAY)
    actions.use_setup_link(link, "a@example.com", PASSWORD, at=NOW + 1)
    assert queries.has_administrator()
    with pytest.raises(DeniedError):
        actions.use_setup_link(link, "b@example.com", PASSWORD, at=NOW + 2)
    assert not any(link in repr(entry) for entry in trail.entries())


def test_invitation_is_for_its_address_only(people):
    """A link for one address makes no other user."""
    link = actions.make_setup_link(at=NOW, role=Role.AUDITOR, email="eve@example.com", by=ADMINISTRATOR)
    with pytest.raises(DeniedError, match="another address"):
        actions.use_setup_link(link, "mallory@example.com", PASSWORD, at=NOW)
    actions.use_setup_link(link, "Eve@example.com", PASSWORD, at=NOW)
    assert queries.user("eve@example.com").role is Role.AUDITOR
