"""The guard: damage on disk becomes a critical alert, heads are remembered away from the ledger, a rollback is told."""

from __future__ import annotations

import shutil
import threading
import time

from watchbill.core.clock import SECOND
from watchbill.flows import guard as guard_module
from watchbill.flows import prove
from watchbill.flows.guard import Guard, guarding
from watchbill.state.readers import queries as readers
from watchbill.state.trail import queries
from watchbill.state.trail.values import TrailFilter


def told(action):
    return queries.entries(TrailFilter(action=action, limit=10))


def fill(place, story, low=0, high=50):
    place.receive(*story.lines[low:high])
    place.clock.advance(2 * SECOND)


def flip(place):
    (volume, *_) = sorted((place.data.ledger / "shard-0000" / "events").iterdir())
    content = bytearray(volume.read_bytes())
    content[len(content) // 2] ^= 1
    volume.write_bytes(content)


def test_a_whole_ledger_is_verified_in_the_first_cycle(place, story):
    """It says so once, with how far."""
    fill(place, story)
    guard = Guard(place.data, place.config, place.clock)
    for _ in range(3):
        assert guard.look() == []
    (entry,) = told(prove.VERIFIED)
    assert entry.detail["upto"]["0"] == place.head()
    assert prove.newest().ok


def test_damage_on_disk_is_a_critical_alert_once(place, story):
    """By the next round, with the file's name; the engine raises it by its rule."""
    fill(place, story)
    guard = Guard(place.data, place.config, place.clock)
    guard.look()
    flip(place)
    guard._patrol._shards[0]._last_due = 0.0
    assert guard.look()
    assert guard.look() == []
    (entry,) = told(prove.DAMAGED)
    assert entry.object_id.startswith("ledger/shard-0000/events/")
    assert ".vol" in entry.detail["place"]
    newest = prove.newest()
    assert (newest.ok, newest.place, newest.events) == (False, entry.detail["place"], 0)
    shutil.rmtree(place.data.ledger / "shard-0000")  # the engine is to read shard 1 alone
    place.judge()
    assert [(alert[0], alert[2]) for alert in place.alerts()] == [("ledger_damaged", "critical")]


def test_a_ledger_that_was_put_back_is_told_at_the_next_start(place, story, tmp_path):
    """The state of record knows the newest head; the ledger's own files are all of the older state, and consistent."""
    fill(place, story)
    shutil.copytree(place.data.ledger, tmp_path / "early")
    shutil.copytree(place.data.keys, tmp_path / "keys")
    fill(place, story, 50, 80)
    assert Guard(place.data, place.config, place.clock).look() == []
    assert readers.known_heads()[0].size == 3
    shutil.rmtree(place.data.ledger)
    shutil.copytree(tmp_path / "early", place.data.ledger)
    shutil.copy(tmp_path / "keys" / "tail-0000.key", place.data.keys)
    (place.data.run / "patrol.json").unlink(missing_ok=True)
    found = Guard(place.data, place.config, place.clock).look()
    assert any("had 3 entries and has 2: it was cut back" in one.what for one in found)
    for low in (80, 90, 95):
        fill(place, story, low, low + 5)
    found = Guard(place.data, place.config, place.clock).look()
    assert any("written anew" in one.what for one in found)
    assert readers.known_heads()[0].size == 3  # never forgotten for a head that contradicts it
    shutil.rmtree(place.data.ledger / "shard-0000")
    assert any("cannot be read now" in one.what for one in Guard(place.data, place.config, place.clock).look())


def test_the_thread_looks_until_it_is_told_to_stop(place, story, monkeypatch):
    """And an error in it does not end it."""
    fill(place, story)
    monkeypatch.setattr(guard_module, "_ROUND_SECONDS", 0.01)
    seen = []

    class Odd:
        def __init__(self, *_):
            """Nothing to take."""

        def look(self):
            seen.append(threading.current_thread().name)
            raise ValueError("odd")

    monkeypatch.setattr(guard_module, "Guard", Odd)
    with guarding(place.data, place.config, place.clock):
        deadline = time.monotonic() + 60
        while len(seen) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert set(seen) == {"guard"}
    assert len(seen) >= 3
