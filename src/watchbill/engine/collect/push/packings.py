"""Bodies that are packed: gzip (RFC 1952) and zstd (RFC 8878), unpacked while they come, a piece at a time.

A body may be many members or frames, one after the other. Neither unpacks more at once than ``STEP``, so a bomb is
noticed before it fills the memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from watchbill.engine import zstd
from watchbill.engine.collect.push.messages import RefusedError

#: Bytes that are unpacked at a time.
STEP = 1 << 20


class Packing(Protocol):
    """``whole``: nothing came, or the last member or frame has come to its end."""

    whole: bool

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Give what a part of the body unpacks to. Raises RefusedError for what is not packed so."""
        ...

    def close(self) -> None:
        """Give back the memory that unpacking needs besides."""
        ...


class Gzip:
    """Members of gzip."""

    def __init__(self) -> None:
        self.whole = True
        self._unpacker = zlib.decompressobj(wbits=31)

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._unpacker.eof:
                self._unpacker = zlib.decompressobj(wbits=31)
            try:
                yield self._unpacker.decompress(data, STEP)
            except zlib.error as error:
                raise _refused("gzip", error) from None
            self.whole = self._unpacker.eof
            data = self._unpacker.unconsumed_tail or self._unpacker.unused_data

    def close(self) -> None: ...


class Zstd:
    """Frames of zstd. Each says in its head how far back it refers; that much memory is asked for before it is unpacked.

    ``take`` and ``give`` are the memory's; ``most`` is the longest window in bytes, which a frame without blocks that are
    told apart (a "single segment") has as long as its content.
    """

    def __init__(self, most: int, take: Callable[[int], None], give: Callable[[int], None]) -> None:
        self.whole = True
        self._most = most
        self._take, self._give = take, give
        self._held = 0
        self._head = b""
        self._unpacker: zstd.library.ZstdDecompressor | None = None

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._unpacker is None:
                self.whole = False
                self._head += data
                window = self._window()
                if window is None:
                    return  # the rest of the head is still to come
                data, self._head = self._head, b""
                self._begin(window)
            unpacker = self._unpacker
            if unpacker is None:
                return
            try:
                yield unpacker.decompress(data, STEP)
                while not unpacker.eof and not unpacker.needs_input:
                    yield unpacker.decompress(b"", STEP)
            except zstd.library.ZstdError as error:
                raise _refused("zstd", error) from None
            data = unpacker.unused_data if unpacker.eof else b""
            if unpacker.eof:
                self.close()
                self.whole = True

    def close(self) -> None:
        self._give(self._held)
        self._held = 0
        self._unpacker = None

    def _begin(self, window: int) -> None:
        if window > self._most:
            what = f"the body's zstd refers {window} bytes back, {self._most} are the most"
            raise RefusedError(413, what, close=True)
        self._take(window)
        self._held = window
        bits = max(window - 1, 1).bit_length()
        self._unpacker = zstd.decompressor(max(bits, 10))

    def _window(self) -> int | None:
        """Return the window of the frame that begins (RFC 8878, section 3.1.1.1), None if more of its head is needed."""
        head = self._head
        if not head.startswith(zstd.MAGIC[: len(head)]):
            raise _refused("zstd", "it does not begin as a frame does")
        if len(head) < 6:
            return None
        flags = head[4]
        if not flags & 0x20:
            base = 1 << (10 + (head[5] >> 3))
            return base + (base >> 3) * (head[5] & 7)
        at, width = 5 + (0, 1, 2, 4)[flags & 3], 1 << (flags >> 6)
        if len(head) < at + width:
            return None
        return int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0)


def _refused(name: str, why: object) -> RefusedError:
    return RefusedError(400, f"the body is no {name}: {why}", code=6, close=True)
