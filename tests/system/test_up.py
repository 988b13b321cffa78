"""The product as a user starts it: a syslog line becomes a proven alert."""

from __future__ import annotations

import json
import re
import time
import urllib.request

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


def failures(host: str, address: str, count: int) -> list[str]:
    """Failed logins as rsyslog would forward them, of this moment."""
    stamp = time.strftime("%b %d %H:%M:%S", time.gmtime())
    return [
        f"<38>{stamp} {host} sshd[{4000 + number}]: Failed password for root from {address} port {41000 + number} ssh2"
        for number in range(count)
    ]


def test_first_start_prints_the_address_and_a_one_time_link(installation):
    """What a newcomer needs stands on the screen, and the console answers."""
    said = installation.said()
    assert f"Console: {installation.url}" in said
    assert re.search(rf"{installation.url}/setup/[\w-]{{20,}}/", said)
    with urllib.request.urlopen(installation.url, timeout=10) as page:
        assert "Watchbill" in page.read().decode()


def test_syslog_line_becomes_an_alert(installation):
    """Six failures in a moment from one address, and nobody else, make one alert; all of it is searchable."""
    installation.send(*failures("web-01", "203.0.113.9", 6), *failures("web-02", "203.0.113.10", 2))
    installation.wait_for(lambda: installation.rows("alerts", "list"), "an alert")
    time.sleep(2)
    alerts = [row for row in installation.rows("alerts", "list") if row["host"].startswith("web-")]
    assert [(row["host"], row["entities"]["src_ip"], row["events"]) for row in alerts] == [
        ("web-01", ["203.0.113.9"], 6)
    ]
    events = installation.wait_for(
        lambda: installation.rows("events", "search", "src_ip:203.0.113.10", "--range", "last 1h"), "events at rest"
    )
    assert len(events) == 2


def test_action_is_in_the_ledger_and_verifies(installation):
    """Who acknowledged stands in the trail, in the ledger, and in a bundle that verifies offline."""
    installation.send(*failures("db-01", "203.0.113.77", 6))
    mine = installation.wait_for(
        lambda: [row for row in installation.rows("alerts", "list") if row["host"] == "db-01"], "the alert"
    )
    installation.run("alerts", "acknowledge", mine[0]["id"])
    installation.run("alerts", "resolve", mine[0]["id"], "--as", "true positive", "--comment", "blocked at the edge")
    entries = installation.wait_for(
        lambda: [row for row in installation.rows("trail", "--action", "alert.") if row["position"] is not None],
        "the trail in the ledger",
    )
    assert {"alert.acknowledge", "alert.resolve"} <= {row["action"] for row in entries}
    bundle = installation.folder.parent / "evidence.wbx"
    installation.wait_for(lambda: json.loads(installation.run("verify", "--json"))["ok"], "a verified ledger")
    installation.run("export", "--range", "last 1h", "--out", str(bundle))
    report = json.loads(installation.run_plain("verify", str(bundle), "--json"))
    assert report["ok"] is True


@pytest.mark.parametrize("name", ["engine", "receive", "worker", "web"])
def test_killed_process_comes_back_and_loses_nothing(installation, name):
    """kill -9 of any process: what was accepted is judged once."""
    host, address = f"kill-{name}", "203.0.113.50"
    before = installation.pid(name)
    installation.send(*failures(host, address, 3))
    time.sleep(0.5)
    installation.kill(name)
    installation.wait_for(lambda: installation.pid(name) != before, f"{name} to come back")
    installation.wait_for(lambda: installation._listens(installation.syslog), "the listener")
    installation.send(*failures(host, address, 3))
    found = installation.wait_for(
        lambda: [row for row in installation.rows("alerts", "list") if row["host"] == host and row["events"] >= 6],
        "the alert",
    )
    assert [row["events"] for row in found] == [6]
