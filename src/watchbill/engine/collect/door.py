"""The local door: a Unix socket by which programs of this installation hand in records and learn when they are durable.

Frames, all numbers big-endian: u8 kind, u32 length, payload.
    client  H  JSON {"watchbill_door": 1, "source", "transport", "facts": {…}}     first, and again for another source
            B  u32 count, count x u32 lengths, the records one after the other
            C  JSON [length, kept, sha256] of a record of the next batch that the client cut
    server  O  empty: the hello was understood
            A  u64 records of this connection that are durable, u64 durable head of the ledger
            E  JSON {"what", "mend"}, then the connection ends
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Self

import orjson

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect.framing import LINE_LIMIT, Cut
from watchbill.engine.collect.origin import Origin, Origins
from watchbill.engine.collect.sink import Sink

log = logging.getLogger(__name__)

FRAME_LIMIT = 24 << 20
#: Batches that a client sends ahead of their acknowledgement.
WINDOW = 8
_HEAD = struct.Struct(">cI")
_ACK = struct.Struct(">QQ")
_TIMEOUT = 120.0


def pack(raws: Sequence[bytes]) -> bytes:
    """Spell records as the payload of a batch."""
    return struct.pack(f">I{len(raws)}I", len(raws), *map(len, raws)) + b"".join(raws)


def unpack(payload: bytes) -> list[bytes]:
    """Read the payload of a batch. Raises ValueError when it contradicts itself."""
    try:
        (count,) = struct.unpack_from(">I", payload)
        lengths = struct.unpack_from(f">{count}I", payload, 4)
    except struct.error as error:
        raise ValueError(str(error)) from None
    edges = list(accumulate(lengths, initial=4 + 4 * count))
    if edges[-1] != len(payload):
        raise ValueError(f"{len(payload)} bytes where {edges[-1]} are announced")
    return [payload[start:stop] for start, stop in pairwise(edges)]


class Door:
    """The server's side."""

    def __init__(self, path: Path, sink: Sink, origins: Origins, *, limit: int = LINE_LIMIT) -> None:
        self._path = path
        self._sink = sink
        self._origins = origins
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._taking = True

    async def start(self) -> None:
        """Listen, for the owner alone. Raises WatchbillError when the socket cannot be made."""
        self._path.unlink(missing_ok=True)
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            _at(self._path, sock.bind)
            self._path.chmod(0o600)
        except OSError as error:
            raise WatchbillError(f"the local door {self._path} cannot be opened: {error}", retry=True) from None
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=1 << 20)

    def stop_taking(self) -> None:
        """Take no more; what was taken is still acknowledged."""
        self._taking = False

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        visit = _Visit(self._sink, self._origins, writer, self._limit)
        try:
            while True:
                kind, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
                if length > FRAME_LIMIT:
                    raise ValueError(f"a frame of {length} bytes is more than {FRAME_LIMIT}")  # noqa: TRY301 - answered below
                payload = await reader.readexactly(length)
                if not self._taking:
                    await asyncio.Event().wait()
                await visit.take(kind, payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (ValueError, TypeError, KeyError) as error:
            mend = "client and server must be of the same release"
            visit.answer(b"E", orjson.dumps({"what": f"the door does not understand: {error}", "mend": mend}))
        except asyncio.CancelledError:
            log.debug("a client of the door is sent away: the process ends")
        finally:
            visit.leave()
            if task is not None:
                self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


class _Visit:
    """One client's stay."""

    def __init__(self, sink: Sink, origins: Origins, writer: asyncio.StreamWriter, limit: int) -> None:
        self._sink = sink
        self._origins = origins
        self._writer = writer
        self._limit = limit
        self._origin: Origin | None = None
        self._cuts: list[Cut] = []
        self._durable = 0

    async def take(self, kind: bytes, payload: bytes) -> None:
        if kind == b"H":
            self._greet(orjson.loads(payload))
        elif kind == b"C":
            length, kept, sha256 = orjson.loads(payload)
            self._cuts.append(Cut(int(length), int(kept), str(sha256)))
        elif kind == b"B" and self._origin is not None:
            raws = unpack(payload)
            if any(len(raw) > max(self._limit, LINE_LIMIT) for raw in raws):
                raise ValueError(f"a record is longer than {self._limit} bytes; the client is to cut it")
            cuts, self._cuts = self._cuts, []
            await self._sink.put(self._origin, raws, partial(self._acknowledge, len(raws)), cuts)
        else:
            raise ValueError(f"{kind!r} is not expected here")

    def _greet(self, hello: dict[str, object]) -> None:
        facts = hello["facts"]
        if hello["watchbill_door"] != 1 or not isinstance(facts, dict):
            raise ValueError("unknown version")
        self.leave()
        named = {str(key): str(value) for key, value in facts.items()}
        self._origin = self._origins.add(str(hello["source"]), str(hello["transport"]), **named)
        self._origin.state = "connected"
        self._origin.peers += 1
        self.answer(b"O", b"")

    def _acknowledge(self, count: int, head: int) -> None:
        self._durable += count
        self.answer(b"A", _ACK.pack(self._durable, head))

    def answer(self, kind: bytes, payload: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(_HEAD.pack(kind, len(payload)) + payload)

    def leave(self) -> None:
        if self._origin is not None:
            self._origin.peers -= 1
            if not self._origin.peers:
                self._origin.state = "finished"
            self._origin = None


class DoorClient:
    """Hands records in, for programs without an event loop.

    >>> with DoorClient.connect(data.run / "door.sock") as door:  # doctest: +SKIP
    ...     door.hello("web-01", "replay", format="nginx")
    ...     door.send([b"record", b"record"])
    ...     durable = door.flush()
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unacknowledged = 0
        #: Records of this connection that are durable, and the ledger's head that covers them.
        self.durable = 0
        self.head = 0

    @classmethod
    def connect(cls, path: Path) -> Self:
        """Open the door. Raises OSError when nobody listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(_TIMEOUT)
        try:
            _at(path, sock.connect)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def hello(self, source: str, transport: str, **facts: str) -> None:
        """Say for which source this client speaks from now on. Raises WatchbillError when it is refused."""
        self.flush()
        named = {key: value for key, value in facts.items() if value}
        self._send(b"H", orjson.dumps({"watchbill_door": 1, "source": source, "transport": transport, "facts": named}))
        self._answer(b"O")

    def send(self, raws: Sequence[bytes], cuts: Sequence[Cut] = ()) -> None:
        """Hand in a batch of at most some megabytes; waits when too many are not acknowledged yet."""
        for cut in cuts:
            self._send(b"C", orjson.dumps(list(cut)))
        if not (raws or cuts):
            return
        self._send(b"B", pack(raws))
        self._unacknowledged += 1
        while self._unacknowledged >= WINDOW:
            self._acknowledged()

    def flush(self) -> int:
        """Wait until everything sent is durable; return how many records that are. Raises WatchbillError."""
        while self._unacknowledged:
            self._acknowledged()
        return self.durable

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _acknowledged(self) -> None:
        self.durable, self.head = _ACK.unpack(self._answer(b"A"))
        self._unacknowledged -= 1

    def _send(self, kind: bytes, payload: bytes) -> None:
        try:
            self._socket.sendall(_HEAD.pack(kind, len(payload)) + payload)
        except OSError as error:
            raise _gone(error) from None

    def _answer(self, wanted: bytes) -> bytes:
        kind, length = _HEAD.unpack(self._exactly(_HEAD.size))
        payload = self._exactly(length)
        if kind == b"E":
            said = orjson.loads(payload)
            raise WatchbillError(said["what"], mend=said["mend"])
        if kind != wanted:
            raise WatchbillError(f"the door answered {kind!r}", mend="client and server must be of the same release")
        return payload

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self._socket.recv(count - len(parts))
            except OSError as error:
                raise _gone(error) from None
            if not part:
                raise _gone(None)
            parts += part
        return bytes(parts)


def _gone(error: OSError | None) -> WatchbillError:
    why = f" ({error})" if error else ""
    return WatchbillError(
        f"the receive process went away before everything was acknowledged{why}",
        mend="see its log, then hand in again what was not acknowledged",
        retry=True,
    )


def _at(path: Path, call: Callable[[str], None]) -> None:
    """Call bind or connect with a path, however long it is: addresses end at 107 bytes, so go by the folder."""
    if len(os.fsencode(path)) < 100:
        call(str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
