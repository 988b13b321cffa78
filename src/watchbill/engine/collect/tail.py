"""One open log file, read from a position that is recognised by what stands before it.

A position is an offset at the start of a line and the up to 256 bytes before it, its anchor. If those bytes are no
longer there, the file is not the one that was read: it was truncated, or its inode belongs to another file now. The
same bytes find the place again in a renamed file or in a copy.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Any, NamedTuple

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect.framing import LINE_LIMIT, Cut

ANCHOR = 256
CHUNK = 512 << 10
#: A line that has no end after this many bytes is taken as ended.
ENDLESS = 64 << 20


class Position(NamedTuple):
    """Where reading goes on: the line that starts at ``offset``, after the bytes of ``anchor``."""

    device: int
    inode: int
    offset: int
    anchor: bytes

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "anchor": self.anchor.hex()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Position:
        anchor = bytes.fromhex(value["anchor"])
        return cls(int(value["device"]), int(value["inode"]), int(value["offset"]), anchor)


class Lines(NamedTuple):
    """What a read brought: lines without their ends, and whether there is more at once."""

    raws: list[bytes]
    cuts: list[Cut]
    more: bool


class ReplacedError(Exception):
    """What was read is no longer there: the file was truncated or written anew. ``lost``: bytes seen, never read."""

    def __init__(self, lost: int) -> None:
        super().__init__(lost)
        self.lost = lost


class Tail:
    """An open regular file and how far it has been read."""

    def __init__(self, path: Path, *, limit: int = LINE_LIMIT) -> None:
        """Open it. Raises OSError, or WatchbillError when it is no regular file (a pipe would never end)."""
        self._limit = limit
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        facts = os.fstat(self._fd)
        if not stat.S_ISREG(facts.st_mode):
            os.close(self._fd)
            raise WatchbillError(f"{path} is {kind_of(facts.st_mode)}, not a file", mend="name a regular log file")
        self.device, self.inode = facts.st_dev, facts.st_ino
        self.offset = 0
        self.anchor = b""
        self.size = facts.st_size
        #: Time of the file's last change when it was last read, Unix seconds.
        self.changed = facts.st_mtime
        self._scanned = -1
        #: Records of the last run may be in the ledger already; cleared with the first that is not.
        self.catching_up = False
        #: Monotonic time since which another file has the name, 0 for the current one.
        self.retired = 0.0
        self.grown = time.monotonic()

    @property
    def position(self) -> Position:
        return Position(self.device, self.inode, self.offset, self.anchor)

    def resume(self, position: Position) -> bool:
        """Go on from a position, if this file has the bytes that were before it."""
        start = position.offset - len(position.anchor)
        if os.pread(self._fd, len(position.anchor), start) != position.anchor:
            return False
        self.offset, self.anchor = position.offset, position.anchor
        return True

    def read(self, *, final: bool = False) -> Lines:
        """Read whole lines; ``final`` takes a last line that has no end. Raises ReplacedError, OSError."""
        facts = os.fstat(self._fd)
        size, self.changed = facts.st_size, facts.st_mtime
        if size != self.size:
            self.grown = time.monotonic()
        seen, self.size = self.size, size
        held = len(self.anchor)
        data = os.pread(self._fd, held + min(max(size - self.offset, 0), CHUNK), self.offset - held)
        if not data.startswith(self.anchor):
            raise ReplacedError(max(0, seen - self.offset))
        data = data[held:]
        stop = data.rfind(b"\n") + 1
        if stop:
            self._advance(stop, data[:stop])
            raws = [stripped for line in data[: stop - 1].split(b"\n") if (stripped := line.removesuffix(b"\r"))]
            return self._within_limit(raws, more=self.offset < size and len(data) > stop)
        if not data:
            return Lines([], [], more=False)
        if len(data) == CHUNK or final:
            return self._long_line(size, final=final)
        return Lines([], [], more=False)

    def restart(self) -> None:
        """Read from the start: the file was written anew."""
        self.offset, self.anchor, self._scanned = 0, b"", -1
        self.catching_up = False

    def close(self) -> None:
        os.close(self._fd)

    def _advance(self, count: int, data: bytes) -> None:
        self.offset += count
        self.anchor = (self.anchor + data[-ANCHOR:])[-ANCHOR:]

    def _within_limit(self, raws: list[bytes], *, more: bool) -> Lines:
        cuts = []
        if self._limit < CHUNK:
            for index, raw in enumerate(raws):
                if len(raw) > self._limit:
                    cuts.append(Cut(len(raw), self._limit, hashlib.sha256(raw).hexdigest()))
                    raws[index] = raw[: self._limit]
        return Lines(raws, cuts, more)

    def _long_line(self, size: int, *, final: bool) -> Lines:
        """A line that does not end within a chunk: find its end, keep its first part, digest the rest."""
        if size == self._scanned and not final:
            return Lines([], [], more=False)
        kept = bytearray()
        digest = hashlib.sha256()
        length, ended, last = 0, False, b""
        while not ended and length < ENDLESS:
            piece = os.pread(self._fd, CHUNK, self.offset + length)
            if not piece:
                break
            stop = piece.find(b"\n")
            if ended := stop >= 0:
                piece = piece[:stop]
            kept += piece[: max(0, self._limit - len(kept))]
            digest.update(piece)
            length += len(piece)
            last = (last + piece)[-ANCHOR:]
        if not (ended or final or length >= ENDLESS):
            self._scanned = size
            return Lines([], [], more=False)
        self._advance(length + ended, last + b"\n" * ended)
        cuts = [Cut(length, len(kept), digest.hexdigest())] if length > len(kept) else []
        raw = bytes(kept) if cuts else bytes(kept).removesuffix(b"\r")
        return Lines([raw] if raw else [], cuts, more=self.offset < size)


def kind_of(mode: int) -> str:
    """What a file that is no regular one is, in words."""
    kinds = {
        stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe (FIFO)", stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")
