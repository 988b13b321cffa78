"""What a crash may leave on a disk, made from a recording of what a program asked of the kernel.

A recording is taken with strace, so it holds what happened and not what the program meant. Played back on a model
disk it gives, for each moment, what is durable and what only waits in the page cache. A crash keeps any part of what
waits:

- of data written to a file since its last fsync or fdatasync: any of its 512-byte sectors; a sector that is not kept
  but lies before one that is, reads as zeros (or as what stood there). A sector itself is written whole, or cut.
- of names (create, rename, link, unlink, mkdir) since the last fsync of their directory: any of them, in any
  combination. That is weaker than ext4, XFS and btrfs behave, which keep names in order; it is what POSIX promises.

A write that the program saw fail keeps nothing certain. After an fsync that failed, what waited may or may not be there.
"""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

SECTOR = 512
_CALL = re.compile(rb"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_PART = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"|([^," ][^,"]*)')


@dataclass
class File:
    """One inode: what is durable, what the program sees, and the pieces (offset, bytes) that wait."""

    durable: bytes = b""
    seen: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes] | int] = field(default_factory=list)  # a piece, or the size of a truncation

    def write(self, offset: int, data: bytes) -> None:
        if offset > len(self.seen):
            self.seen.extend(bytes(offset - len(self.seen)))
        self.seen[offset : offset + len(data)] = data
        end = offset + len(data)
        for at in range(offset - offset % SECTOR, end, SECTOR):
            low, high = max(at, offset), min(at + SECTOR, end)
            self.waiting.append((low, data[low - offset : high - offset]))

    def truncate(self, size: int) -> None:
        self.seen = self.seen[:size].ljust(size, b"\0") if size <= len(self.seen) else self.seen.ljust(size, b"\0")
        self.waiting.append(size)

    def sync(self) -> None:
        self.durable, self.waiting = bytes(self.seen), []

    def after(self, kept: list[tuple[int, bytes] | int]) -> bytes:
        """What the disk holds if of the waiting pieces these were kept."""
        if not kept:
            return self.durable
        found = bytearray(self.durable)
        for piece in kept:
            if isinstance(piece, int):
                found = found[:piece].ljust(piece, b"\0")
                continue
            offset, data = piece
            if offset > len(found):
                found.extend(bytes(offset - len(found)))
            found[offset : offset + len(data)] = data
        return bytes(found)


class Disk:
    """A model of the files below one folder. Paths are bytes, relative to it; a directory is the inode None."""

    def __init__(self, root: Path) -> None:
        self.root = bytes(root)
        self.names: dict[bytes, File | None] = {b"": None}  # as the program sees them
        self.durable: dict[bytes, File | None] = {b"": None}
        self.waiting: list[tuple[bytes, bytes, File | None, bool]] = []  # old name or b"", name or b"", inode, is there
        self.acknowledged = 0
        self._open: dict[int, tuple[bytes, File | None]] = {}
        self._at: dict[int, int] = {}
        for path in sorted(root.rglob("*")):
            name = bytes(path)[len(self.root) + 1 :]
            content = path.read_bytes() if path.is_file() else b""
            self.names[name] = self.durable[name] = File(content, bytearray(content)) if path.is_file() else None

    def play(self, log: Path) -> Iterator[bool]:
        """Play a recording; after each call says whether the state of the disk may be another one."""
        for line in log.read_bytes().splitlines():
            if call := _CALL.match(line):
                name, arguments, result = call[1], call[2], int(call[3])
                parts = [
                    word.strip() or bytes.fromhex(text.decode().replace("\\x", ""))
                    for text, word in _PART.findall(arguments)
                ]
                yield self._call(name.decode(), parts, result, b"(INJECTED)" in line)

    def _call(self, name: str, parts: list[bytes], result: int, injected: bool) -> bool:
        if result < 0 or injected:
            return False
        match name:
            case "openat":
                return self._openat(parts, result)
            case "close":
                self._open.pop(int(parts[0]), None)
            case "lseek" if int(parts[0]) in self._open:
                self._at[int(parts[0])] = result
            case "read" if int(parts[0]) in self._open:
                self._at[int(parts[0])] += result
            case "writev" if int(parts[0]) == 1:  # 1, [{iov_base="…", iov_len=…}], 1
                if parts[2][:1].isdigit():
                    self.acknowledged = max(self.acknowledged, int(parts[2]))
            case "write" | "pwrite64" | "ftruncate" | "fsync" | "fdatasync":
                return self._on_file(name, parts, result)
            case "rename" | "link":
                return self._rename(self._inside(parts[0]), self._inside(parts[1]), keep=name == "link")
            case "linkat":
                return self._rename(self._inside(parts[1]), self._inside(parts[3]), keep=True)
            case "unlink" | "rmdir":
                return self._remove(self._inside(parts[0]))
            case "unlinkat":
                return self._remove(self._inside(parts[1], parts[0]))
            case "mkdir":
                return self._add(self._inside(parts[0]), None)
        return False

    def _inside(self, path: bytes, folder: bytes = b"AT_FDCWD") -> bytes | None:
        if folder != b"AT_FDCWD" and not path.startswith(b"/"):
            opened = self._open.get(int(folder))
            return None if opened is None else opened[0] + b"/" + path
        return path[len(self.root) + 1 :] if path.startswith(self.root + b"/") else None

    def _openat(self, parts: list[bytes], fd: int) -> bool:
        path = b"" if parts[1] == self.root else self._inside(parts[1], parts[0])
        if path is None:
            return False
        changed = False
        if b"O_CREAT" in parts[2] and path not in self.names:
            changed = self._add(path, File())
        file = self.names[path]
        if b"O_TRUNC" in parts[2] and file is not None and file.seen:
            file.truncate(0)
            changed = True
        self._open[fd], self._at[fd] = (path, file), 0
        return changed

    def _on_file(self, name: str, parts: list[bytes], result: int) -> bool:
        fd = int(parts[0])
        if fd not in self._open:
            return False
        path, file = self._open[fd]
        if name in {"fsync", "fdatasync"}:
            if file is None:
                self._sync_names(path)
            else:
                file.sync()
        elif name == "ftruncate":
            file.truncate(int(parts[1]))
        else:
            offset = self._at[fd] if name == "write" else int(parts[3])
            file.write(offset, parts[1][:result])
            if name == "write":
                self._at[fd] += result
        return True

    def _add(self, path: bytes | None, inode: File | None) -> bool:
        if path is None:
            return False
        self.names[path] = inode
        self.waiting.append((b"", path, inode, True))
        return True

    def _rename(self, old: bytes | None, new: bytes | None, *, keep: bool) -> bool:
        if old is None or new is None:
            return False
        inode = self.names[old] if keep else self.names.pop(old)
        self.names[new] = inode
        self.waiting.append((b"" if keep else old, new, inode, True))
        return True

    def _remove(self, path: bytes | None) -> bool:
        if path is None:
            return False
        inode = self.names.pop(path, None)
        self.waiting.append((b"", path, inode, False))
        return True

    def _sync_names(self, folder: bytes) -> None:
        """fsync of a directory: what waited in it is durable. A rename is so once its target's directory is."""
        left = []
        for change in self.waiting:
            if change[1].rpartition(b"/")[0] == folder:
                _apply(self.durable, change)
            else:
                left.append(change)
        self.waiting = left

    def state(self, chance: random.Random, style: str) -> dict[bytes, bytes | None]:
        """One state that a crash at this moment may leave: contents by path, None for a folder.

        ``style``: "nothing" or "all" of what waits was kept, "names" and no data (as delayed allocation does),
        "data" and no names, a "prefix" of each, "any" of it, or "torn": any of it, and one sector was cut.
        """
        names = dict(self.durable)
        for change in self.waiting:
            if style in {"all", "names"} or (style in {"any", "torn", "prefix"} and chance.random() < 0.5):
                _apply(names, change)
            elif style == "prefix":
                break
        found: dict[bytes, bytes | None] = {}
        for path, file in names.items():
            folders = path.split(b"/")[:-1]
            if any(names.get(b"/".join(folders[:n]), b"") is not None for n in range(1, len(folders) + 1)):
                continue  # its directory was not kept
            found[path] = None if file is None else file.after(_kept(file, chance, style))
        return found


