"""Recorded logs through the door of a running server, and without one."""

from __future__ import annotations

import gzip
import io
import os
import signal
import subprocess
import sys
import time

import pytest

from watchbill.core.clock import SystemClock
from watchbill.core.errors import NotFoundError
from watchbill.core.paths import DataDir
from watchbill.flows.replay import replay
from watchbill.ledger import Reader

PROGRAM = """
import signal, sys, threading
from watchbill.core.clock import SystemClock
from watchbill.core.config import CollectConfig, Config, SyslogConfig
from watchbill.core.paths import DataDir
from watchbill.flows.receive import run
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
config = Config(syslog=SyslogConfig(tcp_port=0, udp_port=0), collect=CollectConfig(discover=False))
run(DataDir(sys.argv[1]), config, SystemClock(), stop)
"""


@pytest.fixture
def data(tmp_path):
    return DataDir(tmp_path / "data").create()


@pytest.fixture
def server(data):
    """A receive process on the data folder."""
    with (data.logs / "receive.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(data.root)], stdout=log, stderr=log)
    while not (data.run / "door.sock").exists():
        assert process.poll() is None, (data.logs / "receive.log").read_text()
        time.sleep(0.05)
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(100) == 0


def contents(data):
    """Name, facts and records of each source in the ledger."""
    reader = Reader(data.ledger, 0)
    found = {}
    for record in reader.read(0, 1_000_000):
        if record.source:
            facts = reader.source(record.source)
            assert facts.transport == "replay"
            found.setdefault((facts.name, facts.facts.get("format", "")), []).append(record.raw)
    return found


@pytest.fixture
def logs(tmp_path):
    """A folder with a plain log, a compressed one and a delivery file."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_bytes(b"".join(b"line %d\n" % number for number in range(10_000)))
    (folder / "b.log.gz").write_bytes(gzip.compress(b"packed\n"))
    (folder / "c.json").write_bytes(b'{"Records":[{"eventName":"A"},{"eventName":"B"}]}')
    return folder


EXPECTED = {
    ("a.log", ""): [b"line %d" % number for number in range(10_000)],
    ("b.log.gz", ""): [b"packed"],
    ("c.json", ""): [b'{"eventName":"A"}', b'{"eventName":"B"}'],
}


def test_without_a_server(data, logs):
    """Straight into the ledger: all of it is durable below the returned head, and progress reaches the end."""
    told = []
    done = replay(data, [str(logs)], SystemClock(), progress=lambda *figures: told.append(figures))
    assert contents(data) == EXPECTED
    assert (done.records, done.problems) == (10_003, ())
    assert Reader(data.ledger, done.shard).head() >= done.head > 10_003
    total = sum(path.stat().st_size for path in logs.iterdir())
    assert told[-1] == (total, total)


def test_through_the_door(data, server, logs):
    """The running server takes the same records; its door is used, not a second writer."""
    done = replay(data, [str(logs)], SystemClock())
    assert contents(data) == EXPECTED
    assert (done.records, done.problems) == (10_003, ())
    assert Reader(data.ledger, done.shard).head() >= done.head > 10_003


def test_name_format_and_standard_input(data):
    """The source's name and parser can be said; "-" is standard input."""
    replay(data, ["-"], SystemClock(), source="web-01", form="nginx", stdin=io.BytesIO(b"one\ntwo"))
    assert contents(data) == {("web-01", "nginx"): [b"one", b"two"]}


def test_twice_is_two_deliveries(data, logs):
    """The ledger keeps what was delivered, each time."""
    for _ in range(2):
        replay(data, [str(logs / "b.log.gz")], SystemClock())
    assert contents(data) == {("b.log.gz", ""): [b"packed", b"packed"]}


def test_one_bad_file_does_not_stop_the_others(data, logs):
    """A damaged archive is a problem in the result; the files after it are taken. A wrong name is told before."""
    (logs / "a.gz").write_bytes(gzip.compress(os.urandom(1_000_000))[:5_000])
    done = replay(data, [str(logs)], SystemClock())
    assert [problem.file for problem in done.problems] == [str(logs / "a.gz")]
    assert EXPECTED.items() <= contents(data).items()
    with pytest.raises(NotFoundError):
        replay(data, [str(logs / "a.log"), str(logs / "none")], SystemClock())


def test_speed_follows_the_records_own_times(data, tmp_path):
    """Two minutes at 100 times their speed take a bit more than a second."""
    log = tmp_path / "paced.log"
    log.write_text("".join(f"Mar  4 10:0{minute}:00 web-01 app: x\n" for minute in range(3)))
    took = []
    while not took or (took[-1] >= 5 and len(took) < 5):  # a busy machine can be slower, never faster
        began = time.monotonic()
        replay(data, [str(log)], SystemClock(), speed=100)
        took.append(time.monotonic() - began)
    assert 1.1 < min(took) < 5


def test_a_long_record_is_cut_and_that_is_said(data, server, tmp_path):
    """Beyond the limit the first part is kept, and an internal event tells the whole's length and digest."""
    (tmp_path / "long.log").write_bytes(b"x" * 3_000_000 + b"\n")
    replay(data, [str(tmp_path / "long.log")], SystemClock())
    reader = Reader(data.ledger, 0)
    records = [record for record in reader.read(0, 10) if record.source]
    assert len(records[0].raw) == 1 << 20
    assert b'"length":3000000' in records[1].raw
    assert reader.source(records[1].source).transport == "internal"
