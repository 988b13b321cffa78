"""What people do by programs, over real data."""

from __future__ import annotations

import json
import zipfile

from calling import PEOPLE, Caller

from watchbill.core.values import Role
from watchbill.ledger import verify_bundle, verify_record


def test_paging_gives_every_alert_once(analyst):
    """In each order, whatever the page's size, the pages are the whole list."""
    for sort in ("severity", "newest", "oldest"):
        whole = [one["id"] for one in analyst.get("/alerts", sort=sort, limit=500)["items"]]
        found, cursor = [], ""
        while True:
            page = analyst.get("/alerts", sort=sort, limit=2, cursor=cursor)
            found += [one["id"] for one in page["items"]]
            cursor = page["next"]
            if not cursor:
                break
        assert found == whole
        assert len(set(found)) == len(found) == page["total"] > 4


def test_filters_narrow_and_facets_count(analyst):
    """Facets say how many a filter leaves, and the filter leaves so many."""
    facets = analyst.get("/alerts/facets")
    for name in ("status", "severity"):
        for value, count in facets[name].items():
            assert analyst.get("/alerts", **{name: value})["total"] == count
    for host, count in facets["host"]:
        assert analyst.get("/alerts", host=host)["total"] == count
    assert analyst.get("/alerts", src_ip="203.0.113.9")["items"][0]["host"] == "db-01"
    assert analyst.get("/alerts", text="nobodyhasthis")["items"] == []
    assert sum(analyst.get("/alerts/counts")["status"].values()) == analyst.get("/alerts")["total"]
    opened = analyst.get("/alerts/severity-over-time", range="last 7d", buckets=10)
    assert sum(sum(one["counts"].values()) for one in opened) == analyst.get("/alerts")["total"]


def test_an_alerts_whole_life(analyst, an_alert):
    """Acknowledge, undo, investigate, comment, resolve, reopen; the history and the trail say who."""
    for step, status in (("acknowledge", "acknowledged"), ("unacknowledge", "open"), ("investigate", "investigating")):
        assert analyst.post(f"/alerts/{an_alert}/{step}", {"comment": "by script"})["row"]["status"] == status
    analyst.post(f"/alerts/{an_alert}/comment", {"text": "asked the owner"})
    assert analyst.post(f"/alerts/{an_alert}/assign", {"assignee": ""})["row"]["assignee"] == ""
    done = analyst.post(f"/alerts/{an_alert}/resolve", {"disposition": "true positive"})
    assert done["row"]["disposition"] == "true positive"
    again = analyst.post(f"/alerts/{an_alert}/reopen")
    assert {one["who"] for one in again["history"]} >= {PEOPLE[Role.ANALYST]}
    entry = analyst.get("/trail", object=f"alert:{an_alert}", limit=1)["items"][0]
    assert (entry["action"], entry["actor"]) == ("alert.reopen", PEOPLE[Role.ANALYST])


def test_many_at_once(analyst):
    """What cannot be done is refused with its reason, the rest is done."""
    ids = [one["id"] for one in analyst.get("/alerts", status="open")["items"]]
    first = analyst.post("/alerts/acknowledge", {"ids": [*ids, "A-99999"]})
    assert sorted(first["done"]) == sorted(ids)
    assert first["refused"][0][0] == "A-99999"
    assert analyst.post("/alerts/resolve", {"ids": ids, "disposition": "benign"})["done"] == first["done"]


def test_events_are_searched_counted_shown_and_handed_out(analyst):
    """Pages are the whole; the histogram and the export agree with the total; the raw record is its bytes."""
    asked = {"q": "user:backup", "range": "all"}
    whole = analyst.get("/events", **asked, limit=500)
    assert (len(whole["items"]), whole["total"], whole["exact"]) == (30, 30, True)
    found, cursor = [], ""
    while True:
        page = analyst.get("/events", **asked, limit=7, cursor=cursor)
        found += page["items"]
        cursor = page["next"]
        if not cursor:
            break
    assert found == whole["items"]
    assert sum(one["count"] for one in analyst.get("/events/histogram", **asked)["buckets"]) == 30
    assert ["db-01", 30] in analyst.get("/events/facets", **asked)["fields"]["host"]
    lines = b"".join(analyst("GET", "/events/export", **asked)).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [one["id"] for one in found]
    event = found[0]
    assert analyst.get(f"/events/{event['id']}") == event
    raw = b"".join(analyst("GET", f"/events/{event['id']}/raw"))
    assert b"Failed password for backup" in raw
    assert analyst.get(f"/ledger/records/{event['id']}")["raw"] == raw.decode()


