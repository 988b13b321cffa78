"""No silent miss: what was judged is counted, and a difference from what the ledger holds is a critical alert."""

from __future__ import annotations

import json

import pytest
from click.testing import Result

from watchbill.core.clock import HOUR, SECOND
from watchbill.flows import ingest, rule_stats
from watchbill.flows.reconcile import Reconciler
from watchbill.ledger import Writer
from watchbill.state.coverage import queries as coverage
from watchbill.state.coverage.models import JudgedKind, JudgedSource
from watchbill.state.readers.models import Position

FAILED = "<38>1 2026-03-05T11:59:5{0}Z db-01 sshd {1} - - Failed password for root from 192.0.2.{0} port 4{1} ssh2"
CRON = "<38>1 2026-03-05T11:59:50Z db-01 CRON {0} - - (root) CMD (/usr/local/bin/rotate)"


def lines(number: int) -> list[str]:
    """Ten records: four failed sign-ins, five of cron, one that is no log line."""
    return [
        *(FAILED.format(n, 700 + n) for n in range(4)),
        *(CRON.format(n) for n in range(5)),
        f'{{"number": {number}',
    ]


def reconcile(place) -> int:
    return Reconciler(place.data, place.clock).reconcile()


def miscounts(place) -> list[tuple[str, str]]:
    """Forward, judge, and give severity and host of the alerts about counting."""
    place.judge()
    return [(alert[2], alert[5]) for alert in place.alerts() if alert[0] == "engine_miscount"]


def test_what_was_judged_agrees_with_the_ledger(new_place, story, monkeypatch):
    """Judged, quarantined and skipped records are all that the ledger holds, however they fell into batches."""
    monkeypatch.setattr(ingest, "BATCH", 97)
    place = new_place()
    for part in range(3):
        place.receive(*story.lines[part * 400 : part * 400 + 400], source=f"story {part}")
        place.receive(*lines(part), source="mixed")
        place.judge()
        assert reconcile(place) == 0
    (counts,) = [one for one in coverage.all_counts() if one.shard == 0]
    assert counts.events + counts.skipped == place.head() == counts.position
    assert (counts.quarantined, counts.skipped) == (3, 4)


def test_it_agrees_while_records_are_not_sealed_yet(place):
    """What no manifest speaks of yet is counted from the records."""
    with Writer.open(place.data.ledger, shard=0, keys=place.data.keys, clock=place.clock) as writer:
        number = writer.source("open", "replay")
        writer.append(number, [line.encode() for line in lines(1)], place.clock.now())
        writer.commit()
        place.ingest().drain()
        assert reconcile(place) == 0
        (counts,) = coverage.all_counts()
        assert (counts.sealed, counts.position, counts.events) == (0, 11, 10)


def test_counting_begins_where_the_engine_stands(place):
    """An installation that was judged before there were counts agrees from there on, in the middle of a segment, too."""
    place.receive(*lines(0), *lines(1))
    Position.objects.create(name="detect", shard=0, position=7)
    place.judge()
    place.receive(*lines(2))
    place.judge()
    assert reconcile(place) == 0
    counts = coverage.all_counts()[0]
    assert (counts.since, counts.events) == (7, 31 - 7)


@pytest.mark.parametrize("how", ["position forward", "position beyond the end", "a count", "the rules' counts"])
def test_a_difference_is_a_critical_alert_once(place, how):
    """Somebody who lets records go by the rules, or bends the counts, is told of; and once."""
    place.receive(*lines(0))
    place.judge()
    place.receive(*lines(1))
    match how:
        case "position forward":
            Position.objects.filter(shard=0).update(position=place.head() - 4)
        case "position beyond the end":
            Position.objects.filter(shard=0).update(position=place.head() + 4)
        case "a count":
            JudgedSource.objects.filter(shard=0, source=1).update(events=9)
        case "the rules' counts":
            JudgedKind.objects.filter(class_uid=3002).update(events=1)
    assert miscounts(place) == []
    assert reconcile(place) == 1
    assert reconcile(place) == 0
    assert miscounts(place) == [("critical", 1)]
    place.receive(*lines(2))
    place.judge()
    # A position beyond the end lets what comes next go by, too: that is news.
    assert reconcile(place) == (how == "position beyond the end")
    assert len(miscounts(place)) == 1


def test_records_that_the_engine_overlooks_are_told_with_their_source(place, monkeypatch):
    """An error in the engine itself shows, too: here its reader leaves out a record."""
    from watchbill.flows import judge
    from watchbill.state.trail import queries as trail
    from watchbill.state.trail.values import TrailFilter

    class Careless(judge.Reader):
        def read(self, start: int, limit: int, most_bytes: int = 1 << 62):
            return [record for record in super().read(start, limit, most_bytes) if record.position != 5]

    monkeypatch.setattr(judge, "Reader", Careless)
    place.receive(*lines(0), source="web-01/auth.log")
    place.judge()
    assert reconcile(place) == 1
    (entry,) = trail.entries(TrailFilter(action="engine.miscount", limit=5))
    assert entry.detail["missed"] == 1
    assert entry.detail["sources"] == ["web-01/auth.log: +1"]


def test_each_rule_says_how_many_events_it_was_held_against(place, rules):
    """Counts by kind of event give it for every rule: its own kinds, and a correlation those of the rules it counts."""
    place.receive(*lines(0), source="mixed")
    place.judge()
    now = place.clock.now()
    found = rule_stats.statistics(rules, now - HOUR, now + SECOND)
    # A rule of class 3002 sees the four sign-ins, as does the correlation that counts it.
    assert found["failed_logins_by_address"].evaluated == 4
    assert found["scheduled_job_changed"].of == 11  # the eleventh is Watchbill's own, of its preparation
    version = found["failed_logins_by_address"].versions
    assert [(one.evaluated, one.since) for one in version] == [(4, now)]
    later = rule_stats.statistics(rules, now + 2 * HOUR, now + 3 * HOUR)
    assert later["failed_logins_by_address"].evaluated == 0


def test_the_command_line_says_it_and_ends_with_one_when_something_was_missed(place):
    """``watchbill rules stats``: what each rule was held against, and whether that is all that the ledger holds."""
    from click.testing import CliRunner

    from watchbill.cli.rules import rules

    def stats(*options: str) -> Result:
        arguments = ["stats", "failed_logins_by_address", "--range", "all", *options, "--data", str(place.data.root)]
        return CliRunner().invoke(rules, arguments)

    place.receive(*lines(0), source="mixed")
    place.judge()
    reconcile(place)
    done = stats()
    assert (done.exit_code, "10 events judged, 1 of them in quarantine: all that" in done.output) == (0, True)
    (found,) = map(json.loads, stats("--json").output.splitlines())
    assert (found["rule"], found["evaluated"], found["of"]) == ("failed_logins_by_address", 4, 11)
    JudgedSource.objects.filter(shard=0, source=1).update(events=9)
    reconcile(place)
    assert stats().exit_code == 1
