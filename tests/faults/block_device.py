"""A disk that remembers every block written to it and every flush, so that its power can be cut at any of them.

A file of a small FUSE file system (spoken to the kernel directly, no library) lies under a loop device, which carries an
ext4. What ext4 writes arrives here as writes and flushes of blocks; nothing of the page cache, the journal or the
ordering is simulated. Protocol: Linux, include/uapi/linux/fuse.h, version 7.31.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

from judging import judge
from nursery import command

SIZE = 16 << 20
_REQUEST_BYTES = 40  # of a write, before its data
_HEADER = struct.Struct("<IIQQIIIHH")
_ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
_ROOT, _DISK = 1, 2
_DIRECT = 1
_MAX_WRITE = 128 << 10


class Call(IntEnum):
    """The requests that the kernel makes of a file system with one file."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    RELEASEDIR = 29
    ACCESS = 34
    BATCH_FORGET = 42


class RecordingDisk:
    """The file system with its one file, "disk". ``log`` holds (offset, bytes) for a write and None for a flush."""

    def __init__(self, folder: Path) -> None:
        """Mount it; needs root. Raises OSError."""
        self.content = bytearray(SIZE)
        self.log: list[tuple[int, bytes] | None] = []
        self.path = folder / "disk"
        self._folder = folder
        self._fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"watchbill-faults", bytes(folder), b"fuse", 0, options):
            number = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(number, os.strerror(number))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        subprocess.run(["umount", "-l", self._folder], check=False, capture_output=True)
        self._thread.join(60)
        os.close(self._fd)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._fd, _MAX_WRITE + 4096)
            except OSError as error:
                if error.errno in {errno.EINTR, errno.EAGAIN, errno.ENOENT}:
                    continue
                return  # ENODEV: unmounted
            _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
            if opcode in {Call.FORGET, Call.BATCH_FORGET}:
                continue
            answer = self._answer(opcode, node, memoryview(request)[_HEADER.size :])
            number, data = (answer, b"") if isinstance(answer, int) else (0, answer)
            os.write(self._fd, struct.pack("<IiQ", 16 + len(data), -number, unique) + data)

    def _answer(self, opcode: int, node: int, body: memoryview) -> bytes | int:
        match opcode:
            case Call.INIT:  # version 7.31, big writes
                return struct.pack("<IIIIHHIIHHII24x", 7, 31, 1 << 17, 1 << 5, 16, 12, _MAX_WRITE, 1, 0, 0, 0, 0)
            case Call.LOOKUP:
                if bytes(body).rstrip(b"\0") != b"disk":
                    return errno.ENOENT
                return struct.pack("<QQQQII", _DISK, 0, 3600, 3600, 0, 0) + self._attributes(_DISK)
            case Call.GETATTR:
                return struct.pack("<QII", 3600, 0, 0) + self._attributes(node)
            case Call.OPEN | Call.OPENDIR:
                return struct.pack("<QII", 1, _DIRECT if opcode == Call.OPEN else 0, 0)
            case Call.READ:
                _, offset, size = struct.unpack_from("<QQI", body)
                return bytes(self.content[offset : offset + size])
            case Call.WRITE:
                _, offset, size = struct.unpack_from("<QQI", body)
                data = bytes(body[_REQUEST_BYTES : _REQUEST_BYTES + size])
                self.content[offset : offset + size] = data
                self.log.append((offset, data))
                return struct.pack("<II", size, 0)
            case Call.FSYNC:
                self.log.append(None)
                return b""
            case Call.STATFS:
                return struct.pack("<QQQQQIIII24x", SIZE >> 12, 0, 0, 2, 0, 4096, 255, 4096, 0)
            case Call.RELEASE | Call.FLUSH | Call.RELEASEDIR | Call.ACCESS:
                return b""
        return errno.ENOSYS

    def _attributes(self, node: int) -> bytes:
        mode, size = (0o40700, 0) if node == _ROOT else (0o100600, SIZE)
        return _ATTRIBUTES.pack(node, size, size >> 9, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    """Mount an image by a loop device; ext4 replays its journal."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True, capture_output=True)
    try:
        yield folder
    finally:
        for _ in range(1_000):  # the kernel may still be busy with it
            if subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0:
                break
            time.sleep(0.05)


class Recorded:
    """A run of the victim on such a disk: the blocks before it, those it wrote, and what was acknowledged when."""

    def __init__(self, folder: Path, seed: int, rounds: int) -> None:
        (folder / "fuse").mkdir()
        disk = RecordingDisk(folder / "fuse")
        try:
            subprocess.run(["mkfs.ext4", "-q", "-F", disk.path], check=True, capture_output=True)
            with mounted(disk.path, folder / "live") as live:
                self.before, start = bytes(disk.content), len(disk.log)
                self.acknowledged: list[tuple[int, int]] = []  # (blocks written at least, records)
                with subprocess.Popen(
                    command(live, seed, rounds), stdout=subprocess.PIPE, start_new_session=True
                ) as child:
                    for line in child.stdout:
                        if line[:1].isdigit():
                            self.acknowledged.append((len(disk.log) - start, int(line)))
                self.log = disk.log[start:]
        finally:
            disk.close()
        self.seed = seed

    def cut(self, at: int, chance: random.Random) -> tuple[bytes, int]:
        """The disk after its power was cut: all that was flushed, any part of what was not; and what was acknowledged."""
        flushed = max((n for n in range(at) if self.log[n] is None), default=0)
        content, share = bytearray(self.before), chance.random()
        for number, entry in enumerate(self.log[:at]):
            if entry is not None and (number < flushed or chance.random() < share):
                offset, data = entry
                content[offset : offset + len(data)] = data
        return bytes(content), max((records for n, records in self.acknowledged if n <= at), default=0)


def power_cuts(folder: Path, times: int, chance: random.Random, seed: int = 1, rounds: int = 12) -> Iterator[int]:
    """Cut the power ``times`` times; gives the records that were kept each time. Raises AssertionError."""
    run = Recorded(folder, seed, rounds)
    assert run.log.count(None) > rounds, "no flush ever reached the disk: this proves nothing"
    image = folder / "image"
    for _ in range(times):
        content, acknowledged = run.cut(chance.randrange(len(run.log) + 1), chance)
        image.write_bytes(content)
        with mounted(image, folder / "after") as after:
            yield judge(after, seed, acknowledged)
