"""Volumes: the append-only files that hold the frames of a shard, and the head that says how far they are durable.

A volume begins with a frame that says what was before it (so that each can be read alone) and holds whole segments.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from watchbill.core import canonical
from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable, frames
from watchbill.ledger.sources import Sources

VOLUME_BYTES = 64 << 20
_NAME = re.compile(r"(\d{8})-(\d{16})\.vol")
_HEAD = struct.Struct(">8sQQQQ")
_HEAD_MAGIC = b"WBHEAD1\n"
_CAUSES = {"first", "full", "error", "repair"}


class VolumePath(NamedTuple):
    """A volume by its name: NNNNNNNN-PPPPPPPPPPPPPPPP.vol, its number and the position of its first record."""

    number: int
    position: int
    path: Path


def shard_path(ledger: Path, shard: int) -> Path:
    return ledger / f"shard-{shard:04}"


def shards(ledger: Path) -> list[int]:
    """Return the shards that a ledger has."""
    return sorted(int(path.name[6:]) for path in ledger.glob("shard-*") if path.name[6:].isdigit())


def volumes(shard: Path) -> list[VolumePath]:
    """Return the volumes of a shard in order."""
    folder = shard / "events"
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [(_NAME.fullmatch(path.name), path) for path in paths]
    return [VolumePath(int(match[1]), int(match[2]), path) for match, path in found if match]


@dataclass(frozen=True, slots=True)
class Opening:
    """What the first frame of a volume says: the state of the shard when it was begun."""

    shard: int
    volume: int
    segment: int
    position: int
    log_size: int
    previous: str  # leaf hash of the last manifest, in hex
    sources: Sources
    follows: int | None  # the number of the volume before; None for the first volume
    cause: str  # "first", "full", "error" (the volume before was abandoned) or "repair" (it was damaged)

    def encode(self) -> bytes:
        """Return header and payload of the frame."""
        body = {
            "v": 1, "shard": self.shard, "volume": self.volume, "log_size": self.log_size, "previous": self.previous,
            "sources": self.sources.dump(),
            "follows": self.follows, "cause": self.cause,
        }  # fmt: skip
        return frames.encode(frames.Kind.VOLUME, self.segment, self.position, 0, canonical.dumps(body))

    @classmethod
    def decode(cls, frame: frames.Frame, name: str) -> Opening:
        """Read it. Raises LedgerError."""
        try:
            body = json.loads(frame.payload)
            version = body.pop("v")
            if version in range(2, 100):
                what, mend = "a later version of Watchbill began this volume", "use that version or a later one"
                raise frames.LaterVersionError(what, place=Place(name, offset=0), mend=mend)
            if frame.header.kind != frames.Kind.VOLUME or version != 1:
                raise LedgerError("this frame opens no volume", place=Place(name, offset=0))
            if body["cause"] not in _CAUSES:
                raise LedgerError(f"the cause {body['cause']!r} is unknown", place=Place(name, offset=0))
            if body["follows"] != (body["volume"] - 1 if body["volume"] else None):
                what = f"volume {body['volume']} says that it follows {body['follows']}"
                raise LedgerError(what, place=Place(name, offset=0))
            body["sources"] = Sources.load(body["sources"])
            return cls(**body, segment=frame.header.segment, position=frame.header.position)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise LedgerError(f"the volume's opening cannot be read: {error}", place=Place(name, offset=0)) from error


def read_opening(path: Path) -> tuple[Opening, int]:
    """Return the opening of a volume and the offset of the first frame behind it. Raises LedgerError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        for frame in frames.walk(fd, 0, os.fstat(fd).st_size, path.name):
            return Opening.decode(frame, path.name), frame.header.end
    finally:
        os.close(fd)
    raise LedgerError("the volume is empty", place=Place(path.name, offset=0))


def opening_of(volume: VolumePath) -> Opening:
    """Return the opening of a volume, which must be the one that its name says. Raises LedgerError."""
    with volume.path.open("rb") as file:
        header = frames.decode_header(file.read(frames.HEADER_SIZE), 0)
        if header is None:
            raise LedgerError("the volume has no opening", place=Place(str(volume.path), offset=0))
        found = Opening.decode(frames.read(file.fileno(), header), str(volume.path))
    if (found.volume, found.position) != (volume.number, volume.position):
        raise LedgerError("the volume is not the one that its name says", place=Place(str(volume.path), offset=0))
    return found


class Volume:
    """The volume that is being written. ``end`` is the durable length; writes go there and nowhere else."""

    def __init__(self, path: Path, number: int, end: int, *, create: bool = False) -> None:
        self.path = path
        self.number = number
        self.end = end
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        self._fd = os.open(path, flags, 0o600)

    @classmethod
    def begin(cls, shard: Path, opening: Opening, mac: bytes) -> Volume:
        """Make a new volume, durably. Raises OSError; then there is none."""
        path = shard / "events" / f"{opening.volume:08}-{opening.position:016}.vol"
        path.unlink(missing_ok=True)
        volume = cls(path, opening.volume, 0, create=True)
        try:
            volume.append(opening.encode() + mac)
            durable.sync_directory(path.parent)
        except OSError:
            volume.close()
            path.unlink()
            raise
        return volume

    def frames(self) -> Iterator[frames.Frame]:
        """Walk all frames of the file. Raises LedgerError where there is none."""
        return frames.walk(self._fd, 0, os.fstat(self._fd).st_size, str(self.path))

    def append(self, *parts: bytes | bytearray) -> int:
        """Write and sync; return the offset where it stands. Raises OSError; then nothing of it counts."""
        os.lseek(self._fd, self.end, os.SEEK_SET)
        for part in parts:
            durable.write_all(self._fd, part)
        os.fdatasync(self._fd)
        offset, self.end = self.end, self.end + sum(map(len, parts))
        return offset

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def cut(self) -> None:
        """Take away what stands behind the durable end. Raises OSError."""
        os.ftruncate(self._fd, self.end)

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def close(self) -> None:
        os.close(self._fd)


class Head(NamedTuple):
    """How far a shard is durable: positions below ``position`` are, in the volumes up to ``volume`` at ``end``."""

    position: int
    volume: int
    end: int
    sealed: int

    @classmethod
    def read(cls, shard: Path) -> Head | None:
        """Read the published head; None if there is none (yet), or it is damaged."""
        try:
            fd = os.open(shard / "head", os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            for attempt in range(50):  # a read may fall into the writer's write: the check sum tells
                data = os.pread(fd, _HEAD.size + 4, durable.APART * (attempt % 2))
                body = data[: _HEAD.size]
                if len(data) == _HEAD.size + 4 and zlib.crc32(body).to_bytes(4, "big") == data[_HEAD.size :]:
                    magic, *fields = _HEAD.unpack(body)
                    return cls(*fields) if magic == _HEAD_MAGIC else None
        finally:
            os.close(fd)
        return None

    def encode(self) -> bytes:
        body = _HEAD.pack(_HEAD_MAGIC, *self)
        return body + zlib.crc32(body).to_bytes(4, "big")


class HeadFile:
    """The writer's side of the head: overwritten in place, so that publishing costs no file operation but one."""

    def __init__(self, shard: Path) -> None:
        self._fd = os.open(shard / "head", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def publish(self, head: Head, *, sync: bool = False) -> None:
        os.pwrite(self._fd, durable.twice(head.encode()), 0)
        if sync:
            os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)
