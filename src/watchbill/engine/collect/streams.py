"""What the receivers of byte streams (syslog, RELP) share: who may connect, how much of a record may be unfinished,
and that nothing is read while the ledger's queue is full.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
import termios
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import cast

from watchbill.engine.collect.listener import Listener, Peer, peer_of
from watchbill.engine.collect.origin import Origin, Origins
from watchbill.engine.collect.sink import Sink
from watchbill.engine.collect.tls import Tls

log = logging.getLogger(__name__)

CONNECTION_LIMIT = 5_000
#: Seconds a peer may leave a record unfinished, and after which an idle peer may be sent away for a new one.
UNFINISHED_LIMIT = 30.0
IDLE_LIMIT = 60.0
#: Unfinished records of all connections together; beyond it a new one is cut at TIGHT_LINE bytes.
UNFINISHED_BYTES = 64 << 20
TIGHT_LINE = 8 << 10
#: Seconds in which at the end is read what the kernel holds; a queue that stays full is not waited for any longer.
_LAST_LIMIT = 5.0


class StreamServer:
    """One listener and its connections."""

    def __init__(
        self,
        kind: str,
        sink: Sink,
        origins: Origins,
        where: tuple[str, int],
        make: Callable[[StreamServer], StreamConnection],
        *,
        limit: int,
        connections: int = 0,
        tls: Tls | None = None,
    ) -> None:
        self.kind = kind
        self.sink = sink
        self.origins = origins
        self.limit = limit
        self.connections: set[StreamConnection] = set()
        self.unfinished = 0
        self.refused = 0
        self._most = connections or CONNECTION_LIMIT
        self.listener = Listener(kind, sink, origins, where, lambda: make(self), tls=tls)

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.address

    @property
    def is_tight(self) -> bool:
        """Whether unfinished records take so much memory that new ones are cut early."""
        return self.unfinished >= UNFINISHED_BYTES

    async def start(self) -> None:
        """Listen. Raises ConfigError."""
        await self.listener.start()

    async def run(self) -> None:
        """Send slow, superfluous and no longer welcome peers away, until cancelled."""
        while True:
            await asyncio.sleep(UNFINISHED_LIMIT / 6)
            now = time.monotonic()
            self.listener.look_after()
            for connection in list(self.connections):
                if connection.began and now - connection.began > UNFINISHED_LIMIT and not connection.paused:
                    connection.end("left a record unfinished")
                elif why := self.listener.is_unwelcome(connection.peer):
                    connection.end(why)

    async def stop(self) -> None:
        """Close; what peers have sent so far is taken, and what had come of unfinished records is kept."""
        await self.listener.stop()
        deadline, unread = time.monotonic() + _LAST_LIMIT, self.connections
        # A peer that never pauses is read to the first moment at which the kernel holds nothing of it.
        while (unread := {one for one in unread if one.unread}) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for connection in list(self.connections):
            connection.end("")
        await asyncio.sleep(0)

    def admit(self, newcomer: StreamConnection, peer: Peer) -> bool:
        """Whether there is a place; the peer that has been idle longest gives its own up when it is long enough."""
        if why := self.listener.is_unwelcome(peer):
            self.listener.refusals.tell(peer.address, why)
            return False
        if len(self.connections) < self._most:
            return True
        idlest = min(self.connections, key=lambda connection: connection.heard)
        if newcomer.heard - idlest.heard > IDLE_LIMIT:
            idlest.end("gave its place to a new peer")
            return True
        self.refused += 1
        if self.refused == 1 or self.refused % 1000 == 0:
            log.warning("%s: %d connections, the most allowed; %d refused", self.kind, self._most, self.refused)
        return False


class StreamConnection(asyncio.Protocol):
    """One peer. A receiver says what it makes of the bytes (``take``) and of those that are left over (``rest``)."""

    __slots__ = ("_held", "_transport", "began", "heard", "origin", "paused", "peer", "server")

    def __init__(self, server: StreamServer) -> None:
        self.server = server
        self.origin: Origin | None = None
        self.peer = Peer("")
        self.heard = time.monotonic()
        #: When the record that is unfinished began, 0 when none is.
        self.began = 0.0
        self.paused = False
        self._held = 0
        self._transport: asyncio.Transport | None = None

    @abstractmethod
    def take(self, data: bytes) -> bool:
        """Take what has come; False when the queue is full now."""

    @abstractmethod
    def rest(self) -> None:
        """The peer is gone, or sent away."""

    def hold(self, pending: int, *, ended: bool) -> None:
        """Say how many bytes of an unfinished record are held, and whether records have ended before it."""
        self.server.unfinished += pending - self._held
        if not pending:
            self.began = 0.0
        elif ended or not self.began:
            self.began = self.heard
        self._held = pending

    @property
    def unread(self) -> int:
        """How many bytes the kernel holds that have not been read."""
        if self._transport is None or self._transport.is_closing():
            return 0
        number = self._transport.get_extra_info("socket").fileno()
        return struct.unpack("i", fcntl.ioctl(number, termios.FIONREAD, bytes(4)))[0] if number >= 0 else 0

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        try:
            peer = peer_of(transport)
        except ValueError as error:
            self.server.listener.refusals.tell("", f"the certificate cannot be read: {error}")
            peer = None
        if peer is None or not self.server.admit(self, peer):
            self._transport.abort()
            return
        kind, origins = self.server.kind, self.server.origins
        self.peer = peer
        self.origin = origins.certified(kind, peer.identity) if peer.identity else origins.peer(kind, peer.address)
        self.origin.state = "connected"
        self.origin.reason = f"from {peer.address}" if peer.identity else ""
        self.origin.peers += 1
        self.server.connections.add(self)
        if self.server.sink.full:
            self._pause()

    def data_received(self, data: bytes) -> None:
        if self.origin is None:
            return
        self.heard = time.monotonic()
        if not self.take(data):
            self._pause()

    def _pause(self) -> None:
        if self._transport is not None and not self.paused:
            self.paused = True
            self._transport.pause_reading()
            self.server.sink.when_room(self._resume)

    def _resume(self) -> None:
        self.paused = False
        if self.server.sink.full:
            self.paused = True
            self.server.sink.when_room(self._resume)
        elif self._transport is not None and not self._transport.is_closing():
            self.began = self.began and time.monotonic()
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """The peer has said all; closing is the default that follows."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._finish()

    def end(self, why: str) -> None:
        if why and self.origin is not None:
            log.info("%s %s", self.origin.name, why)
            self.origin.error = why
        self._finish()
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        if self.origin is None:
            return
        self.rest()
        self.server.unfinished -= self._held
        self._held = 0
        self.server.connections.discard(self)
        self.origin.peers -= 1
        if not self.origin.peers:
            self.origin.state = "disconnected"
        self.origin = None
