"""What each page shows and does, over real data."""

from __future__ import annotations

import json
from html import unescape

import pytest

from watchbill.core.values import AlertStatus, Criticality, Disposition, Role
from watchbill.state.alerts import queries as alerts
from watchbill.state.assets import queries as inventory
from watchbill.state.controls import queries as controls
from watchbill.state.trail import queries as trail


def text(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def test_overview_gives_each_figure_its_denominator_and_link(analyst):
    """Unresolved alerts, sources, ledger, controls: each figure opens what it is made of."""
    page = text(analyst.get("/"))
    assert 'href="/alerts?severity=critical"' in page
    assert " of 118" in page
    assert "never verified" in page


def test_the_list_filters_by_facet_text_and_says_how_many(analyst):
    """Facets narrow, text finds entities, and what does not match is gone."""
    everything = text(analyst.get("/alerts"))
    assert "Repeated failed sign-ins from one address" in everything
    found = text(analyst.get("/alerts?q=203.0.113.9"))
    assert "db-01" in found
    assert "A new account was created" not in found
    assert "Nothing matches" in text(analyst.get("/alerts?q=nobodyhasthis"))


def test_each_row_shows_when_its_events_came(analyst, an_alert):
    """The sparkline's hours add up to the events of the last day."""
    import time

    from watchbill.core.clock import DAY

    end = time.time_ns()
    one = next(row for row in alerts.alerts().items if row.rule == "failed_logins_by_address" and row.host == "db-01")
    assert sum(alerts.activity([one.id], end - DAY, end)[one.id]) == 30
    assert "Events in each of the last 24 hours" in text(analyst.get("/alerts"))


def test_rows_alone_are_given_to_the_live_script(analyst):
    """The script asks with HX-Target and gets no shell."""
    page = text(analyst.get("/alerts", headers={"HX-Target": "rows"}))
    assert page.lstrip().startswith('<div id="rows"')
    assert '<nav class="nav"' not in page


def test_lists_come_as_csv_and_json(analyst):
    """What is shown can be taken along."""
    rows = b"".join(analyst.get("/alerts?as=json&status=any")).splitlines()
    assert all(json.loads(row)["id"].startswith("A-") for row in rows)
    assert rows
    assert b"".join(analyst.get("/alerts?as=csv")).startswith(b"id,title,status")


def test_the_alert_page_tells_its_story(analyst):
    """One sentence, why with threshold and criticality, events with their place, the response, the controls."""
    one = next(row for row in alerts.alerts().items if row.rule == "failed_logins_by_address" and row.host == "db-01")
    page = text(analyst.get(f"/alerts/{one.id}"))
    for words in (
        "30 events",
        "203.0.113.9",
        "high criticality",
        "What to do now",
        "A.8.16",
        "Failed password for backup",
    ):
        assert words in page


def test_an_alert_lives_through_the_page(analyst, an_alert):
    """Acknowledge, comment, assign, resolve with its disposition, reopen; each is in the history."""
    say = lambda step, **values: analyst.post(f"/alerts/{an_alert}/{step}", values)  # noqa: E731 - four short lines below
    say("acknowledge")
    say("comment", comment="Looked at it.")
    say("assign", assignee="analyst@example.com")
    say("resolve", disposition="benign", comment="A drill.")
    found = alerts.alert(an_alert)
    assert found.row.status is AlertStatus.RESOLVED
    assert found.row.disposition is Disposition.BENIGN
    assert found.row.assignee == "analyst@example.com"
    say("reopen")
    assert alerts.alert(an_alert).row.status is AlertStatus.OPEN
    assert "A drill." in text(analyst.get(f"/alerts/{an_alert}"))


def test_what_cannot_be_done_says_why_and_changes_nothing(analyst, an_alert):
    """A false positive needs its reason: the page one comes back to says so."""
    answer = analyst.post(f"/alerts/{an_alert}/resolve", {"disposition": "false positive"}, follow=True)
    assert b"needs its reason" in answer.content
    assert alerts.alert(an_alert).row.status is not AlertStatus.RESOLVED


def test_many_are_acknowledged_and_that_is_undone(analyst):
    """The script learns what was done, and undoes it."""
    ids = [row.id for row in alerts.alerts().items if row.status is AlertStatus.OPEN][:2]
    done = analyst.post("/alerts/bulk/acknowledge", {"id": ids}, headers={"X-Console": "1"}).json()
    assert sorted(done["ids"]) == sorted(ids)
    assert "2 alerts are acknowledged" in done["said"]
    analyst.post("/alerts/bulk/unacknowledge", {"id": ids}, headers={"X-Console": "1"})
    assert all(alerts.alert(one).row.status is AlertStatus.OPEN for one in ids)


def test_events_are_searched_and_a_hostile_message_stays_text(analyst):
    """What a log line says is never markup."""
    page = text(analyst.get("/events?q=visitor&when=all"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert(1)" not in page


def test_a_query_that_cannot_be_read_says_where(analyst):
    """400, the column and the mend, and the words stay in the box."""
    answer = analyst.get("/events?q=user:(&when=all")
    assert answer.status_code == 400
    assert b"To mend" in answer.content
    assert b'value="user:("' in answer.content


def test_an_event_opens_to_its_bytes_and_place(analyst, sign_in):
    """Analysts see the bytes and where they stand; viewers see the event without them."""
    row = alerts.alert(alerts.alerts().items[0].id).evidence[0]
    where = f"/events/{row.shard}-{row.position}"
    page = text(analyst.get(where))
    assert "&lt;38&gt;1 " in page
    assert f"position {row.position}" in page
    raw = analyst.get(f"{where}/raw")
    assert raw["Content-Type"] == "application/octet-stream"
    assert raw.content.startswith(b"<38>1 ")
    assert "&lt;38&gt;1 " not in text(sign_in(Role.VIEWER).get(where))


def test_events_are_exported(analyst):
    """Every match as lines."""
    rows = b"".join(analyst.get("/events/export.json?q=user:backup&when=all")).splitlines()
    assert len(rows) == 30


def test_an_asset_is_edited(analyst):
    """Criticality, owner and expected sources; looking at it is the review."""
    analyst.post("/assets/web-01/edit", {"criticality": "high", "owner": "web team", "expected_sources": "sshd nginx"})
    found = inventory.asset("web-01", now=1)
    assert (found.criticality, found.owner, found.reviewed) == (Criticality.HIGH, "web team", True)
    assert "web team" in text(analyst.get("/assets?q=web"))


def test_a_source_says_how_it_delivers_and_its_bound_is_set(analyst):
    """The silent bound takes words, and refuses what is none."""
    assert "company.log" in text(analyst.get("/sources"))
    analyst.post("/sources/0-1/edit", {"silent_after": "2h"})
    assert inventory.source("0-1", now=1).silent_after_set
    refused = analyst.post("/sources/0-1/edit", {"silent_after": "soon"}, follow=True)
    assert b"is no duration" in refused.content


def test_controls_are_found_by_either_edition_and_attested(analyst):
    """A.12.4 of 2013 finds A.8.15; an attestation is on the control's page."""
    assert "A.8.15" in text(analyst.get("/controls?q=A.12.4"))
    analyst.post("/controls/A.7.4/attest", {"statement": "I walked the site.", "days": "30"})
    assert controls.control("A.7.4").attestations[0].statement == "I walked the site."
    assert "I walked the site." in text(analyst.get("/controls/A.7.4"))
    assert "as known at the end of 2020-01-01" in text(analyst.get("/controls/A.8.15?as_of=2020-01-01"))


def test_the_ledger_is_verified_from_the_page(analyst):
    """The verdict names who asked, and how many records were proven."""
    from watchbill.core.clock import SystemClock
    from watchbill.flows import installation
    from watchbill.flows.prove import verify

    report = verify(installation.data(), SystemClock(), by="analyst@example.com", workers=1)
    assert report.ok
    page = text(analyst.get("/ledger"))
    assert "records verified" in page
    assert "analyst@example.com" in page


def test_a_period_is_exported_and_its_bundle_verifies(analyst, tmp_path):
    """What the browser gets is what an auditor verifies; the download is on the trail; what is removed is gone."""
    from watchbill.flows.exports import exports
    from watchbill.ledger import verify_bundle

    answer = analyst.post("/ledger/export", {"when": "last 7d", "controls": "A.8.15, A.8.16"})
    assert answer["Location"] == "/ledger#exports"
    export = exports().all()[0]
    assert exports().wait(export.id, 60).state == "ready"
    page = text(analyst.get("/ledger"))
    assert "A.8.15, A.8.16" in page
    assert "Download" in page
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(b"".join(analyst.post(f"/ledger/exports/{export.id}/file")))
    assert verify_bundle(bundle).ok
    entry = trail.entries()[0]
    assert (entry.action, entry.actor, entry.detail["controls"]) == (
        "export.made", "analyst@example.com", ["A.8.15", "A.8.16"],
    )  # fmt: skip
    analyst.post(f"/ledger/exports/{export.id}/remove")
    assert export.id not in {one.id for one in exports().all()}
    assert analyst.post(f"/ledger/exports/{export.id}/file").status_code == 404


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"when": "2026-03-02 to 2026-03-01"}, "ends before it begins"), ({"when": "all", "controls": "A.99"}, "A.99"),
     ({"when": "all", "since": "no checkpoint"}, "this is no checkpoint")],
    ids=["period", "control", "checkpoint"],
)  # fmt: skip
def test_an_export_that_cannot_be_is_refused_at_once(analyst, asked, said):
    """A message says why, and none is begun."""
    from watchbill.flows.exports import exports

    before = {one.id for one in exports().all()}
    answer = analyst.post("/ledger/export", asked, follow=True)
    assert said in text(answer)
    assert {one.id for one in exports().all()} <= before


