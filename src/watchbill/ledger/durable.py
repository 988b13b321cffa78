"""Files that are whole or absent: written aside, synced, then put in their place."""

from __future__ import annotations

import os
from pathlib import Path


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write every byte; a short write is continued, so that its error (a full disk) is seen."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


#: A small file that is overwritten in place holds its bytes twice, this far apart: whatever a crash tears, one is whole.
APART = 512


def twice(data: bytes) -> bytes:
    """Spell a small file's content so that a torn write leaves one copy of it whole."""
    return data.ljust(APART, b"\0") + data


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: Path) -> None:
    """Make a folder for the owner alone, and those above it that are missing; their names are durable."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def replace(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Put a file in place of an older one; a reader sees the old bytes or the new, nothing between.

    After a crash, too: the bytes are synced before they get the name. ``lasting`` syncs the name as well, so that the
    old ones cannot come back.
    """
    aside = _aside(path, data)
    aside.replace(path)
    if lasting:
        sync_directory(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Make a file unless it is there; of two processes that race, one wins. Return whether this one did."""
    aside = _aside(path, data)
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink()
    sync_directory(path.parent)
    return True


def _aside(path: Path, data: bytes) -> Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(fd, data)
        os.fsync(fd)
    except OSError:
        aside.unlink()
        raise
    finally:
        os.close(fd)
    return aside
