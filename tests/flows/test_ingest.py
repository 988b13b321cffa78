"""Judging, from the ledger to alerts and events at rest, and that nothing which interrupts it changes the result."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from watchbill.core.clock import MINUTE
from watchbill.flows import ingest
from watchbill.flows.judge import Judge
from watchbill.flows.judge_process import JudgeGoneError, JudgeProcess
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
import sys, time
from watchbill.flows import replay
replay._COMMIT_BYTES = 4_000
sys.argv[0] = "watchbill"
if "replay" in sys.argv:
    from watchbill.core.paths import DataDir
    from watchbill.state import setup
    setup(DataDir(sys.argv[-1]))
    from watchbill.flows import ingest, lake_writer
    ingest.BATCH = 60
    lake_writer.ROWS = 200
    step = ingest.Ingest.step
    # So slow that whoever looks whether it has come far enough finds it still at work, also on a busy machine.
    ingest.Ingest.step = lambda engine: time.sleep(0.03) or step(engine)
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


class Judges:
    """Starts judges in processes of their own, and kills the present one when it is told to."""

    def __init__(self, data) -> None:
        self.data, self.started = data, 0

    def start(self) -> JudgeProcess:
        self.started += 1
        self.judge = JudgeProcess(self.data)
        return self.judge

    def kill(self) -> None:
        os.kill(int((self.data.run / "judge.pid").read_text()), signal.SIGKILL)


def test_a_judge_that_is_killed_is_followed_by_another(undisturbed, new_place, story, monkeypatch):
    """kill -9 of the judge's process at any moment, four times: the same alerts, and every event is at rest once."""
    monkeypatch.setattr(ingest, "BATCH", 60)
    wanted = expected(undisturbed, new_place, story)
    place, chance = new_place(), random.Random(3)
    judges = Judges(place.data)
    place.receive(*story.lines)
    with closing(place.ingest(judges.start)) as engine:
        due = sorted(chance.sample(range(1, 20), 4))
        for step in count():
            if not engine.step():
                break
            if step in due:
                time.sleep(chance.random() / 20)
                judges.kill()
        engine.flush()
    assert judges.started == 5
    assert place.alerts() == wanted
    assert [position for shard, position, _ in place.searched() if shard == 0] == list(range(1, len(story.lines) + 1))


def test_a_judge_killed_before_it_wrote_the_lake_costs_no_event(new_place, story):
    """What was judged and not yet at rest is read from the ledger again by the next judge."""
    place = new_place()
    judges = Judges(place.data)
    place.receive(*story.lines)
    with closing(place.ingest(judges.start)) as engine:
        while engine.step():
            pass
        judges.kill()
        engine.flush()
    assert [position for shard, position, _ in place.searched() if shard == 0] == list(range(1, len(story.lines) + 1))


def test_a_judge_that_never_lives_ends_the_engine(place):
    """Starting it again and again would hide that it cannot work."""
    place.receive("<38>Mar  5 11:00:00 db-01 sshd[1]: Server listening on 0.0.0.0 port 22.")
    judges = Judges(place.data)

    def stillborn() -> JudgeProcess:
        judge = judges.start()
        judges.kill()
        return judge

    with closing(place.ingest(stillborn)) as engine, pytest.raises(JudgeGoneError, match="is gone"):
        engine.step()
    assert 3 <= judges.started < 10