def test_rules_show_tiers_and_tests(analyst):
    """The tiered table of the rule, in words."""
    page = text(analyst.get("/rules/failed_logins_by_address"))
    assert "3 in 5 min" in page
    assert "Its alerts" in page


def test_a_rule_that_only_feeds_others_leads_to_the_one_that_alerts(analyst):
    """Events name the base rules they met; their links lead somewhere."""
    from watchbill.flows import installation

    rules = installation.ruleset()
    feeding = next(name for name, rule in rules.by_name.items() if not rule.alerts)
    answer = analyst.get(f"/rules/{feeding}")
    assert answer.status_code == 302
    assert rules.infos[answer["Location"].removeprefix("/rules/")].path == rules.by_name[feeding].path


def test_an_alert_leads_to_a_suppression_of_just_this(analyst, an_alert):
    """The link fills in the rule and what was involved; what would hide everything is refused on the form."""
    page = text(analyst.get(f"/alerts/{an_alert}"))
    where = unescape(page.split('href="/suppressions/new?')[1].split('"')[0])
    form = analyst.get(f"/suppressions/new?{where}")
    given = {name: value for name, value in form.context["form"].initial.items() if value}
    assert given["rule"] == alerts.alert(an_alert).row.rule
    fields = given | {"days": "7", "up_to": "critical", "reason": "the migration of this week"}
    refused = analyst.post("/suppressions/new", {**fields, "rule": "", "host": "*"})
    assert refused.status_code == 400
    assert "holds for everything" in refused.content.decode()
    made = analyst.post("/suppressions/new", fields, follow=True)
    assert "the migration of this week" in text(made)
    assert alerts.alert(an_alert).row.status == "suppressed"
    ended = analyst.post(f"{made.redirect_chain[-1][0]}/end", follow=True)
    assert "is open again" in text(ended)
    assert "the migration of this week" in text(analyst.get("/suppressions"))


