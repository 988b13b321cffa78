"""Ports for servers that are told theirs beforehand, and may be stopped and started again on it."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path

#: Below those that the kernel gives to whoever asks for any (net.ipv4.ip_local_port_range, from 32768 on): a port that
#: was only looked at could be another connection's by the time at which the server wants it.
_PORTS = range(20_000, 32_768)
_held = []


def free_port() -> int:
    """A TCP and UDP port that is free, and that no other test is given while this process lives."""
    folder = Path(tempfile.gettempdir(), f"watchbill-test-ports-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        port = secrets.choice(_PORTS)
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("", port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return port
