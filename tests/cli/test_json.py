"""Programs read the command line: with --json each line is one object, whatever there is to tell."""

from __future__ import annotations

import pytest

LISTS = [
    ("alerts", "list"), ("events", "search", "--range", "all"), ("assets", "list"), ("sources", "list"), ("controls", "list"),
    ("rules", "list"), ("ledger", "status"), ("ledger", "records"), ("channels", "list"), ("channels", "deliveries"), ("suppressions", "list"),
    ("users", "list"), ("users", "tokens", "list"), ("trail",), ("discover",),
]  # fmt: skip
#: What there is on an installation before anything was received.
THERE = {("controls", "list"), ("rules", "list"), ("trail",), ("discover",)}


def test_lists_of_an_empty_installation(cli):
    """Nothing is no error: no line, or what every installation has."""
    for command in LISTS:
        rows = cli.rows(*command)
        assert bool(rows) == (command in THERE), command
        table = cli.run(*command).stdout
        assert table.strip(), f"{command} says nothing to people"


def test_lists_of_a_filled_installation(filled):
    """Every line an object; no time is left as nanoseconds."""
    filled.run("users", "add", "ana@example.com", "--role", "analyst", "--password", "a watch is stood by people")
    filled.run("users", "tokens", "issue", "ana@example.com", "--name", "export")
    filled.run("channels", "add", "webhook", "--name", "hook", "--set", "url=http://127.0.0.1:9/", "--from", "low")
    filled.run("channels", "test", "1")
    filled.run("suppressions", "add", "--if", "src_ip=192.0.2.0/24", "--reason", "the weekly scan")
    for command in LISTS:
        rows = filled.rows(*command)
        assert rows, command
        assert len({tuple(row) for row in rows}) == 1, f"{command}: objects of one list have the same names"
        for name, value in rows[0].items():
            assert not (type(value) is int and value > 10**17), f"{command}: {name} is {value}"


def test_rules_are_chosen_by_what_they_are_for(cli):
    """The same rules in the table, with their log source."""
    whole, chosen = cli.rows("rules", "list"), cli.rows("rules", "list", "--product", "gcp", "--level", "high")
    wanted = [
        one["id"]
        for one in whole
        if one["severity"] == "high" and "gcp" in {source["product"] for source in one["logsources"]}
    ]
    assert [one["id"] for one in chosen] == wanted != []
    table = cli.run("rules", "list", "--product", "gcp", "--collection", "watchbill").stdout
    assert "gcp · google_workspace" in table
    assert cli.rows("rules", "list", "--collection", "absent") == []
    assert "Log source" in cli.run("rules", "show", wanted[0]).stdout


def test_one_of_each(filled):
    """What `show` tells of an alert, an asset, an event, a control and a rule."""
    alert = filled.rows("alerts", "list", "--limit", "1")[0]
    (view,) = filled.rows("alerts", "show", alert["id"])
    assert view["row"] == alert
    assert view["evidence"]
    (asset,) = filled.rows("assets", "show", alert["host"])
    assert asset["name"] == alert["host"]
    event = filled.rows("events", "search", f"host:{alert['host']}", "--range", "all", "--limit", "1")[0]
    assert filled.rows("events", "show", event["id"])
    assert [row["row"]["id"] for row in filled.rows("controls", "show", "A.8.15")] == ["A.8.15"]
    assert filled.rows("rules", "show", alert["rule"])[0]["id"] == alert["rule"]


def test_what_is_expected_is_declared_and_taken_back(filled):
    """Open alerts that match are suppressed, and are open again when it ends."""
    address = next(one for one in filled.rows("alerts", "list") if one["entities"].get("src_ip"))["entities"]["src_ip"][
        0
    ]
    before = {one["id"] for one in filled.rows("alerts", "list", "--status", "open")}
    made = filled.run("suppressions", "add", "--if", f"src_ip={address}", "--reason", "ours", "--up-to", "critical")
    hidden = {one["id"] for one in filled.rows("alerts", "list", "--status", "suppressed")}
    assert hidden <= before
    assert hidden
    (row,) = filled.rows("suppressions", "show", made.stdout.split()[0])
    assert (row["state"], row["conditions"]) == ("active", [["src_ip", address]])
    assert f"{len(hidden)} alerts" in filled.run("suppressions", "end", row["id"]).stdout
    assert {one["id"] for one in filled.rows("alerts", "list", "--status", "open")} == before


def test_old_control_numbers_are_understood(cli):
    """A.12.4 of 2013 is what A.8.15 and A.8.17 are today."""
    assert {row["row"]["id"] for row in cli.rows("controls", "show", "A.12.4")} >= {"A.8.15"}


def test_check_says_what_failed(filled):
    """Exit code 1 tells a script that a check failed; the objects tell which."""
    outcomes = {row["id"]: row["outcome"] for row in filled.rows("check", code=1)}
    assert outcomes["assets_owned"] == "failed"


def test_alerts_are_worked_on(filled):
    """Acknowledge, investigate, comment, assign, resolve, reopen: each is in the alert's history and on the trail."""
    name = filled.rows("alerts", "list", "--limit", "1")[0]["id"]
    filled.run("users", "add", "ana@example.com", "--role", "analyst", "--password", "a watch is stood by people")
    filled.run("alerts", "acknowledge", name)
    filled.run("alerts", "investigate", name, "-m", "on it")
    filled.run("alerts", "comment", name, "looks like a test")
    filled.run("alerts", "assign", name, "ana@example.com")
    filled.run("alerts", "resolve", name, "--as", "benign", "-m", "it was a test")
    filled.run("alerts", "reopen", name)
    (view,) = filled.rows("alerts", "show", name)
    assert (view["row"]["status"], view["row"]["assignee"]) == ("open", "ana@example.com")
    acts = {row["action"] for row in filled.rows("trail", "--action", "alert.")}
    assert acts >= {
        f"alert.{step}" for step in ("acknowledge", "investigate", "comment", "assign", "resolve", "reopen")
    }


@pytest.mark.parametrize("words", [("set", "web-01", "--criticality", "high", "--owner", "ben"), ("add", "fw-01")])
def test_the_inventory_is_kept(filled, words):
    """What is said of an asset stands in the list at once."""
    filled.run("assets", *words)
    (row,) = [row for row in filled.rows("assets", "list") if row["name"] == words[1]]
    assert row["criticality"] == ("high" if words[0] == "set" else "medium")
