"""Syslog over TCP (RFC 6587) and UDP (RFC 5426). Records are kept byte for byte; parsing comes later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
import time
from typing import cast

from watchbill.core.errors import ConfigError
from watchbill.engine.collect.framing import LINE_LIMIT, TRAILER, Framer
from watchbill.engine.collect.origin import Origin, Origins
from watchbill.engine.collect.sink import Sink

log = logging.getLogger(__name__)

CONNECTION_LIMIT = 5_000
#: Seconds a peer may leave a record unfinished, and after which an idle peer may be sent away for a new one.
UNFINISHED_LIMIT = 30.0
IDLE_LIMIT = 60.0
#: Unfinished records of all connections together; beyond it a new one is cut at TIGHT_LINE bytes.
UNFINISHED_BYTES = 64 << 20
TIGHT_LINE = 8 << 10

_UDP_BUFFER = 16 << 20
_UDP_BATCH = 512
_DATAGRAM = 65_536
_SO_RXQ_OVFL = 40 if sys.platform == "linux" else 0
_SO_RCVBUFFORCE = 33 if sys.platform == "linux" else 0


def bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """A bound socket, IPv4 or IPv6 ("::" takes both). Raises ConfigError that names the mend."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setblocking(False)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        raise ConfigError(
            f"syslog cannot listen on {host} port {port} ({name}): {error.strerror or error}",
            mend="set another port or host under [syslog] in watchbill.toml, or stop what uses it",
            retry=True,
        ) from None
    return sock


class SyslogTcp:
    """Listens for syslog over TCP. ``port`` 0 takes a free one; ``address`` tells which."""

    def __init__(
        self, sink: Sink, origins: Origins, host: str, port: int, *, limit: int = LINE_LIMIT, connections: int = 0
    ) -> None:
        self.sink = sink
        self.origins = origins
        self.limit = limit
        self.connections: set[_Connection] = set()
        self.unfinished = 0
        self.refused = 0
        self._most = connections or CONNECTION_LIMIT
        self._where = host, port
        self.address: tuple[str, int] = self._where
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        sock = bind(*self._where, socket.SOCK_STREAM)
        self.address = sock.getsockname()[:2]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), sock=sock, backlog=1024)

    async def run(self) -> None:
        """Send slow and superfluous peers away, until cancelled."""
        while True:
            await asyncio.sleep(UNFINISHED_LIMIT / 6)
            now = time.monotonic()
            for connection in list(self.connections):
                if connection.began and now - connection.began > UNFINISHED_LIMIT and not connection.paused:
                    connection.end("left a record unfinished")

    async def stop(self) -> None:
        """Close; what peers have sent so far is taken, and what had come of unfinished records is kept."""
        if self._server is not None:
            self._server.close()
            await asyncio.sleep(0.05)
        for connection in list(self.connections):
            connection.end("")
        await asyncio.sleep(0)

    def admit(self, newcomer: _Connection) -> bool:
        """Whether there is a place; the peer that has been idle longest gives its own up when it is long enough."""
        if len(self.connections) < self._most:
            return True
        idlest = min(self.connections, key=lambda connection: connection.heard)
        if newcomer.heard - idlest.heard > IDLE_LIMIT:
            idlest.end("gave its place to a new peer")
            return True
        self.refused += 1
        if self.refused == 1 or self.refused % 1000 == 0:
            log.warning("syslog-tcp: %d connections, the most allowed; %d refused", self._most, self.refused)
        return False