def test_a_channel_keeps_its_secret(administrator):
    """The form is made from the notifier's fields; a secret never comes back, and leaving it empty keeps it."""
    page = text(administrator.get("/channels/1"))
    assert "not to be shown" not in page
    assert "set; leave empty to keep it" in page
    changed = {
        "name": "On call",
        "min_severity": "critical",
        "enabled": "on",
        "config.url": "https://hooks.example.com/x",
    }
    assert administrator.post("/channels/1", changed).status_code == 302
    assert alerts.channel(1).config["secret"] == "…"


def test_somebody_is_invited_and_comes_in(administrator, sign_in):
    """The link is shown once, opens once, and gives the role that it was made for."""
    page = text(administrator.post("/people/invite", {"email": "new@example.com", "role": "auditor"}, follow=True))
    link = page.split("<code>")[1].split("</code>")[0]
    assert link not in text(administrator.get("/people"))
    where = link[link.index("/setup/") :]
    stranger = sign_in(None)
    assert "the role auditor" in text(stranger.get(where))
    weak = stranger.post(where, {"email": "new@example.com", "password": "short"})
    assert weak.status_code == 400
    assert stranger.post(where, {"email": "new@example.com", "password": "twelve letters or more"}).status_code == 302
    assert stranger.get(where).status_code == 404


