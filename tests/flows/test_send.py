"""``watchbill send`` against a real receive process: exactly once, whatever ends when; a rollback is noticed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

import httpx
import orjson
import pytest

from ports import free_port
from watchbill.core.clock import SystemClock
from watchbill.core.errors import ConfigError, WatchbillError
from watchbill.engine.collect.certificates import Authority
from watchbill.engine.collect.push import PushToken, digest_of, write_tokens
from watchbill.flows.send import Sender, State
from watchbill.ledger.consistency import RollbackError


@pytest.fixture
def receiver(receiving):
    """A receive process that takes pushes, and a client for it."""
    port = free_port()
    here = receiving(settings=f"[push]\nport = {port}\n")
    write_tokens(here.data.receivers / "tokens.json", [PushToken(1, "app", digest_of("wbp_x"))])
    here.start(ready="push")
    headers = {"Authorization": "Bearer wbp_x"}
    here.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=60)
    here.url = f"http://127.0.0.1:{port}"
    yield here
    here.client.close()


def lines(first, last):
    return b"".join(b"line %d\n" % number for number in range(first, last + 1))


def records(first, last):
    return [b"line %d" % number for number in range(first, last + 1)]


def test_it_goes_on_where_it_stopped(receiver, tmp_path):
    """Growth, a rename, empty lines, a line without end, a state that lags: every record once, in order."""
    log, memory = tmp_path / "app.log", tmp_path / "state.json"
    log.write_bytes(lines(1, 500) + b"\n\r\n")
    assert Sender(receiver.client, "s", State(memory)).send(log) == 500
    older = memory.read_bytes()
    with log.open("ab") as handle:
        handle.write(lines(501, 600))
    log.rename(tmp_path / "app.log.1")
    log.write_bytes(lines(601, 699) + b"line 700")
    assert Sender(receiver.client, "s", State(memory)).send(log) == 200
    memory.write_bytes(older)
    with log.open("ab") as handle:
        handle.write(b"\n" + lines(701, 710))
    assert Sender(receiver.client, "s", State(memory)).send(log) == 10
    assert receiver.stored("send") == records(1, 710)
    assert orjson.loads(memory.read_bytes())["next"] == 711


def test_a_receiver_that_dies_and_a_sender_that_waits(receiver, tmp_path):
    """The program follows a file while the receiver is killed twice: each line is there once."""
    log, token = tmp_path / "app.log", tmp_path / "token"
    log.touch()
    token.write_text("wbp_x\n")
    command = [sys.executable, "-m", "watchbill", "send", str(log), "--to", receiver.url, "--token-file", str(token),
               "--stream", "s", "--state", str(tmp_path / "state.json"), "--follow"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "NO_PROXY": "127.0.0.1"})
    try:
        for life in range(3):
            with log.open("ab") as handle:
                handle.write(lines(life * 2_000 + 1, life * 2_000 + 1_000))
            receiver.until(lambda life=life: len(receiver.stored("send")) > life * 2_000)
            if life < 2:
                receiver.end(signal.SIGKILL)
            with log.open("ab") as handle:
                handle.write(lines(life * 2_000 + 1_001, life * 2_000 + 2_000))
            if life < 2:
                receiver.start(ready="push")
        receiver.until(lambda: len(receiver.stored("send")) >= 6_000)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=100)
    finally:
        process.kill()
    assert process.returncode == 0, told
    assert b"6,000 in all" in told
    assert receiver.stored("send") == records(1, 6_000)


def test_a_ledger_that_went_back_is_noticed(receiver, tmp_path):
    """The receiver's ledger is replaced by an older copy of itself: the sender says so and keeps its evidence."""
    log, memory = tmp_path / "app.log", tmp_path / "state.json"
    log.write_bytes(lines(1, 10))
    Sender(receiver.client, "s", State(memory)).send(log)
    receiver.end()
    copy = tmp_path / "copy"
    shutil.copytree(receiver.data.root, copy)
    receiver.start(ready="push")
    with log.open("ab") as handle:
        handle.write(lines(11, 20))
    Sender(receiver.client, "s", State(memory)).send(log)
    receiver.end()
    kept = memory.read_bytes()
    shutil.rmtree(receiver.data.root)
    shutil.copytree(copy, receiver.data.root)
    receiver.start(ready="push")
    with pytest.raises(RollbackError):
        Sender(receiver.client, "s", State(memory)).send(log)
    assert memory.read_bytes() == kept


def test_what_cannot_go_on_says_so(receiver, tmp_path):
    """A foreign stream, a token that is none, a damaged state, a stop while nobody answers."""
    log, memory = tmp_path / "app.log", tmp_path / "state.json"
    log.write_bytes(lines(1, 3))
    Sender(receiver.client, "s", State(memory)).send(log)
    with pytest.raises(ConfigError, match="knows nothing of"):
        Sender(receiver.client, "s", State(tmp_path / "other.json")).send(log)
    stranger = httpx.Client(base_url=receiver.url, headers={"Authorization": "Bearer no"}, trust_env=False, timeout=60)
    with stranger, pytest.raises(WatchbillError, match="receivers token add"):
        Sender(stranger, "t", State(tmp_path / "t.json")).send(log)
    memory.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        State(memory)
    receiver.end()
    stop = threading.Event()
    threading.Timer(0.7, stop.set).start()
    with pytest.raises(WatchbillError, match="start again"):
        Sender(receiver.client, "u", State(tmp_path / "u.json"), stop=stop.is_set).send(log)


def test_a_receiver_that_is_not_trusted(receiving, tmp_path):
    """A certificate of an unknown authority ends it at once, with the mend; nothing was sent."""
    now = SystemClock().now()
    authority = Authority(tmp_path / "data" / "keys" / "receivers")
    authority.create(now)
    authority.server(["localhost"], now)
    port = free_port()
    here = receiving(settings=f"[push]\nport = {port}\ntls = true\n")
    here.start(ready="push")
    log = tmp_path / "app.log"
    log.write_bytes(lines(1, 3))
    client = httpx.Client(base_url=f"https://localhost:{port}", trust_env=False, timeout=60)
    with client, pytest.raises(WatchbillError, match="--ca"):
        Sender(client, "s", State(tmp_path / "s.json")).send(log)
    assert not here.stored("send")
