"""The receive process, as a process, for the tests of what it receives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ports import free_port
from watchbill.core.paths import DataDir
from watchbill.ledger import Reader

PROGRAM = """
import signal, sys, threading
from watchbill.core.clock import SystemClock
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.flows.receive import run
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
data = DataDir(sys.argv[1])
run(data, Config.load(data), SystemClock(), stop)
"""


class Receive:
    """An installation and its receive process."""

    def __init__(self, root: Path, *nameless: Path, settings: str = "", **files: Path) -> None:
        self.data = DataDir(root).create()
        self.port = free_port()
        followed = "".join(f'[[collect.files]]\npath = "{path}"\nname = "{name}"\n' for name, path in files.items())
        followed += "".join(f'[[collect.files]]\npath = "{path}"\nname = "shared"\n' for path in nameless)
        syslog = f"[syslog]\ntcp_port = {self.port}\nudp_port = {self.port}\n"
        if settings.startswith("[syslog]\n"):
            syslog, settings = syslog + settings.removeprefix("[syslog]\n"), ""
        self.data.config.write_text(f"{syslog}[collect]\ndiscover = false\n{followed}{settings}")
        self.reader = Reader(self.data.ledger, 0)
        self.process: subprocess.Popen | None = None

    def start(self, ready: str = "syslog-tcp") -> None:
        log = (self.data.logs / "receive.log").open("ab")
        command = [sys.executable, "-c", PROGRAM, str(self.data.root)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONWARNINGS": ""})
        log.close()
        self.until(lambda: self.state(f"receiver:{ready}", pid=self.process.pid) == "listening")

    def end(self, number=signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def status(self) -> dict:
        try:
            return json.loads((self.data.run / "collect-status.json").read_text())
        except FileNotFoundError:
            return {"pid": 0, "sources": [], "ledger": {"trouble": ""}}

    def state(self, name: str, pid: int = 0) -> str:
        status = self.status()
        if pid and status["pid"] != pid:
            return ""
        return next((source["state"] for source in status["sources"] if source["name"] == name), "")

    def stored(self, transport: str) -> list[bytes]:
        records = [record for record in self.reader.read(0, 1_000_000) if record.source]
        wanted = {n for n in {r.source for r in records} if self.reader.source(n).transport == transport}
        return [record.raw for record in records if record.source in wanted]

    def until(self, condition, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            log = (self.data.logs / "receive.log").read_text()
            assert self.process.poll() is None, log
            assert time.monotonic() < deadline, f"in vain: {self.status()}\n{log}"
            time.sleep(0.05)


@pytest.fixture
def receiving(tmp_path):
    """Make an installation with followed files (name=path); its process is ended after the test."""
    made = []

    def make(*nameless: Path, settings: str = "", **files: Path) -> Receive:
        made.append(Receive(tmp_path / "data", *nameless, settings=settings, **files))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture
def rsyslog(tmp_path):
    """Start a real rsyslogd with a configuration that reads the lines of a file; ended after the test."""
    folder = tmp_path / "rsyslog"
    program = shutil.which("rsyslogd", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        why = "rsyslogd is not installed (apt-get install rsyslog)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    running = []

    def start(action: str, lines: Path, settings: str = "") -> subprocess.Popen:
        folder.mkdir(exist_ok=True)
        config = folder / "rsyslog.conf"
        config.write_text(
            f'global(workDirectory="{folder}" maxMessageSize="64k" {settings})\nmodule(load="imfile" mode="polling" pollingInterval="1")\n'
            f'input(type="imfile" file="{lines}" tag="app:" facility="local0" severity="info")\n{action}\n'
        )
        command = [program, "-n", "-f", str(config), "-i", str(folder / "pid")]
        log = (folder / "log").open("ab")
        running.append(subprocess.Popen(command, stdout=log, stderr=log))
        log.close()
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait(60)
