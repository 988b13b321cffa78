"""A real installation, started as a user starts it, on free ports of loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO

import pytest

from ports import free_port


class Installation:
    """``watchbill up`` in a folder, its ports, the API, and the command line beside it."""

    def __init__(self, folder: Path, configuration: str = "", **settings: str) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        if configuration:
            (folder / "watchbill.toml").write_text(configuration)
        self.console, self.syslog = free_port(), free_port()
        self.environment = {
            **os.environ,
            "WATCHBILL_COLLECT_DISCOVER": "no",
            "WATCHBILL_CONSOLE_PORT": str(self.console),
            "WATCHBILL_SYSLOG_TCP_PORT": str(self.syslog),
            "WATCHBILL_SYSLOG_UDP_PORT": str(self.syslog),
            **settings,
        }
        self.environment.pop("WATCHBILL_DATA", None)
        self.process: subprocess.Popen[str] | None = None
        self.output: IO[str] | None = None
        self._token = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.console}"

    def start(self) -> Installation:
        self.output = (self.folder.parent / f"{self.folder.name}.out").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "watchbill", "up", "--data", str(self.folder), "--quiet"],
            env=self.environment, stdout=self.output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.wait_for(lambda: "Stop: Ctrl-C" in self.said(), "all that it says at the start")
        self.wait_for(self.listens, "the listener to start")
        return self

    def said(self) -> str:
        """What ``watchbill up`` printed."""
        return Path(self.output.name).read_text()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(100)
        if self.output:
            self.output.close()

    def pid(self, name: str) -> int:
        return int((self.folder / "run" / f"{name}.pid").read_text() or 0)

    def kill(self, name: str) -> None:
        """kill -9 one of the processes, which this fixture's own supervisor started; returns when it is back."""
        before = self.pid(name)
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda: self.pid(name) not in {0, before}, f"{name} to come back")
        self.wait_for(self.listens, "the listener")

    def send(self, *lines: str | bytes) -> None:
        """Send syslog by TCP, a line each."""
        self.send_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))

    def send_bytes(self, content: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.syslog), 10) as connection:
            connection.sendall(content)

    def send_udp(self, *lines: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for line in lines:
                sender.sendto(line.encode(), ("127.0.0.1", self.syslog))

    def api(self, path: str, body: object = None, **query: str) -> dict:
        """Ask the API as an administrator; with a body, POST."""
        if not self._token:
            self.run(
                "users",
                "add",
                "admin@example.com",
                "--role",
                "administrator",
                "--password",
                "a watch is stood by people",
            )
            self._token = self.run("users", "tokens", "issue", "admin@example.com", "--name", "test").split()[-1]
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or b"{}")

    def items(self, path: str, **query: str) -> list[dict]:
        """A list of the API; [] while the web process is away, also when it goes within its answer."""
        try:
            found = self.api(path, **query)
        except (OSError, HTTPException):
            return []
        return found["items"] if isinstance(found, dict) else found

    def alerts(self, host: str = "") -> list[dict]:
        return self.items("alerts", limit="200", **({"host": host} if host else {}))

    def events(self, query: str) -> list[dict]:
        return self.items("events", q=query, range="all", limit="500")

    def head(self) -> int:
        """How many records of shard 0 are durable."""
        from watchbill.ledger import Reader

        return Reader(self.folder / "ledger", 0).head()

    def stored(self, words: bytes) -> int:
        """How many durable records of shard 0 have these words."""
        from watchbill.ledger import Reader

        with contextlib.closing(Reader(self.folder / "ledger", 0)) as reader:
            return sum(words in record.raw for record in reader.read(0, 1 << 40))

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the command line on this installation; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "watchbill", *arguments, "--data", str(self.folder)],
            env=self.environment, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def rows(self, *arguments: str) -> list[dict]:
        return [json.loads(line) for line in self.run(*arguments, "--json").splitlines()]

    def wait_for(self, met, what: str, seconds: float = 100):
        """Wait until ``met()`` is true; returns what it returned."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := met():
                return found
            assert self.process is None or self.process.poll() is None, f"watchbill ended: {self.said()}"
            time.sleep(0.1)
        logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in self.folder.glob("logs/*.log"))
        raise AssertionError(f"waited {seconds} s for {what}; logs: {logs}")

    def listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.syslog), 1).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="session")
def new_installation():
    """The class, for tests that start their own."""
    return Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    """One running installation a module."""
    running = Installation(tmp_path_factory.mktemp("installation") / "data")
    try:
        yield running.start()
    finally:
        running.stop()