class _Connection(asyncio.Protocol):
    __slots__ = ("_framer", "_held", "_origin", "_server", "_transport", "began", "heard", "paused")

    def __init__(self, server: SyslogTcp) -> None:
        self._server = server
        self._framer = Framer(server.limit)
        self._held = 0
        self._transport: asyncio.Transport | None = None
        self._origin: Origin | None = None
        self.heard = time.monotonic()
        #: When the record that is unfinished began, 0 when none is.
        self.began = 0.0
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if not peer or not self._server.admit(self):
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._origin = self._server.origins.peer("syslog-tcp", peer[0])
        self._origin.state = "connected"
        self._origin.peers += 1
        self._server.connections.add(self)
        if self._server.sink.full:
            self._pause()

    def data_received(self, data: bytes) -> None:
        server = self._server
        if self._origin is None:
            return
        self.heard = time.monotonic()
        framer = self._framer
        frames = framer.feed(data, None if server.unfinished < UNFINISHED_BYTES else TIGHT_LINE)
        held = framer.pending
        server.unfinished += held - self._held
        if not held:
            self.began = 0.0
        elif frames or not self.began:
            self.began = self.heard
        self._held = held
        if frames and not self._give(frames):
            self._pause()

    def _give(self, frames: list[bytes]) -> bool:
        origin = self._origin
        if origin is None:
            return True
        cuts, self._framer.cuts = self._framer.cuts, []
        return self._server.sink.offer(origin, frames, cuts=cuts)

    def _pause(self) -> None:
        if self._transport is not None and not self.paused:
            self.paused = True
            self._transport.pause_reading()
            self._server.sink.when_room(self._resume)

    def _resume(self) -> None:
        self.paused = False
        if self._server.sink.full:
            self.paused = True
            self._server.sink.when_room(self._resume)
        elif self._transport is not None and not self._transport.is_closing():
            self.began = self.began and time.monotonic()
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """The peer has said all; closing is the default that follows."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._finish()

    def end(self, why: str) -> None:
        if why and self._origin is not None:
            log.info("%s %s", self._origin.name, why)
            self._origin.error = why
        self._finish()
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        if self._origin is None:
            return
        if frames := self._framer.finish():
            self._give(frames)
        self._server.unfinished -= self._held
        self._held = 0
        self._server.connections.discard(self)
        self._origin.peers -= 1
        if not self._origin.peers:
            self._origin.state = "disconnected"
        self._origin = None


class SyslogUdp:
    """Listens for syslog over UDP: one datagram, one record. Drops by the kernel and by us are counted."""

    def __init__(self, sink: Sink, origins: Origins, host: str, port: int) -> None:
        self._sink = sink
        self._origins = origins
        self._where = host, port
        self.address: tuple[str, int] = self._where
        self._socket: socket.socket | None = None
        self._kernel_drops = 0

    async def start(self) -> None:
        sock = bind(*self._where, socket.SOCK_DGRAM)
        self.address = sock.getsockname()[:2]
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER)
        if _SO_RCVBUFFORCE:
            with contextlib.suppress(OSError):  # needs CAP_NET_ADMIN
                sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _UDP_BUFFER)
        if _SO_RXQ_OVFL:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock, self._readable)

    async def stop(self) -> None:
        """Take what the kernel still holds, then close."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            while self._take():
                pass
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        self._take()

    def _take(self) -> int:
        """Read a batch of datagrams and give them to the sink, grouped by peer."""
        sock = self._socket
        if sock is None:
            return 0
        by_peer: dict[str, list[bytes]] = {}
        ancillary: list[tuple[int, int, bytes]] = []
        taken = 0
        receive = sock.recvmsg
        while taken < _UDP_BATCH:
            try:
                data, ancillary, _, peer = receive(_DATAGRAM, 64)
            except BlockingIOError:
                break
            except OSError as error:  # an ICMP error of some peer; the socket stays good
                log.debug("syslog-udp: %s", error)
                break
            taken += 1
            if data := data.rstrip(TRAILER):
                if (raws := by_peer.get(peer[0])) is None:
                    raws = by_peer[peer[0]] = []
                raws.append(data)
        full = self._sink.full
        for address, raws in by_peer.items():
            origin = self._origins.peer("syslog-udp", address)
            if full:
                self._sink.drop(origin, len(raws), "the queue is full")
            else:
                origin.state = "heard"
                self._sink.offer(origin, raws)
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
                self._count_kernel_drops(struct.unpack("I", value[:4])[0])
        return taken

    def _count_kernel_drops(self, total: int) -> None:
        """The kernel tells how many datagrams it has dropped so far; it cannot say whose they were."""
        if lost := (total - self._kernel_drops) & 0xFFFFFFFF:
            self._kernel_drops = total
            host, port = self.address
            origin = self._origins.add(f"syslog-udp:{host}:{port}", "syslog-udp", state="listening")
            self._sink.drop(origin, lost, "the kernel's receive buffer was full")
