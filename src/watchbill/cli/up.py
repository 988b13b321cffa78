"""``watchbill up``: start everything that an installation is, and keep it running.

The supervisor itself imports neither Django nor the engine, so that it stays small; it prepares the installation in
a child, then watches four children and starts again what ends. systemd or a container runtime can do the same with
the four commands ``receive``, ``engine``, ``web`` and ``worker``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO

import click

from watchbill.cli.options import data_option
from watchbill.core.clock import SECOND
from watchbill.core.config import Config, write_default
from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir
from watchbill.flows.listening import listeners

PROCESSES = ("receive", "engine", "web", "worker")
_LOG_LIMIT = 16 * 1024 * 1024
_STOP_SECONDS = 20


@click.command()
@data_option
@click.option("--port", type=int, help="The console's port (default 8850, or as configured).")
@click.option("--quiet", is_flag=True, help="Say only the console's address.")
def up(data: DataDir, port: int | None, *, quiet: bool) -> None:
    """Start everything; prints the console's address.

    Watches this machine's own logs without any configuration. The first start prints a one-time link with which the
    first administrator is created. Stop it with Ctrl-C: what was accepted is kept.
    """
    if port is not None:
        os.environ["WATCHBILL_CONSOLE_PORT"] = str(port)
    supervise(data, quiet=quiet)


def supervise(data: DataDir, *, quiet: bool = False) -> None:
    """Prepare the installation, run its four processes, return when told to stop."""
    data.create()
    write_default(data.config)
    config = Config.load(data)
    with _only_one(data.run / "up.lock"):
        _refuse_taken_port(config)
        subprocess.run(_command("prepare", data), check=True)
        supervisor = _Supervisor(data)
        supervisor.start()
        if not quiet:
            subprocess.run(_command("discover", data), check=False)
        if supervisor.wait_for_console(config):
            _say_where(data, config)
        supervisor.watch()


def _command(name: str, data: DataDir) -> list[str]:
    return [sys.executable, "-m", "watchbill", name, "--data", str(data.root)]


@contextlib.contextmanager
def _only_one(lock: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a generator context
    """One supervisor an installation: the lock goes with the process, however it ends."""
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WatchbillError(
                f"Watchbill already runs on {lock.parent.parent}", mend="stop that one, or name another --data folder"
            ) from None
        yield


def _refuse_taken_port(config: Config) -> None:
    console = config.console
    family = socket.AF_INET6 if ":" in console.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((console.host, console.port))
        except OSError as error:
            raise WatchbillError(
                f"the console cannot have {console.host}:{console.port} ({error.strerror})",
                mend="stop what uses it, or give another with --port",
            ) from None


def _say_where(data: DataDir, config: Config) -> None:
    click.echo(f"Console: {config.console.url}")
    link = data.run / "setup-link"
    if link.exists():
        click.echo(f"Create the first administrator (once, within a day): {link.read_text().strip()}")
    for listener in listeners(data):
        if listener.where:
            click.echo(f"Receiving: {listener.kind} on {listener.where}")
        elif listener.state == "failed":
            click.echo(f"watchbill: {listener.kind} does not listen: {listener.reason}", err=True)
    click.echo(f"Data: {data.root}   Stop: Ctrl-C")
    sys.stdout.flush()


class _Supervisor:
    """Keeps four children running; a child that ends too often is started ever more slowly."""

    def __init__(self, data: DataDir) -> None:
        self.data = data
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.started: dict[str, float] = {}
        self.delay: dict[str, float] = dict.fromkeys(PROCESSES, 1.0)
        self.due: dict[str, float] = {}
        self.stopping = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def start(self) -> None:
        for name in PROCESSES:
            self._spawn(name)

    def _spawn(self, name: str) -> None:
        with self._log(name) as log:
            self.children[name] = subprocess.Popen(
                _command(name, self.data),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "WATCHBILL_SUPERVISED": "1"},
            )
        self.started[name] = time.monotonic()
        with contextlib.suppress(OSError):  # a full disk: for the operator's information alone
            (self.data.run / f"{name}.pid").write_text(str(self.children[name].pid))

    def _log(self, name: str) -> IO[bytes]:
        path = self.data.logs / f"{name}.log"
        try:
            if path.exists() and path.stat().st_size > _LOG_LIMIT:
                path.replace(path.with_suffix(".log.1"))
            return path.open("ab")
        except OSError:  # what cannot be written on a full disk must not keep a process from starting
            return Path(os.devnull).open("ab")

    def wait_for_console(self, config: Config) -> bool:
        address = (config.console.host, config.console.port)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not self.stopping:
            if self.children["web"].poll() is not None:
                click.echo(f"watchbill: the console did not start; see {self.data.logs / 'web.log'}", err=True)
                return False
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=1):
                return True
            time.sleep(0.1)
        return False

    def watch(self) -> None:
        """Run until told to stop, then end the children in the order in which data flows."""
        while not self.stopping:
            for name, child in list(self.children.items()):
                if child.poll() is not None and name not in self.due:
                    self._ended(name, child)
            for name, when in list(self.due.items()):
                if time.monotonic() >= when:
                    self._start_again(name)
            time.sleep(0.2)
        for name in PROCESSES:
            self._end(name)

    def _start_again(self, name: str) -> None:
        try:
            self._spawn(name)
        except OSError as error:  # no memory, no descriptors: later, and the others go on
            click.echo(f"watchbill: {name} cannot start: {error}; it is tried again", err=True)
            self.due[name] = time.monotonic() + self.delay[name]
        else:
            del self.due[name]

    def _ended(self, name: str, child: subprocess.Popen[bytes]) -> None:
        lived = time.monotonic() - self.started[name]
        self.delay[name] = 1.0 if lived > 60 else min(self.delay[name] * 2, 30.0)
        self.due[name] = time.monotonic() + self.delay[name]
        log = self.data.logs / f"{name}.log"
        click.echo(f"watchbill: {name} ended with code {child.returncode}; it starts again. See {log}", err=True)
        note = {"process": name, "code": child.returncode, "at": time.time_ns() // SECOND * SECOND}
        # A full disk must not end the one who keeps the others going; the note is on the screen and in the log.
        with contextlib.suppress(OSError), (self.data.run / "restarts.jsonl").open("a") as notes:
            notes.write(json.dumps(note) + "\n")

    def _end(self, name: str) -> None:
        child = self.children.get(name)
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