def test_no_judge_outlives_its_engine(place):
    """When the engine is killed, its judge ends too, and lets go of the lock."""
    code = (
        "import os, sys\n"
        "from watchbill.core.paths import DataDir\n"
        "from watchbill.flows.judge_process import JudgeProcess\n"
        "judge = JudgeProcess(DataDir(sys.argv[1]))\n"
        "judge.load()()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(place.data.root)], check=False)
    judge = Path("/proc", (place.data.run / "judge.pid").read_text())
    deadline = time.monotonic() + 60
    while judge.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not judge.exists()


def test_what_a_process_hands_over_is_what_one_process_has(place, story, catalog, rules):
    """A judgement that went through a pipe equals the one that did not."""
    odd = '{"a": 18446744073709551615, "b": [1, {"c": null}], "d": "\u00e9", "e": 1.5}'
    place.receive(*story.lines[:300], odd, b"\xff\x00", source="mixed")
    judge = Judge(place.data, catalog.parsers, rules, place.clock)
    here = judge.judge(0, 0, place.head())
    with closing(JudgeProcess(place.data)) as other:
        other.ask(0, 0, place.head())
        there = other.answer()
    assert here.events
    assert there == here


RULE = """
title: Rotation ran
id: 6a2b6f2e-0a5e-4a53-9c55-1c63fd6f5f10
name: rotation_ran
logsource: {product: linux, service: cron}
detection:
  job: {command|contains: rotate}
  condition: job
level: low
"""


@pytest.mark.parametrize("apart", [False, True], ids=["one process", "two processes"])
def test_rules_are_taken_up_while_it_runs_and_windows_stay_open(place, apart, monkeypatch):
    """A rule that is added judges from then on; what other rules were counting they go on counting."""
    monkeypatch.setattr(ingest, "_RULES_SECONDS", 0.0)
    start = (lambda: JudgeProcess(place.data)) if apart else None
    (place.data.root / "rules").mkdir()
    failed = "<38>1 2026-03-05T11:59:{0}Z db-01 sshd {0} - - Failed password for root from 192.0.2.7 port 4{0} ssh2"
    cron = "<38>1 2026-03-05T11:59:{0}Z db-01 CRON {0} - - (root) CMD (/usr/local/bin/rotate)"
    with closing(ingest.open_ingest(place.data, place.config, place.clock, start)) as engine:
        place.receive(*(failed.format(n) for n in range(10, 13)), cron.format(13))
        engine.drain()
        assert place.alerts() == []
        (place.data.root / "rules" / "rotation_ran.yml").write_text(RULE)
        engine.step()
        engine.step()
        place.receive(*(failed.format(n) for n in range(20, 22)), cron.format(23))
        engine.drain()
    assert [(alert[0], alert[5]) for alert in place.alerts()] == [("failed_logins_by_address", 5), ("rotation_ran", 1)]


ABSENCE = """
name: rotation_begins
title: Rotation begins
id: 6a2b6f2e-0a5e-4a53-9c55-1c63fd6f5f11
logsource: {product: linux, service: cron}
detection:
  job: {command|contains: rotate}
  condition: job
level: low
---
name: rotation_ends
title: Rotation ends
id: 6a2b6f2e-0a5e-4a53-9c55-1c63fd6f5f12
logsource: {product: linux, service: cron}
detection:
  job: {command|contains: done}
  condition: job
level: low
---
title: Rotation did not end
id: 6a2b6f2e-0a5e-4a53-9c55-1c63fd6f5f13
name: rotation_stuck
correlation:
  type: temporal_ordered
  rules: [rotation_begins, rotation_ends]
  group-by: [device.hostname]
  timespan: 10m
level: high
watchbill: {absence: rotation_ends}
"""


def test_what_does_not_come_is_noticed_without_further_events(place):
    """An absence is an alert when its time is over, once, whichever engine is there then."""
    (place.data.root / "rules").mkdir()
    (place.data.root / "rules" / "rotation_stuck.yml").write_text(ABSENCE)
    place.receive("<38>1 2026-03-05T12:00:00Z db-01 CRON 7 - - (root) CMD (/usr/local/bin/rotate)")
    for minutes, alerts in ((0, 0), (9, 0), (20, 1), (30, 1)):
        place.clock.at += minutes * MINUTE
        with closing(ingest.open_ingest(place.data, place.config, place.clock)) as engine:
            engine.drain()
        assert [alert[0] for alert in place.alerts()] == ["rotation_stuck"] * alerts
