"""What goes wrong is said in one form: what, mend, place; without secrets, and never as a 500."""

from __future__ import annotations

import json

import pytest
from calling import Caller, decoded

from watchbill.core.values import Role


def error(answer, status: int) -> dict:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    assert set(answer.json()) == {"error"}
    return answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "where", "body", "status", "said"),
    [
        ("GET", "/alerts/A-999999", None, 404, "there is no alert"),
        ("GET", "/alerts/nonsense", None, 404, "names no alert"),
        ("GET", "/alerts?range=soon", None, 400, "is no time range"),
        ("GET", "/alerts?serverity=high", None, 400, "there is no query parameter 'serverity'"),
        ("GET", "/alerts?severity=awful", None, 422, "input should be"),
        ("GET", "/alerts?limit=501", None, 422, "less than or equal to 500"),
        ("GET", "/alerts?cursor=[1e300]", None, 422, "this is no cursor"),
        ("GET", '/alerts?cursor=["newest",1,2]', None, 400, "not of this list"),
        ("GET", "/events?q=user:(", None, 400, ""),
        ("GET", "/events/0-999999999", None, 404, "there is no event"),
        ("GET", "/events/7-1/raw", None, 404, "has no record"),
        ("GET", "/assets/ghost", None, 404, "there is no asset"),
        ("GET", "/rules/none", None, 404, "no rule"),
        ("GET", "/nowhere", None, 404, "nothing at this address"),
        ("GET", "/", None, 404, "nothing at this address"),
        ("PUT", "/alerts", None, 405, "PUT is not done here"),
        ("POST", "/alerts/A-1/resolve", {"disposition": "false positive"}, 422, "needs its reason"),
        ("POST", "/alerts/A-1/resolve", {"disposition": "benign", "extra": 1}, 422, "extra inputs"),
        ("POST", "/alerts/A-1/comment", {"text": "\ud800"}, 422, "unicode string"),
        ("POST", "/alerts/A-1/reopen", None, 409, "so one cannot reopen it"),
        ("POST", "/alerts/A-1/assign", {"assignee": "viewer@example.com"}, 409, "may not act on alerts"),
        ("POST", "/assets", {"name": "db-01"}, 409, ""),
        ("PATCH", "/controls/A.8.15", {"applicable": False}, 422, "justification"),
        ("PATCH", "/controls/A.8.15", {"owner": "x" * 300}, 422, "at most 200"),
        ("POST", "/channels", {"kind": "pigeon", "name": "x", "config": {}}, 404, ""),
        ("POST", "/channels", {"kind": "webhook", "name": "x", "config": {"url": "file:///etc"}}, 422, "setting url"),
        ("POST", "/ledger/export", {"range": "2001"}, 404, ""),
        ("POST", "/ledger/exports", {"from": "2026-03-02", "to": "2026-03-01"}, 400, "ends before it begins"),
        ("POST", "/ledger/exports", {"controls": ["A.99"]}, 404, "A.99"),
        ("POST", "/ledger/exports", {"since": ["x"]}, 400, "this is no checkpoint"),
        ("POST", "/ledger/records/0-5/proof", {"since": ["x"]}, 400, "this is no checkpoint"),
        ("GET", "/ledger/exports/0000000000000000/file", None, 404, "there is no export"),
        ("DELETE", "/controls/A.5.1/attestations/1", None, 404, "has no attestation"),
        ("PUT", "/users/admin/role", {"role": "viewer"}, 404, "there is no user"),
        ("DELETE", "/users/tokens/9999", None, 404, "there is no token"),
    ],
)
def test_each_error_has_its_status_and_says_what_to_do(console, administrator, method, where, body, status, said):
    """One case of each kind, on every topic."""
    found = error(administrator(method, where, body), status)
    assert said in found["what"], found
    assert set(found) == {"what", "mend", "place"}
    assert str(console.root) not in json.dumps(found)


def test_the_last_administrator_stays(administrator):
    """409, with the mend."""
    from calling import PEOPLE

    found = error(administrator("POST", f"/users/{PEOPLE[Role.ADMINISTRATOR]}/deactivate"), 409)
    assert found["mend"] == "make somebody else an administrator first"


def test_a_body_is_json_of_at_most_a_mebibyte(analyst):
    """413 before it is read, 415 for a form, 400 for what is no JSON, 411 for a length that is not told."""
    where = "/api/v1/alerts/A-1/comment"

    def post(data: bytes, kind: str = "application/json", **extra: str):
        return analyst.client.post(where, data=data, content_type=kind, headers={**analyst.headers, **extra})

    error(post(b'{"text": "' + b"x" * (1 << 20) + b'"}'), 413)
    error(post(b"text=x", "application/x-www-form-urlencoded"), 415)
    error(post(b"{"), 400)
    error(post(b"\xff\xfe"), 400)
    error(post(b"{}", **{"Transfer-Encoding": "chunked"}), 411)
    assert error(post(b"[]"), 422)["place"].startswith("body")


def test_an_error_tells_no_secret(administrator):
    """Neither a wrong token nor a channel's secret comes back."""
    wrong = Caller("wb_a-very-secret-token")
    assert "very-secret" not in json.dumps(error(wrong("GET", "/me"), 401))
    config = {"url": "nonsense", "secret": "a very secret word", "other": "a very secret word"}
    body = {"kind": "webhook", "name": "x", "config": config}
    assert "very secret" not in json.dumps(error(administrator("POST", "/channels", body), 422))
    config.pop("other")
    assert "very secret" not in json.dumps(error(administrator("POST", "/channels", body), 422))
    config["url"] = "https://hooks.example.com/x"
    made = administrator.post("/channels", body)
    assert made["config"]["secret"] == "…"
    assert "very secret" not in json.dumps(administrator.get("/trail"))


def test_a_lake_that_is_gone_is_no_crash(console, analyst, settings, tmp_path):
    """An installation whose lake and ledger have nothing answers empty lists."""
    from watchbill.core.paths import DataDir
    from watchbill.flows import installation

    settings.DATA = DataDir(tmp_path).create()
    installation.lake.cache_clear()
    assert analyst.get("/events", range="all")["items"] == []
    assert analyst.get("/ledger")["shards"] == []
    assert decoded(analyst("GET", "/ledger/records")) == []
    installation.lake.cache_clear()


def test_no_answer_is_kept_by_a_cache(analyst, caller):
    """Neither data nor refusals."""
    for call in (analyst, caller(None)):
        assert call("GET", "/alerts")["Cache-Control"] == "no-store"
