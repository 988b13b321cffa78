"""Judging, from the ledger to alerts and events at rest, and that nothing which interrupts it changes the result."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from watchbill.flows import ingest
from watchbill.ledger import Reader


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, list[tuple]]:
    """The alerts of the story, judged in one go; filled by the first test that needs them."""
    return {}


def expected(undisturbed, new_place, story) -> list[tuple]:
    if not undisturbed:
        place = new_place()
        place.receive(*story.lines)
        place.judge()
        undisturbed["alerts"] = place.alerts()
        assert {alert[0] for alert in undisturbed["alerts"]} >= {
            "login_success_after_failures", "administrator_added", "logging_stopped",
        }  # fmt: skip
    return undisturbed["alerts"]


@pytest.mark.parametrize("size", [1, 31])
def test_batch_size_does_not_matter(undisturbed, new_place, story, monkeypatch, size):
    """However the records fall into batches, the same alerts come of them."""
    wanted = expected(undisturbed, new_place, story)
    lines = story.lines
    place = new_place()
    monkeypatch.setattr(ingest, "BATCH", size)
    if size == 1:  # a transaction a record is slow: the last part of the story has every kind of alert's end in it
        place.receive(*lines[:-60])
        monkeypatch.setattr(ingest, "BATCH", 500)
        place.judge()
        monkeypatch.setattr(ingest, "BATCH", 1)
        lines = lines[-60:]
    place.receive(*lines)
    place.judge()
    assert place.alerts() == wanted


def test_postgresql_holds_the_same(undisturbed, new_place, postgresql_place, story, monkeypatch):
    """On PostgreSQL the same alerts come about, also when every batch has a new engine."""
    monkeypatch.setattr(ingest, "BATCH", 500)
    postgresql_place.receive(*story.lines)
    while postgresql_place.ingest().step():
        pass
    found = postgresql_place.alerts()
    assert found == expected(undisturbed, new_place, story)


def test_a_new_engine_at_any_place_goes_on_as_the_old_one(undisturbed, new_place, story, monkeypatch):
    """Every process that ends after a batch is followed by one that knows nothing but what is stored."""
    wanted = expected(undisturbed, new_place, story)
    monkeypatch.setattr(ingest, "BATCH", 150)
    place = new_place()
    place.receive(*story.lines)
    while place.ingest().step():
        pass
    place.judge()
    assert place.alerts() == wanted
    assert [position for shard, position, _ in place.searched() if shard == 0] == list(range(1, len(story.lines) + 1))


#: ``watchbill replay`` with small commits and batches, so that there is something between them.
REPLAY = """
import sys
from watchbill.flows import replay
replay._COMMIT_BYTES = 4_000
sys.argv[0] = "watchbill"
if "replay" in sys.argv:
    from watchbill.core.paths import DataDir
    from watchbill.state import setup
    setup(DataDir(sys.argv[-1]))
    from watchbill.flows import ingest
    ingest.BATCH = 60
    ingest._LAKE_ROWS = 200
from watchbill.cli import main
main()
"""


def replaying(place, file) -> subprocess.Popen:
    command = [
        sys.executable,
        "-c",
        REPLAY,
        "replay",
        "--wait",
        "--as",
        "story",
        str(file),
        "--data",
        str(place.data.root),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def stored(place) -> int:
    return sum(1 for record in Reader(place.data.ledger, 0).read(0, 1 << 30) if record.source)


def test_kill_during_replay_changes_nothing(undisturbed, new_place, story, tmp_path):
    """kill -9 while records are handed in and while they are judged: what is missing is handed in, the alerts are the
    same, and the lake has every event once.
    """
    from watchbill.state.readers import queries as readers

    wanted = expected(undisturbed, new_place, story)
    place, chance, total = new_place(), random.Random(1), len(story.lines)
    lengths: dict[str, int] = {"handed": chance.randrange(200, 700), "judged": chance.randrange(100, total // 2)}
    lengths["judged again"] = chance.randrange(lengths["judged"] + 50, total)
    for what, upto in (*lengths.items(), ("the end", 0)):
        rest = tmp_path / "rest.log"
        rest.write_text("".join(f"{line}\n" for line in story.lines[stored(place) if place.head() else 0 :]))
        with replaying(place, rest) as process:
            while upto and process.poll() is None:
                if (place.head() if what == "handed" else readers.positions("detect").get(0, 0)) >= upto:
                    time.sleep(chance.random() / 50)
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.002)
            said = process.communicate(timeout=100)[0].decode()
        assert process.returncode == (-signal.SIGKILL if upto else 0), (what, said)
    assert place.alerts() == wanted
    assert [position for shard, position, _ in place.searched() if shard == 0] == list(range(1, total + 1))
