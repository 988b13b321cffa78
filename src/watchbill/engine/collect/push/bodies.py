"""Bodies from strangers: as long as agreed, unpacked while they come, never more in memory than all may have."""

from __future__ import annotations

import zlib

from watchbill.engine.collect.push.messages import RefusedError

#: Bodies of all requests together, unpacked.
HELD_LIMIT = 64 << 20
#: How much longer a body may be once it is unpacked.
UNPACKED = 4
#: Unpacked so many bytes at a time, so that a bomb is noticed before it fills the memory.
_STEP = 1 << 20


class Budget:
    """The memory that all bodies share."""

    def __init__(self, limit: int = HELD_LIMIT) -> None:
        self._limit = limit
        self.held = 0

    def take(self, size: int) -> None:
        """Raises RefusedError (503) when there is no room."""
        if self.held + size > self._limit:
            raise RefusedError(503, "too many requests at once", retry_after=2, code=9, close=True)
        self.held += size

    def give(self, size: int) -> None:
        self.held -= size


class Body:
    """One body. ``feed`` raises RefusedError for what is too long, or not what its encoding says."""

    def __init__(self, encoding: str, limit: int, budget: Budget) -> None:
        if encoding not in {"", "identity", "gzip", "x-gzip"}:
            raise RefusedError(415, f"the content encoding {encoding[:40]!r} is not understood; use gzip", close=True)
        self._gzip = zlib.decompressobj(wbits=31) if encoding.endswith("gzip") else None
        self._limit = limit
        self._budget = budget
        self._parts: list[bytes] = []
        self._came = 0
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._came += len(data)
        if self._came > self._limit:
            raise RefusedError(413, f"the body is longer than {self._limit} bytes", close=True)
        if self._gzip is None:
            self._keep(data)
        while data and self._gzip is not None:
            data = self._unpack(data)

    def _unpack(self, data: bytes) -> bytes:
        """Unpack a piece; returns what comes after the end of a member, where another may begin."""
        unpacker = self._gzip
        if unpacker is None:
            return b""
        if unpacker.eof:
            unpacker = self._gzip = zlib.decompressobj(wbits=31)
        try:
            piece = unpacker.decompress(data, _STEP)
        except zlib.error as error:
            raise RefusedError(400, f"the body is no gzip: {error}", code=6, close=True) from None
        self._keep(piece)
        return unpacker.unconsumed_tail or unpacker.unused_data

    def _keep(self, piece: bytes) -> None:
        if self._size + len(piece) > self._limit * UNPACKED:
            raise RefusedError(413, f"the body unpacks to more than {self._limit * UNPACKED} bytes", close=True)
        self._budget.take(len(piece))
        self._size += len(piece)
        if piece:
            self._parts.append(piece)

    def finish(self) -> bytes:
        """The whole body."""
        if self._gzip is not None and self._came and not self._gzip.eof:
            raise RefusedError(400, "the body's gzip ends too early", code=6, close=True)
        self._parts = [b"".join(self._parts)]
        return self._parts[0]

    def release(self) -> None:
        """Give the memory back."""
        self._budget.give(self._size)
        self._size = 0
        self._parts = []
