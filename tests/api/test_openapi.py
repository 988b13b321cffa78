"""The document says what the API does: its snapshot, and real answers held against it."""

from __future__ import annotations

import json
import re

from calling import decoded
from conforming import wrong

from watchbill.core.values import Role


def test_the_document_is_as_it_was(document, snapshot):
    """A change of the API is a change of this file, seen in review."""
    outline = {
        f"{method.upper()} {address}": {
            "needs": one["x-capability"],
            "parameters": [
                f"{part['in']} {part['name']}{' *' if part['required'] else ''}" for part in one["parameters"]
            ],
            "body": one.get("requestBody", {}).get("content"),
            "answer": one["responses"].get("200", {}).get("content", "204"),
        }
        for address, methods in document["paths"].items()
        for method, one in methods.items()
    }
    assert outline == snapshot(name="operations")
    assert document["components"]["schemas"] == snapshot(name="schemas")


def test_every_reference_leads_somewhere(document):
    """No schema or response is named that is not there."""
    for name in set(re.findall(r'"#/components/([^"]+)"', json.dumps(document))):
        kind, _, part = name.partition("/")
        assert part in document["components"][kind], name


def test_answers_are_as_the_document_says(administrator, operations, document, an_alert, undone):
    """Every operation's answer over the company has the fields and types of its schema."""
    seen = set()
    schemas = document["components"]["schemas"]
    for one in operations:
        content = one.details["responses"].get("200", {}).get("content", {}).get("application/json")
        if content is None or one.id == "verify_ledger":
            continue
        where = one.where.replace("A-1", an_alert) + ("?range=all" if one.id.startswith("search_") else "")
        with undone():
            answer = administrator(one.method, where, one.body)
        if answer.status_code == 200:
            seen.add(one.id)
            assert not (said := wrong(json.loads(answer.content), content["schema"], schemas)), f"{one.id}: {said}"
    assert len(seen) > 50, sorted(one.id for one in operations if one.id not in seen)


def test_times_are_rfc3339_and_durations_seconds(administrator, an_alert):
    """Outside there are no nanoseconds; an event's own OCSF form keeps its milliseconds."""
    alert = administrator.get(f"/alerts/{an_alert}")
    assert alert["row"]["opened_at"].endswith("Z")
    assert alert["evidence"][0]["time"].endswith("Z")
    source = administrator.get("/sources")[0]
    assert isinstance(source["silent_after_seconds"], float)
    event = administrator.get("/events", range="all", limit=1)["items"][0]
    assert event["time"].endswith("Z")
    assert event["ocsf"]["time"] > 1_700_000_000_000


def test_the_reference_page_needs_nobody_else(sign_in, document):
    """Every operation is on it; no script, no inline style, nothing from another host."""
    client = sign_in(None)
    assert decoded(client.get("/api/v1/openapi.json"))["paths"].keys() == document["paths"].keys()
    page = client.get("/api/v1/docs").content.decode()
    for address in document["paths"]:
        assert address in page
    assert not re.search(r"<script|\sstyle=|https?://", page)


def test_the_name_of_a_role_is_in_the_document(document):
    """Words that callers must spell are listed."""
    assert document["components"]["schemas"]["Role"]["enum"] == [role.value for role in Role]


def test_parameters_say_their_words_and_meaning(document):
    """Choices are listed, and what a type says of itself is said of each parameter of it."""
    parts = {one["name"]: one for one in document["paths"]["/api/v1/alerts"]["get"]["parameters"]}
    assert parts["sort"]["schema"]["enum"] == ["severity", "newest", "oldest"]
    assert parts["limit"]["description"] == "Most items of a page."
    assert "last 24h" in parts["range"]["description"]
