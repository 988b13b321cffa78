"""Who may send: tokens and certificates, with their trail."""

from __future__ import annotations

import stat

import pytest

from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.engine.collect.push import Tokens
from watchbill.flows import receivers
from watchbill.flows.listening import listeners
from watchbill.flows.prepare import publish_tokens
from watchbill.state.receivers import queries
from watchbill.state.trail import queries as trail
from watchbill.state.trail.values import TrailFilter

BY = "ana@example.com"


def test_a_token_is_good_until_it_is_revoked(place):
    """The file has digests alone, for the owner alone; the trail tells who did it."""
    data, at = place.data, place.clock.now()
    number, secret = receivers.issue_token(data, "web-01", by=BY, at=at, form="nginx")
    other, _ = receivers.issue_token(data, "web-01", by=BY, at=at)
    path = receivers.tokens_path(data)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret.encode() not in path.read_bytes()
    tokens = Tokens(path)
    found = tokens.find(secret)
    assert (found.id, found.name, found.format) == (number, "web-01", "nginx")
    receivers.revoke_token(data, number, by=BY, at=at)
    receivers.revoke_token(data, number, by=BY, at=at)
    assert tokens.find(secret) is None
    assert [one.id for one in queries.good()] == [other]
    acts = [(one.action, one.actor) for one in trail.entries(TrailFilter(kind="sender_token", limit=10))]
    assert sorted(acts) == [("receiver.token.issue", BY)] * 2 + [("receiver.token.revoke", BY)]
    with pytest.raises(NotFoundError):
        receivers.revoke_token(data, 999, by=BY, at=at)


@pytest.mark.parametrize("name", ["", "a/b", "ä", "x" * 101, "-x", "a b"])
def test_a_name_that_is_none(place, name):
    """It is refused, and nothing is left behind."""
    with pytest.raises(WatchbillError, match="no name"):
        receivers.issue_token(place.data, name, by=BY, at=1)
    assert not queries.tokens()


def test_a_file_that_cannot_be_written_changes_nothing(place):
    """The token is neither in the state nor good, and the error says so."""
    receivers.tokens_path(place.data).mkdir(parents=True)
    with pytest.raises(WatchbillError, match="nothing was changed"):
        receivers.issue_token(place.data, "web-01", by=BY, at=1)
    assert not queries.tokens()


def test_a_restored_state_is_published(place):
    """The file follows the state of record at the next start."""
    _, secret = receivers.issue_token(place.data, "web-01", by=BY, at=1)
    path = receivers.tokens_path(place.data)
    path.unlink()
    tokens = Tokens(path)
    assert tokens.find(secret) is None
    publish_tokens(place.data)
    assert tokens.find(secret).name == "web-01"


def test_certificates_have_a_trail(place, tmp_path):
    """Made, handed over once, revoked."""
    data, at = place.data, place.clock.now()
    with pytest.raises(WatchbillError, match="receivers cert"):
        receivers.make_client_certificate(data, "web-01", tmp_path / "out", by=BY, at=at)
    receivers.make_server_certificate(data, ["logs.example.com", "192.0.2.10"], by=BY, at=at)
    issued, paths = receivers.make_client_certificate(data, "web-01", tmp_path / "out", by=BY, at=at)
    assert [path.name for path in paths] == ["web-01.pem", "web-01.key", "ca.pem"]
    assert stat.S_IMODE(paths[1].stat().st_mode) == 0o600
    with pytest.raises(WatchbillError, match="is there already"):
        receivers.make_client_certificate(data, "web-01", tmp_path / "out", by=BY, at=at)
    receivers.revoke_certificate(data, "web-01", by=BY, at=at)
    with pytest.raises(ConflictError):
        receivers.revoke_certificate(data, issued.serial, by=BY, at=at)
    assert [(one.name, one.revoked_at is not None) for one in receivers.certificates(data)] == [
        ("logs.example.com", False), ("web-01", True),
    ]  # fmt: skip
    acts = sorted(one.action for one in trail.entries(TrailFilter(kind="certificate", limit=10)))
    assert acts == ["receiver.certificate.issue"] * 2 + ["receiver.certificate.revoke"]


def test_what_listens(place):
    """As the receiving process said last; nothing when it never ran."""
    assert listeners(place.data) == ()
    place.data.run.mkdir(exist_ok=True)
    (place.data.run / "collect-status.json").write_text(
        '{"sources":[{"name":"receiver:relp","transport":"receiver","state":"listening","reason":"127.0.0.1 port 2514","last_error":""},'
        '{"name":"receiver:push","transport":"receiver","state":"failed","reason":"port 80 is taken","last_error":""},'
        '{"name":"web","transport":"file","state":"following","reason":"","last_error":""}]}'
    )
    relp, push = listeners(place.data)
    assert (relp.kind, relp.where, relp.reason) == ("relp", "127.0.0.1 port 2514", "")
    assert (push.kind, push.state, push.where, push.reason) == ("push", "failed", "", "port 80 is taken")
