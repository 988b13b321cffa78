"""The receive process, as a process, with real senders."""

from __future__ import annotations

import random
import resource
import signal
import socket
import time
from collections import Counter

import pytest

from watchbill.engine.collect import DoorClient


@pytest.mark.parametrize(
    ("action", "transport"),
    [
        ('protocol="tcp" tcp_framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"', "syslog-tcp"),
        ('protocol="tcp" tcp_framing="traditional" template="RSYSLOG_TraditionalForwardFormat"', "syslog-tcp"),
        ('protocol="udp" template="RSYSLOG_ForwardFormat"', "syslog-udp"),
    ],
)
def test_rsyslog_sends_and_all_of_it_is_there(receiving, rsyslog, tmp_path, action, transport):
    """A real rsyslogd, by TCP in both framings and by UDP: every message once, in order."""
    lines = tmp_path / "lines.log"
    lines.write_text("".join(f"message number {number} of the test\n" for number in range(2_000)))
    here = receiving()
    here.start()
    rsyslog(f'action(type="omfwd" target="127.0.0.1" port="{here.port}" {action})', lines)
    messages = []

    def told():
        messages[:] = [raw for raw in here.stored(transport) if b" of the test" in raw]
        return len(messages) >= 2_000

    here.until(told)
    assert [int(raw.split(b"number ")[1].split()[0]) for raw in messages] == list(range(2_000))
    assert all(raw.startswith(b"<134>") for raw in messages)
    assert here.end() == 0


def test_the_end_commits_what_was_taken(receiving, tmp_path):
    """SIGTERM right after the last byte: all of it is stored, positions are saved, nothing is read again."""
    log = tmp_path / "app.log"
    log.write_text("".join(f"line {number}\n" for number in range(1_000)))
    here = receiving(app=log)
    here.start()
    here.until(lambda: here.reader.head() > 1_000)
    with socket.create_connection(("127.0.0.1", here.port)) as sock:
        sock.sendall(b"".join(b"<13>line %d\n" % number for number in range(5_000)))
    assert here.end() == 0
    assert len(here.stored("syslog-tcp")) == 5_000
    here.start()
    with log.open("a") as handle:
        handle.write("line 1000\n")
    here.until(lambda: len(here.stored("file")) > 1_000)
    assert here.stored("file") == [b"line %d" % number for number in range(1_001)]


def test_two_files_of_one_name(receiving, tmp_path):
    """Two files that were given the same name are one source, with every line of both once, also after kill -9."""
    paths = tmp_path / "a.log", tmp_path / "b.log"
    for path in paths:
        path.write_text("the same first line\n" + "".join(f"{path.name} {n}\n" for n in range(50)))
    here = receiving(*paths)
    for lines in (102, 104):
        here.start()
        here.until(lambda lines=lines: len(here.stored("file")) >= lines)
        here.end(signal.SIGKILL)
        for path in paths:
            with path.open("a") as handle:
                handle.write("one more\n")
    here.start()
    here.until(lambda: len(here.stored("file")) >= 106)
    assert here.end() == 0
    assert Counter(here.stored("file")) == Counter(line for p in paths for line in p.read_bytes().splitlines())


@pytest.mark.parametrize("seed", range(2))
def test_kill_loses_nothing_that_was_acknowledged(receiving, tmp_path, seed):
    """kill -9 again and again while files grow and the door is used: files are there exactly once, and whatever
    the door acknowledged is there.
    """
    chance = random.Random(seed)
    logs = {name: tmp_path / f"{name}.log" for name in ("one", "two")}
    here = receiving(**logs)
    written: dict[str, list[bytes]] = {name: [] for name in logs}
    acknowledged: list[bytes] = []
    for life in range(3):
        here.start()
        with DoorClient.connect(here.data.run / "door.sock") as door:
            door.hello("client", "replay")
            for step in range(chance.randrange(2, 8)):
                for name, path in logs.items():
                    lines = [f"{name} {life} {step} {chance.randrange(3)}".encode() for _ in range(100)]
                    written[name] += lines
                    with path.open("ab") as handle:
                        handle.write(b"\n".join(lines) + b"\n")
                with socket.create_connection(("127.0.0.1", here.port)) as sock:
                    sock.sendall(b"<13>noise\n" * 200)
                batch = [b"door %d %d %d" % (life, step, number) for number in range(100)]
                door.send(batch)
                door.flush()
                acknowledged += batch
                time.sleep(chance.random() * 0.3)
            here.end(signal.SIGKILL)
    here.start()
    with logs["one"].open("ab") as handle:
        handle.write(b"the end\n")
    everything = Counter(written["one"] + written["two"] + [b"the end"])
    here.until(lambda: len(here.stored("file")) >= everything.total())
    time.sleep(0.5)
    assert Counter(here.stored("file")) == everything
    assert not Counter(acknowledged) - Counter(here.stored("replay"))
    assert here.end() == 0


def test_a_full_disk_is_waited_for(receiving, tmp_path):
    """Receivers pause, the operator sees why, and once there is room everything that was sent is stored."""
    log = tmp_path / "app.log"
    log.touch()
    here = receiving(app=log)
    here.start()
    pid = here.process.pid
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, hard))
    lines = [f"{number} {random.Random(number).randbytes(400).hex()}".encode() for number in range(6_000)]
    log.write_bytes(b"\n".join(lines) + b"\n")
    here.until(lambda: "too large" in here.status()["ledger"]["trouble"])
    with DoorClient.connect(here.data.run / "door.sock") as door:
        door.hello("client", "replay")
        door.send([b"waits"])
        time.sleep(0.5)
        assert not here.stored("replay")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert door.flush() == 1
    here.until(lambda: len(here.stored("file")) == 6_000 and not here.status()["ledger"]["trouble"])
    assert here.stored("file") == lines
    assert here.stored("replay") == [b"waits"]
    assert here.end() == 0


def test_a_taken_port_stops_nobody_else(receiving, tmp_path):
    """The TCP port belongs to somebody else: it is said, the file is followed, and the port is had once it is free."""
    log = tmp_path / "app.log"
    log.write_text("followed\n")
    here = receiving(app=log)
    with socket.create_server(("127.0.0.1", here.port)):
        here.start(ready="syslog-udp")
        here.until(lambda: here.stored("file") == [b"followed"] and here.state("receiver:syslog-tcp") == "failed")
    here.until(lambda: here.state("receiver:syslog-tcp") == "listening")
    assert here.end() == 0