def test_a_token_is_shown_once(analyst):
    """Nobody, its owner included, sees it a second time."""
    page = text(analyst.post("/account/tokens", {"name": "script", "role": "viewer", "days": "7"}, follow=True))
    token = page.split("<code>")[1].split("</code>")[0]
    assert token.startswith("wb_")
    assert token not in text(analyst.get("/account"))


def test_the_trail_says_who_did_what(analyst, an_alert):
    """An action just done is at the top."""
    analyst.post(f"/alerts/{an_alert}/acknowledge")
    page = text(analyst.get("/trail?action=alert."))
    assert "alert.acknowledge" in page
    assert "analyst@example.com" in page


@pytest.mark.parametrize(
    "where", ["/nowhere", "/alerts/A-999999", "/assets/ghost", "/events/0-999999999", "/rules/none"]
)
def test_what_is_not_there_says_what_to_do(analyst, where):
    """404, with a way on."""
    answer = analyst.get(where)
    assert answer.status_code == 404
    assert b"To the overview" in answer.content


def test_the_ledger_page_says_how_far_it_is_kept_elsewhere(analyst):
    """Sealed, signed, witnessed, stamped; keys for witnesses; what is missing is said."""
    page = text(analyst.get("/ledger"))
    for words in ("Signed up to", "no witness", "no authority", "watchbill witness trust", "export-root"):
        assert words in page


def test_what_the_guard_found_stands_on_the_page(analyst):
    """Its verdict has a place, and no count of records."""
    from watchbill.core.clock import SystemClock
    from watchbill.state.trail import actions

    detail = {"place": "events/x.vol (byte 7)", "what": "the records at positions 0 to 255 differ", "findings": 2}
    actions.record("system", "ledger.damaged", "file", "events/x.vol", detail, SystemClock().now())
    page = text(analyst.get("/ledger"))
    assert "events/x.vol (byte 7): the records at positions 0 to 255 differ" in page
    assert "and 1 more" in page


def test_one_record_is_proven_from_the_page(analyst, tmp_path):
    """The file that the browser gets is what an auditor verifies; what is no event is told on the page."""
    from watchbill.ledger import verify_record

    file = tmp_path / "record.json"
    file.write_bytes(b"".join(analyst.post("/ledger/prove", {"event": "0-5"})))
    assert verify_record(file).ok
    assert b"no event" in analyst.post("/ledger/prove", {"event": "five"}, follow=True).content


def test_the_log_is_published_as_tiles_if_that_is_wanted(analyst, sign_in, settings):
    """For readers always, for anybody by setting: the head, hashes and manifests as tlog-tiles has them, nothing else."""
    from dataclasses import replace

    from watchbill.ledger import tree
    from watchbill.ledger.note import Checkpoint
    from watchbill.ledger.tiles import split_bundle

    note = analyst.get("/ledger/0/checkpoint").content.decode()
    head = Checkpoint.parse(note)
    assert head.size < 256
    hashes = analyst.get(f"/ledger/0/tile/0/000.p/{head.size}").content
    nodes = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    assert tree.root(nodes) == head.root
    entries = split_bundle(analyst.get(f"/ledger/0/tile/entries/000.p/{head.size}").content, head.size)
    assert [tree.leaf_hash(entry) for entry in entries] == nodes
    assert len(analyst.get("/ledger/0/tile/0/000.p/1").content) == 32
    for wrong in (
        "0/tile/0/001",
        "0/tile/0/000",
        "7/checkpoint",
        "0/tile/9/000",
        "0/../head",
        "0/tile/0/000.p/300",
        "0/head",
    ):
        assert analyst.get(f"/ledger/{wrong}").status_code == 404, wrong
    assert sign_in(None).get("/ledger/0/checkpoint").status_code == 302
    settings.CONFIG = replace(settings.CONFIG, ledger=replace(settings.CONFIG.ledger, publish=True))
    assert sign_in(None).get("/ledger/0/checkpoint").content.decode() == note
    assert sign_in(None).post("/ledger/0/checkpoint").status_code == 405