def _apply(names: dict[bytes, File | None], change: tuple[bytes, bytes, File | None, bool]) -> None:
    old, new, inode, there = change
    if there:
        if names.get(old, b"") is inode:
            del names[old]
        names[new] = inode
    elif names.get(new, b"") is inode:
        del names[new]


def _kept(file: File, chance: random.Random, style: str) -> list[tuple[int, bytes] | int]:
    waiting = file.waiting
    match style:
        case "all" | "data":
            return waiting
        case "nothing" | "names":
            return []
        case "prefix":
            return waiting[: chance.randrange(len(waiting) + 1)]
    share = chance.random()
    kept = [piece for piece in waiting if chance.random() < share]
    if style == "torn" and kept:
        at = chance.randrange(len(kept))
        if not isinstance(kept[at], int) and len(kept[at][1]) > 1:
            offset, data = kept[at]
            kept[at] = offset, data[: chance.randrange(1, len(data))]
    return kept


STYLES = ("nothing", "all", "names", "data", "prefix", "any", "any", "torn")


class State(NamedTuple):
    """A disk after a crash: its files, what had been acknowledged before, and how it came about."""

    files: dict[bytes, bytes | None]
    acknowledged: int
    story: str
    digest: bytes  # of the files alone: of two states with one digest, more had been acknowledged before the later


def states(disk: Disk, log: Path, chance: random.Random, each: int) -> Iterator[State]:
    """Up to ``each`` states for every moment of a recording at which the disk changed; none that an earlier one holds."""
    seen: dict[bytes, int] = {}
    for moment, changed in enumerate(disk.play(log)):
        for number in range(each if changed else 0):
            style = STYLES[number % len(STYLES)]
            files = disk.state(chance, style)
            digest = _digest(files)
            if seen.get(digest, -1) < disk.acknowledged:
                seen[digest] = disk.acknowledged
                yield State(files, disk.acknowledged, f"crash after call {moment}, kept: {style}", digest)


def _digest(files: dict[bytes, bytes | None]) -> bytes:
    whole = blake2b(digest_size=16)
    for path, content in sorted(files.items()):
        size = -1 if content is None else len(content)
        whole.update(b"%d %d %b" % (len(path), size, path))
        whole.update(content or b"")
    return whole.digest()


def build(state: State, folder: Path) -> None:
    """Make the files of a state in a folder, which is emptied first."""
    clear(folder)
    root = bytes(folder) + b"/"
    for path in sorted(state.files):
        content = state.files[path]
        if content is not None:
            fd = os.open(root + path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            written = os.write(fd, content)
            os.close(fd)
            if written < len(content):
                raise OSError(f"there is no room to make the states in: {folder}")
        elif path:
            Path((root + path).decode()).mkdir(mode=0o700)


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
