"""A program that calls the API, and every operation with an address and a body that make sense."""

from __future__ import annotations

import json
import re
import tempfile

from company import PEOPLE
from django.test import Client

__all__ = ["PEOPLE", "Caller", "Operation", "decoded"]

ARGUMENTS = {
    "event_id": "0-5", "record_id": "0-5", "source_id": "0-1", "control_id": "A.8.15", "channel_id": "1",
    "delivery_id": "1", "email": "viewer@example.com", "token_id": "1", "attestation_id": "1", "check_id": "assets_owned",
    "result_id": "1", "name": "db-01", "alert_id": "A-1", "suppression_id": "S-1", "hold_id": "H-1",
    "erasure_id": "E-1", "export_id": "00" * 8,
}  # fmt: skip
BODIES = {
    "acknowledge_alerts": {"ids": ["A-1"]},
    "resolve_alerts": {"ids": ["A-1"], "disposition": "benign"},
    "resolve_alert": {"disposition": "benign"},
    "assign_alert": {"assignee": ""},
    "comment_alert": {"text": "seen"},
    "add_suppression": {"conditions": [{"kind": "src_ip", "pattern": "192.0.2.0/24"}], "reason": "the weekly scan"},
    "end_suppression": {"reopen": False},
    "add_asset": {"name": "new-01"},
    "change_asset": {"owner": "web team"},
    "set_silent_after": {"duration": "2h"},
    "attest_control": {"statement": "I saw it."},
    "change_control": {"owner": "ciso"},
    "export_ledger": {"range": "last 7d"},
    "begin_export": {"from": "2020-01-01", "controls": ["A.8.15"]},
    "add_channel": {"kind": "webhook", "name": "Other", "config": {"url": "https://hooks.example.com/x"}},
    "change_channel": {"enabled": False},
    "set_policy": {"days": 365, "source": "web-*"},
    "place_hold": {"reason": "case 7"},
    "propose_erasure": {"query": "user:root", "reason": "data subject"},
    "add_copy": {"name": "disk", "kind": "folder", "config": {"path": tempfile.gettempdir()}},
    "invite_user": {"email": "new@example.com"},
    "set_role": {"role": "viewer"},
    "issue_token": {"name": "script"},
    "issue_sender_token": {"name": "web-01"},
}


class Caller:
    """A program with a token: answers are decoded, and what a call changes can be taken back."""

    def __init__(self, token: str | None, client: Client | None = None) -> None:
        self.client = client or Client()
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, where: str, body: object = None, **query: object):
        kind = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        params = {"query_params": query} if query else {}
        return self.client.generic(method, f"/api/v1{where}", headers=self.headers, **kind, **params)

    def get(self, where: str, **query: object):
        """The decoded answer of a GET that has to succeed."""
        return decoded(self("GET", where, **query))

    def post(self, where: str, body: object = None):
        """The decoded answer of a POST that has to succeed."""
        return decoded(self("POST", where, body))


def decoded(answer):
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


class Operation:
    """One operation of the document, with an address and a body that make sense."""

    def __init__(self, address: str, method: str, details: dict) -> None:
        self.id, self.method, self.needs = details["operationId"], method.upper(), details["x-capability"]
        values = ARGUMENTS | ({"name": "failed_logins_by_address"} if self.id == "show_rule" else {})
        self.where = re.sub(r"{(\w+)}", lambda match: values[match[1]], address.removeprefix("/api/v1"))
        self.body = BODIES.get(self.id)
        self.details = details
