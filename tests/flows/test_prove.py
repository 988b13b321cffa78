"""Proof: verification is on the trail, damage raises an alert, and a bundle shows a period to a stranger."""

from __future__ import annotations

import pytest

from watchbill.core.clock import HOUR, SECOND
from watchbill.core.errors import NotFoundError
from watchbill.flows import prove
from watchbill.flows.export import export
from watchbill.ledger import verify_bundle
from watchbill.state.trail import queries
from watchbill.state.trail.values import TrailFilter


def filled(place, story) -> None:
    place.receive(*story.lines[:300])
    place.clock.advance(2 * SECOND)
    place.judge()


def test_a_whole_ledger_is_proven(place, story):
    """Before the first verification nothing is claimed; after it stands by whom and up to where."""
    filled(place, story)
    assert prove.newest() is None
    assert prove.verify(place.data, place.clock, by="cli:ana").ok
    newest = prove.newest()
    assert (newest.ok, newest.by, newest.at, newest.upto["0"]) == (True, "cli:ana", place.clock.now(), place.head())
    assert newest.events > 300


def test_one_changed_byte_becomes_a_critical_alert(place, story):
    """Somebody changes one byte of what was received: verification names the place, and the engine alerts on it."""
    filled(place, story)
    (volume,) = sorted((place.data.ledger / "shard-0000" / "events").iterdir())
    content = bytearray(volume.read_bytes())
    content[len(content) // 2] ^= 1
    volume.write_bytes(content)
    report = prove.verify(place.data, place.clock)
    assert not report.ok
    newest = prove.newest()
    assert not newest.ok
    assert newest.place
    assert newest.what
    place.judge()
    damaged = [alert for alert in place.alerts() if alert[0] == "ledger_damaged"]
    assert [(alert[2], alert[5]) for alert in damaged] == [("critical", 1)]


def test_a_bundle_verifies_and_is_on_the_trail(place, story, tmp_path):
    """Who exported what period stands in the trail; the bundle proves its records; an empty period is refused."""
    filled(place, story)
    now, out = place.clock.now(), tmp_path / "evidence.wbx"
    made = export(place.data, out, now - HOUR, now + HOUR, place.clock, by="auditor@example.com")
    assert sum(shard["events"] for shard in made["shards"]) >= 300
    report = verify_bundle(out)
    assert report.ok, report.findings
    (entry,) = queries.entries(TrailFilter(action="export.made"))
    assert (entry.actor, entry.object_id) == ("auditor@example.com", "evidence.wbx")
    with pytest.raises(NotFoundError):
        export(place.data, tmp_path / "none.wbx", 0, HOUR, place.clock, by="auditor@example.com")
    assert not (tmp_path / "none.wbx").exists()