def test_assets_and_sources_are_changed(analyst):
    """All of a change or nothing of it; a renamed asset keeps its old name as an alias."""
    made = analyst.post("/assets", {"name": "Vault-01", "criticality": "high", "owner": "security"})
    assert (made["name"], made["criticality"]) == ("vault-01", "high")
    change = {"name": "vault-02", "expected_sources": ["sshd"], "add_aliases": ["vault"]}
    answer = analyst("PATCH", "/assets/vault-01", change).json()
    assert answer["missing"] == ["sshd"]
    assert set(answer["aliases"]) == {"vault", "vault-01"}
    half = {"owner": "nobody", "remove_aliases": ["never-was"]}
    assert analyst("PATCH", "/assets/vault-02", half).status_code == 404
    assert analyst.get("/assets/vault")["owner"] == "security"
    source = analyst.get("/sources")[0]["id"]
    for words, nanoseconds in (("2h", 7_200_000_000_000), ("never", 0)):
        assert analyst("PUT", f"/sources/{source}/silent-after", {"duration": words}).json()["silent_after_set"]
        assert analyst.get("/trail", object=f"source:{source}")["items"][0]["detail"]["to"] == nanoseconds
    assert not analyst("PUT", f"/sources/{source}/silent-after", {"duration": "auto"}).json()["silent_after_set"]
    assert len(analyst.get(f"/sources/{source}/hours", days=2)) == 48


def test_controls_are_found_attested_and_withdrawn(analyst, administrator):
    """A number of 2013 finds that of 2022; an attestation is on the control; the strip ends today."""
    assert "A.8.15" in {one["id"] for one in analyst.get("/controls", number="A.12.4")}
    made = analyst.post("/controls/A.7.4/attestations", {"statement": "I walked the site.", "valid_for": "30d"})
    assert analyst.get("/controls/A.7.4")["attestations"][0] == made
    gone = analyst("DELETE", f"/controls/A.7.4/attestations/{made['id']}").json()
    assert gone["withdrawn_at"]
    change = {"owner": "facilities", "applicable": False, "justification": "There is no site."}
    assert not administrator("PATCH", "/controls/A.7.4", change).json()["row"]["applicable"]
    assert administrator.get("/controls/summary")["excluded"] == 1
    assert len(analyst.get("/controls/A.8.15/strip", days=30)) == 30
    check = next(one for one in analyst.get("/checks") if one["outcome"] != "unknown")
    result = analyst.get(f"/checks/{check['id']}/results")[0]
    assert analyst.get(f"/checks/results/{result['id']}") == result


def test_rules_are_listed_with_what_does_not_run(analyst):
    """Each has its controls and its tiers; a rule that cannot run would stand among the problems."""
    rules = analyst.get("/rules", control="A.8.5")["items"]
    assert rules
    assert all("A.8.5" in one["controls"] for one in rules)
    assert analyst.get(f"/rules/{rules[0]['id']}") == rules[0]
    assert analyst.get("/rule-problems") == {"items": [], "total": 0, "next": ""}
    assert analyst.get("/rule-collections") == []


def test_rules_are_filtered_and_paged(analyst):
    """By log source, level and collection; the pages together are the whole list; a foreign cursor is refused."""
    whole = analyst.get("/rules", limit=500)
    assert whole["total"] == len(whole["items"])
    ids, cursor = [], ""
    while not ids or cursor:
        page = analyst.get("/rules", limit=7, cursor=cursor)
        ids += [one["id"] for one in page["items"]]
        cursor = page["next"]
    assert ids == [one["id"] for one in whole["items"]]
    gcp = analyst.get("/rules", product="gcp")["items"]
    assert gcp
    assert all("gcp" in {source["product"] for source in one["logsources"]} for one in gcp)
    high = analyst.get("/rules", level="high", collection="watchbill")
    assert high["total"] == sum(one["severity"] == "high" for one in whole["items"]) > 0
    assert analyst.get("/rules", collection="absent")["items"] == []
    assert analyst("GET", "/rules", cursor="a").status_code == 400


