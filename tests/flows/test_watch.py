"""The worker's own tasks: restarts are told once, storage once a day, and every task can be done."""

from __future__ import annotations

import json

from watchbill.core.clock import DAY, SECOND
from watchbill.flows import watch
from watchbill.flows.forward import Forwarder
from watchbill.state.trail import queries
from watchbill.state.trail.values import TrailFilter


def told(action: str):
    return queries.entries(TrailFilter(action=action))


def test_restarts_are_told_once(place):
    """What the supervisor noted, a line that it could not finish beside it, is on the trail; then the note is gone."""
    notes = place.data.run / "restarts.jsonl"
    notes.write_text(f'{{"process": "engine", "code": -9, "at": {7 * SECOND}}}\n{{"process": "we')
    watch.note_restarts(place.data)
    watch.note_restarts(place.data)
    (entry,) = told("process.restarted")
    assert (entry.object_id, entry.detail, entry.at) == ("engine", {"code": -9}, 7 * SECOND)
    assert not notes.exists()
    notes.write_text(f'{{"process": "web", "code": 1, "at": {9 * SECOND}}}\n')
    watch.note_restarts(place.data)
    assert [entry.object_id for entry in told("process.restarted")] == ["web", "engine"]


def test_a_nearly_full_disk_is_told_once_a_day_and_alerts(place, monkeypatch):
    """Below the bound nothing is said; above it once a day, and the rule makes one alert of it."""
    monkeypatch.setattr(watch, "NEARLY_FULL", 1.01)
    watch.watch_storage(place.data, place.clock)
    assert not told("storage.near_full")
    monkeypatch.setattr(watch, "NEARLY_FULL", 0.0)
    for _ in range(3):
        watch.watch_storage(place.data, place.clock)
    assert len(told("storage.near_full")) == 1
    place.clock.advance(DAY + SECOND)
    watch.watch_storage(place.data, place.clock)
    assert len(told("storage.near_full")) == 2
    place.judge()
    assert [(alert[0], alert[5]) for alert in place.alerts()] == [("storage_near_full", 2)]


def test_every_task_can_be_done(place):
    """On an installation that has received something, each task of the worker runs through."""
    place.receive("<38>Mar  5 11:59:00 web-01 app: hello", transport="syslog-tcp")
    place.judge()
    with Forwarder(place.data, place.clock) as forwarder:
        for task in watch.tasks(place.data, place.config, place.clock, forwarder.forward):
            task.do()
    watch.end_all()
    assert told("check.result") or told("control.")


def test_an_unreadable_file_is_told_and_forgiven(place):
    """A source that cannot be read any more shows why, once on the trail, until it can; an unknown file is told of too."""
    from watchbill.flows.source_health import watch_receivers
    from watchbill.state.assets import actions
    from watchbill.state.assets import queries as assets
    from watchbill.state.assets.values import SourceBatch, SourceState

    now = place.clock.now()
    actions.observe([SourceBatch(0, 7, "auth.log", "file", now, now, events=1)], [], now)

    def status(state: str, reason: str) -> None:
        known = {"name": "auth.log", "transport": "file", "state": state, "reason": reason, "last_error": ""}
        unknown = {**known, "name": "other.log", "state": "unreadable", "reason": "no permission"}
        text = json.dumps({"sources": [known, unknown], "ledger": {"trouble": ""}})
        (place.data.run / "collect-status.json").write_text(text)
        watch_receivers(place.data, place.clock.now())

    for _ in range(2):
        status("unreadable", "no permission to read it")
    (source,) = assets.sources(now=now)
    assert (source.state, source.reasons) == (SourceState.UNREADABLE, ("no permission to read it",))
    assert sorted(entry.object_id for entry in told("source.unreadable")) == ["0-7", "other.log"]
    status("following", "")
    assert assets.sources(now=now)[0].state is SourceState.ALIVE
    assert [entry.object_id for entry in told("source.readable")] == ["0-7"]
