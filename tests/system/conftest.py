"""A real installation, started as a user starts it, on free ports of loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest


def free_port() -> int:
    """A TCP port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Installation:
    """``watchbill up`` in a folder, its ports, and the command line beside it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.console, self.syslog = free_port(), free_port()
        self.environment = {
            **os.environ,
            "WATCHBILL_COLLECT_DISCOVER": "no",
            "WATCHBILL_CONSOLE_PORT": str(self.console),
            "WATCHBILL_SYSLOG_TCP_PORT": str(self.syslog),
            "WATCHBILL_SYSLOG_UDP_PORT": str(self.syslog),
            **settings,
        }
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.console}"

    def start(self) -> Installation:
        self.output = (self.folder.parent / f"{self.folder.name}.out").open("a+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "watchbill", "up", "--data", str(self.folder), "--quiet"],
            env=self.environment, stdout=self.output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.wait_for(lambda: "Console:" in self.said(), "the console to start")
        self.wait_for(lambda: self._listens(self.syslog), "the listener to start")
        return self

    def said(self) -> str:
        """What ``watchbill up`` printed."""
        return Path(self.output.name).read_text()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def pid(self, name: str) -> int:
        return int((self.folder / "run" / f"{name}.pid").read_text())

    def kill(self, name: str) -> None:
        """kill -9 one of the processes, which this fixture's own supervisor started."""
        os.kill(self.pid(name), signal.SIGKILL)

    def send(self, *lines: str) -> None:
        """Send syslog lines by TCP."""
        with socket.create_connection(("127.0.0.1", self.syslog), 10) as connection:
            connection.sendall("".join(f"{line}\n" for line in lines).encode())

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the command line on this installation; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "watchbill", *arguments, "--data", str(self.folder)],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def run_plain(self, *arguments: str) -> str:
        """Run a command that needs no installation, as on another machine."""
        command = [sys.executable, "-m", "watchbill", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd="/").stdout

    def rows(self, *arguments: str) -> list[dict]:
        return [json.loads(line) for line in self.run(*arguments, "--json").splitlines()]

    def wait_for(self, met, what: str, seconds: float = 60):
        """Wait until ``met()`` is true; returns what it returned."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := met():
                return found
            assert self.process is None or self.process.poll() is None, f"watchbill ended: {self.said()}"
            time.sleep(0.2)
        logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in self.folder.glob("logs/*.log"))
        raise AssertionError(f"waited {seconds} s for {what}; logs: {logs}")

    def _listens(self, port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """One running installation a module."""
    running = Installation(tmp_path_factory.mktemp("installation") / "data")
    running.folder.mkdir()
    try:
        yield running.start()
    finally:
        running.stop()
