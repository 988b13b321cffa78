"""Bodies from strangers: as long as agreed, unpacked while they come, never more in memory than all may have."""

from __future__ import annotations

from watchbill.engine.collect.push.messages import RefusedError
from watchbill.engine.collect.push.packings import Gzip, Packing, Zstd

#: Bodies of all requests together, unpacked.
HELD_LIMIT = 64 << 20
#: How much longer a body may be once it is unpacked.
UNPACKED = 4


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
        self._limit = limit
        self._budget = budget
        self._encoding = encoding
        self._packing = self._packed(encoding)
        self._parts: list[bytes] = []
        self._came = 0
        self._size = 0

    def _packed(self, encoding: str) -> Packing | None:
        match encoding:
            case "" | "identity":
                return None
            case "gzip" | "x-gzip":
                return Gzip()
            case "zstd":
                return Zstd(self._limit * UNPACKED, self._budget.take, self._budget.give)
        what = f"the content encoding {encoding[:40]!r} is not understood; use gzip or zstd"
        raise RefusedError(415, what, close=True)

    def feed(self, data: bytes) -> None:
        self._came += len(data)
        if self._came > self._limit:
            raise RefusedError(413, f"the body is longer than {self._limit} bytes", close=True)
        if self._packing is None:
            self._keep(data)
            return
        for piece in self._packing.unpack(data):
            self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        if self._size + len(piece) > self._limit * UNPACKED:
            raise RefusedError(413, f"the body unpacks to more than {self._limit * UNPACKED} bytes", close=True)
        self._budget.take(len(piece))
        self._size += len(piece)
        if piece:
            self._parts.append(piece)

    def finish(self) -> bytes:
        """The whole body."""
        if self._packing is not None and not self._packing.whole:
            raise RefusedError(400, f"the body's {self._encoding} ends too early", code=6, close=True)
        self._parts = [b"".join(self._parts)]
        return self._parts[0]

    def release(self) -> None:
        """Give the memory back."""
        if self._packing is not None:
            self._packing.close()
        self._budget.give(self._size)
        self._size = 0
        self._parts = []