def test_evidence_is_taken_out_and_verifies(analyst, tmp_path):
    """A period, and one record: both are proven on their own."""
    asked = ("/ledger/export", {"range": "last 7d"}, verify_bundle), ("/ledger/records/0-5/proof", None, verify_record)
    for where, body, check in asked:
        answer = analyst("POST", where, body)
        assert answer["Content-Disposition"].startswith('attachment; filename="watchbill-')
        taken = tmp_path / "taken"
        taken.write_bytes(b"".join(answer))
        assert check(taken).ok
    assert analyst.get("/trail", action="export.made")["items"][0]["actor"] == PEOPLE[Role.ANALYST]
    assert [one["id"] for one in analyst.get("/ledger/records", start=3, limit=2)] == ["0-3", "0-4"]


def test_a_period_is_exported_beside_other_requests(analyst, tmp_path):
    """Asked for by its ends, with controls and an auditor's checkpoint; made, fetched twice, removed."""
    from watchbill.flows.exports import exports
    from watchbill.ledger.trusted import Trusted

    note = analyst.get("/ledger/checkpoint")["note"]
    begun = analyst.post("/ledger/exports", {"from": "2020-01-01", "controls": ["A.8.15"], "since": [note]})
    assert exports().wait(begun["id"], 60).state == "ready"
    shown = analyst.get(f"/ledger/exports/{begun['id']}")
    assert (shown["state"], shown["percent"], shown["by"]) == ("ready", 100, PEOPLE[Role.ANALYST])
    assert shown in analyst.get("/ledger/exports")
    taken, held = tmp_path / "taken.zip", tmp_path / "held"
    for _ in range(2):
        answer = analyst("GET", f"/ledger/exports/{begun['id']}/file")
        taken.write_bytes(b"".join(answer))
        assert taken.stat().st_size == shown["size"] == int(answer["Content-Length"])
    held.mkdir()
    (held / "kept").write_text(note)
    report = verify_bundle(taken, None, Trusted.load(held))
    assert report.ok, report.findings
    assert not report.unproven, report.unproven
    assert report.events == shown["events"] > 0
    with zipfile.ZipFile(taken) as archive:
        assert [one["row"]["id"] for one in json.loads(archive.read("controls.json"))] == ["A.8.15"]
    entries = analyst.get("/trail", action="export.made")["items"]
    assert [one["detail"]["controls"] for one in entries[:2]] == [["A.8.15"]] * 2
    assert analyst("DELETE", f"/ledger/exports/{begun['id']}").status_code == 204
    assert analyst("GET", f"/ledger/exports/{begun['id']}").status_code == 404


def test_a_proof_extends_the_checkpoint_that_the_auditor_has(analyst, tmp_path):
    """One record, as the command line makes it with --since."""
    note = analyst.get("/ledger/checkpoint")["note"]
    made = json.loads(b"".join(analyst("POST", "/ledger/records/0-5/proof", {"since": [note]})))
    assert [one["note"] for one in made["anchors"]] == [note.partition("\n\n")[0] + "\n"]


def test_a_channel_is_made_changed_tested_and_removed(administrator):
    """The kinds say what is wanted; a secret that is not given again is kept; deliveries stay."""
    kinds = {one["id"]: one for one in administrator.get("/channels/kinds")}
    assert "url" in {one["name"] for one in kinds["webhook"]["config"]}
    config = {"url": "https://hooks.example.com/x", "secret": "word"}
    made = administrator.post("/channels", {"kind": "webhook", "name": "Second", "config": config})
    changed = administrator(
        "PATCH", f"/channels/{made['id']}", {"config": {"url": "https://hooks.example.com/y"}}
    ).json()
    assert changed["config"] == {**made["config"], "url": "https://hooks.example.com/y"}
    assert changed["secrets"] == ["secret"]
    delivery = administrator.post(f"/channels/{made['id']}/test")["delivery"]
    assert administrator.get("/deliveries", channel=made["id"])[0]["id"] == delivery
    assert administrator("POST", f"/deliveries/{delivery}/retry").status_code == 409
    assert administrator("DELETE", f"/channels/{made['id']}").status_code == 204
    assert administrator("GET", f"/channels/{made['id']}").status_code == 404


