"""Files that are whole or absent: written aside, synced, then put in their place."""

from __future__ import annotations

import os
from pathlib import Path


def write_all(fd: int, data: bytes) -> None:
    """Write every byte; a short write is continued, so that its error (a full disk) is seen."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Put a file in place of an older one; a reader sees the old bytes or the new, nothing between."""
    aside = _aside(path, data, sync=sync)
    aside.replace(path)
    if sync:
        sync_directory(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Make a file unless it is there; of two processes that race, one wins. Return whether this one did."""
    aside = _aside(path, data, sync=True)
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    sync_directory(path.parent)
    return True


def _aside(path: Path, data: bytes, *, sync: bool) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(fd, data)
        if sync:
            os.fsync(fd)
    except OSError:
        aside.unlink()
        raise
    finally:
        os.close(fd)
    return aside
