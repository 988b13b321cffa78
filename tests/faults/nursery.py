"""Victims by the thousand: each is a process of its own, forked from one that has loaded what it needs already.

A start costs a hundredth of a second and not a third of one. strace is attached while the new process is stopped, before it does
anything, so that a recording holds the victim's calls alone.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Self

ROUNDS = 12
#: Seconds that anything may take before it counts as hanging.
PATIENCE = 120
_VICTIM = Path(__file__).with_name("victim.py")
#: What strace records: all that touches files, and the victim's acknowledgements (writev).
_CALLS = (
    "openat,close,lseek,read,write,pwrite64,fsync,fdatasync,ftruncate,fallocate,rename,renameat,link,linkat,"
    "unlink,unlinkat,mkdir,rmdir,writev"
)


def command(folder: Path, seed: int, rounds: int = ROUNDS) -> list[str]:
    """How to start a victim alone, as a program."""
    return [sys.executable, str(_VICTIM), str(folder), str(seed), str(rounds)]


class Ended(NamedTuple):
    """A victim that has ended: its exit code (-9: killed), and all that it said."""

    code: int
    said: bytes
    errors: bytes


class Victim:
    """One that runs. ``said`` is the reading end of its standard output."""

    def __init__(self, pid: int, said: int, errors: int) -> None:
        self.pid = pid
        self.said = os.fdopen(said, "rb", buffering=0)
        self.errors = os.fdopen(errors, "rb", buffering=0)

    def kill(self) -> None:
        """kill -9. Its parent has not waited for it yet, so the number is still its own."""
        os.kill(self.pid, signal.SIGKILL)

    def trace(self, log: Path, faults: tuple[str, ...]) -> subprocess.Popen[bytes]:
        """Attach strace, which may make calls fail (as it spells that), to a stopped victim, and let it begin."""
        self._await("State:\tT")
        inject = [argument for fault in faults for argument in ("-e", f"inject={fault}")]
        how = ["-qq", "-xx", "-s", "99999999", "-e", "signal=none", "-e", f"trace={_CALLS}", *inject, "-o", str(log)]
        strace = subprocess.Popen(["strace", *how, "-p", str(self.pid)], stderr=subprocess.PIPE, start_new_session=True)
        self._await(f"TracerPid:\t{strace.pid}\n", strace)
        os.kill(self.pid, signal.SIGCONT)
        return strace

    def _await(self, status: str, strace: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until the kernel says this of the victim. Raises OSError."""
        until = time.monotonic() + PATIENCE
        while status not in Path(f"/proc/{self.pid}/status").read_text():
            if (strace and strace.poll() is not None) or time.monotonic() > until:
                self.kill()
                why = strace.communicate()[1].decode() if strace else "the victim does not stop"
                raise OSError(f"strace cannot be attached: {why}")
            time.sleep(0.0005)


class Nursery:
    """The process that victims are forked from; one victim at a time."""

    def __init__(self) -> None:
        self._calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._calls.settimeout(PATIENCE)
        with theirs:
            serve = [sys.executable, str(_VICTIM), "--serve", str(theirs.fileno())]
            self._process = subprocess.Popen(serve, pass_fds=[theirs.fileno()], start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.close()
        self._process.wait(PATIENCE)

    def start(self, folder: Path, seed: int, rounds: int, *, stopped: bool = False) -> Victim:
        """Start a victim; ``stopped``: it waits for SIGCONT before it does anything."""
        said, say = os.pipe()
        errors, err = os.pipe()
        try:
            asked = {"folder": str(folder), "seed": seed, "rounds": rounds, "stopped": stopped}
            socket.send_fds(self._calls, [json.dumps(asked).encode()], [say, err])
        finally:
            os.close(say)
            os.close(err)
        return Victim(int(self._calls.recv(100)), said, errors)

    def ended(self, victim: Victim, said: bytes = b"") -> Ended:
        """Wait for a victim's end; ``said`` is what was read of it already. It is killed when it hangs."""
        try:
            code = int(self._calls.recv(100))
        except TimeoutError:
            victim.kill()
            self._calls.recv(100)
            raise
        with victim.said, victim.errors:
            return Ended(code, said + victim.said.read(), victim.errors.read())

    def run(self, folder: Path, seed: int, log: Path, faults: tuple[str, ...] = ()) -> Ended:
        """A whole run of ``ROUNDS`` under strace: its calls are recorded in ``log``, and those in ``faults`` fail."""
        victim = self.start(folder, seed, ROUNDS, stopped=True)
        strace = victim.trace(log, faults)
        try:
            return self.ended(victim)
        finally:
            strace.communicate(timeout=PATIENCE)