def test_what_is_expected_is_suppressed_and_comes_back(analyst):
    """By an alert's own rule and address: it is suppressed at once, and open again when that ends."""
    row = next(one for one in analyst.get("/alerts", status="open")["items"] if one["entities"].get("src_ip"))
    asked = {"rule": row["rule"], "conditions": [{"kind": "src_ip", "pattern": row["entities"]["src_ip"][0]}],
             "reason": "our own scanner", "length": "8h", "up_to": "critical"}  # fmt: skip
    if len(row["entities"]["src_ip"]) > 1:
        asked["conditions"] = []
    made = analyst.post("/suppressions", asked)
    assert analyst.get(f"/alerts/{row['id']}")["row"]["status"] == "suppressed"
    assert [one["id"] for one in analyst.get("/suppressions", state="active")] == [made["id"]]
    assert analyst.post(f"/suppressions/{made['id']}/end", {})["state"] == "ended"
    assert analyst.get(f"/alerts/{row['id']}")["row"]["status"] == "open"


def test_people_are_invited_promoted_and_shut_out(administrator, sign_in):
    """The invitation's link opens the setup page; a role changes at once; a shut-out user's tokens end."""
    invited = administrator.post("/users/invite", {"email": "new@example.com", "role": "auditor"})
    where = invited["url"][invited["url"].index("/setup/") :]
    assert b"the role auditor" in sign_in(None).get(where).content
    viewer = PEOPLE[Role.VIEWER]
    assert administrator("PUT", f"/users/{viewer}/role", {"role": "analyst"}).json()["role"] == "analyst"
    assert not administrator.post(f"/users/{viewer}/deactivate")["is_active"]
    assert administrator.post(f"/users/{viewer}/activate")["is_active"]


def test_ones_own_tokens(analyst):
    """A new token is shown once and works; it is listed without its secret, and ends when it is revoked."""
    issued = analyst.post("/tokens", {"name": "script", "role": "viewer"})
    fresh = Caller(issued["token"])
    assert fresh.get("/me")["token"] == "script"
    assert "alerts.act" not in fresh.get("/me")["capabilities"]
    assert issued["token"] not in json.dumps(analyst.get("/tokens"))
    assert analyst("DELETE", f"/tokens/{issued['about']['id']}").status_code == 204
    assert fresh("GET", "/me").status_code == 401


def test_the_trail_pages_back_to_the_beginning(analyst):
    """Each entry once, newest first."""
    found, before = [], None
    while True:
        page = analyst.get("/trail", limit=5, **({"before": before} if before else {}))
        found += [one["id"] for one in page["items"]]
        before = page["next"]
        if before is None:
            break
    assert found == sorted(set(found), reverse=True)
    assert len(found) > 10


def test_whoever_keeps_a_head_is_shown_that_the_log_only_grew(analyst):
    """Checkpoint, consistency proof and keys, as an agent asks for them."""
    from watchbill.ledger import consistency
    from watchbill.ledger.note import Checkpoint, Verifier, unb64

    note = analyst.get("/ledger/checkpoint")["note"]
    (key, *_) = analyst.get("/ledger/keys")["logs"]
    held = consistency.follow(None, note, [], Verifier.from_vkey(key["vkey"]))
    proof = analyst.get("/ledger/consistency", old=1, new=held.size)["proof"]
    first = Checkpoint.parse(note)
    assert first == held
    assert [len(unb64(node)) for node in proof] == [32] * len(proof)
    assert analyst("GET", "/ledger/consistency?old=1&new=999999").status_code == 404
    assert analyst("GET", "/ledger/checkpoint?shard=7").status_code == 404
