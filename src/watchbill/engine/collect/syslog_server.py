"""Syslog over TCP (RFC 6587), TLS (RFC 5425) and UDP (RFC 5426). Records are kept byte for byte; parsing comes later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys

from watchbill.engine.collect.framing import LINE_LIMIT, TRAILER, Framer
from watchbill.engine.collect.listener import bind
from watchbill.engine.collect.origin import Origins
from watchbill.engine.collect.sink import Sink
from watchbill.engine.collect.streams import TIGHT_LINE, StreamConnection, StreamServer
from watchbill.engine.collect.tls import Tls

log = logging.getLogger(__name__)

_UDP_BUFFER = 16 << 20
_UDP_BATCH = 512
_DATAGRAM = 65_536
_SO_RXQ_OVFL = 40 if sys.platform == "linux" else 0
_SO_RCVBUFFORCE = 33 if sys.platform == "linux" else 0


class SyslogTcp(StreamServer):
    """Listens for syslog over TCP, or over TLS. ``port`` 0 takes a free one; ``address`` tells which."""

    def __init__(
        self,
        sink: Sink,
        origins: Origins,
        host: str,
        port: int,
        *,
        limit: int = LINE_LIMIT,
        connections: int = 0,
        tls: Tls | None = None,
    ) -> None:
        kind = "syslog-tcp" if tls is None else "syslog-tls"
        super().__init__(kind, sink, origins, (host, port), _Connection, limit=limit, connections=connections, tls=tls)


class _Connection(StreamConnection):
    __slots__ = ("_framer",)

    def __init__(self, server: StreamServer) -> None:
        super().__init__(server)
        self._framer = Framer(server.limit)

    def take(self, data: bytes) -> bool:
        frames = self._framer.feed(data, TIGHT_LINE if self.server.is_tight else None)
        self.hold(self._framer.pending, ended=bool(frames))
        return self._give(frames) if frames else True

    def rest(self) -> None:
        """Keep what had come of a record: nobody will send it again."""
        if frames := self._framer.finish():
            self._give(frames)

    def _give(self, frames: list[bytes]) -> bool:
        if self.origin is None:
            return True
        cuts, self._framer.cuts = self._framer.cuts, []
        return self.server.sink.offer(self.origin, frames, cuts=cuts)


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
