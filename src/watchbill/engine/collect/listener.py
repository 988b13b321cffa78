"""A listening socket of a receiver: accepts, does the TLS handshake in bounded time, and tells of whom it refused."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from watchbill.core.errors import ConfigError
from watchbill.engine.collect import notes
from watchbill.engine.collect.origin import Origin, Origins
from watchbill.engine.collect.sink import Sink
from watchbill.engine.collect.tls import Identity, Tls

log = logging.getLogger(__name__)

#: Seconds for a TLS handshake, and how many may be under way.
HANDSHAKE_LIMIT = 10.0
HANDSHAKES = 512
#: Seconds that a handshake which is under way at the end still has.
_LAST_LIMIT = 1.0
_BACKLOG = 1024
#: Refused peers that are told one by one in a minute; the others are counted.
TOLD_EACH_MINUTE = 20
_MINUTE = 60.0


def bind(host: str, port: int, kind: socket.SocketKind, section: str = "syslog") -> socket.socket:
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
            f"{section} cannot listen on {host} port {port} ({name}): {error.strerror or error}",
            mend=f"set another port or host under [{section}] in watchbill.toml, or stop what uses it",
            retry=True,
        ) from None
    return sock


def keep_alive(sock: socket.socket) -> None:
    """Have the kernel find out within two minutes that a silent peer is gone (a half-open connection)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Peer(NamedTuple):
    """Who is at the other end; ``identity`` when it showed a certificate."""

    address: str
    identity: Identity | None = None


def peer_of(transport: asyncio.BaseTransport) -> Peer | None:
    """The peer of a connection, None when it is gone already."""
    name = transport.get_extra_info("peername")
    if not name:
        return None
    address = str(name[0]).partition("%")[0].removeprefix("::ffff:")
    tls = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return Peer(address, Identity.of(der) if der else None)


class Refusals:
    """Tells of refused peers by internal events, as many as one wants to read; the rest as a number."""

    def __init__(self, sink: Sink, origin: Origin) -> None:
        self._sink = sink
        self._origin = origin
        self._window = 0.0
        self._told = 0
        self._untold = 0
        self.count = 0

    def tell(self, address: str, reason: str) -> None:
        self.count += 1
        self.flush()
        if self._told < TOLD_EACH_MINUTE:
            self._told += 1
            log.warning("%s refused %s: %s", self._origin.transport, address, reason)
            self._sink.note(notes.refused(self._sink.now(), self._origin, address, reason[:200]))
        else:
            self._untold += 1

    def flush(self) -> None:
        """Tell how many were left out, once their minute is over."""
        now = time.monotonic()
        if now - self._window >= _MINUTE:
            if self._untold:
                reason = f"{self._untold} more were refused within a minute"
                self._sink.note(notes.refused(self._sink.now(), self._origin, "", reason, count=self._untold))
            self._window, self._told, self._untold = now, 0, 0


class Listener:
    """Accepts TCP connections, with or without TLS, and gives each a protocol of its own."""

    def __init__(
        self,
        kind: str,
        sink: Sink,
        origins: Origins,
        where: tuple[str, int],
        make: Callable[[], asyncio.Protocol],
        *,
        tls: Tls | None = None,
        section: str = "syslog",
    ) -> None:
        self.origin = origins.add(f"receiver:{kind}", "receiver")
        self.refusals = Refusals(sink, Origin(f"receiver:{kind}", kind))
        self.tls = tls
        self.address: tuple[str, int] = where
        self._kind, self._section = kind, section
        self._where = where
        self._make = make
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(HANDSHAKES)

    async def start(self) -> None:
        """Listen. Raises ConfigError when the port is taken or TLS has no certificates."""
        if self.tls is not None:
            self.tls.context()
        sock = bind(*self._where, socket.SOCK_STREAM, self._section)
        sock.listen(_BACKLOG)
        self.address = sock.getsockname()[:2]
        self._socket = sock
        self._room = asyncio.Semaphore(HANDSHAKES)
        self._accepting = asyncio.create_task(self._accept(sock), name=f"accept {self._kind}")

    async def stop(self) -> None:
        """Let in who has knocked before, accept no more; connections stay."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._accepting = None
        if self._socket is not None:
            with contextlib.suppress(OSError):  # nobody waits any more
                for _ in range(_BACKLOG):
                    self._take_in(*self._socket.accept())
            self._socket.close()
            self._socket = None
        if self._entering:
            _, late = await asyncio.wait(self._entering, timeout=_LAST_LIMIT)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def look_after(self) -> None:
        """What is due every few seconds: take up new certificates, and tell what was not told yet."""
        self.refusals.flush()
        if self.tls is not None:
            self.tls.context()
            self.origin.error = self.tls.trouble

    def is_unwelcome(self, peer: Peer) -> str:
        """Why this peer may not send ("" when it may). What its certificate's chain says, the handshake has judged."""
        if self.tls is None or peer.identity is None:
            return ""
        if self.tls.is_revoked(peer.identity):
            return f"the certificate of {peer.identity.name} was revoked"
        return "" if self.tls.may(peer.identity) else f"{peer.identity.name} is none of the names that may send"

    async def _accept(self, sock: socket.socket) -> None:
        while True:
            await self._room.acquire()
            try:
                await _knock(sock)
                self._take_in(*sock.accept())
            except BlockingIOError:  # who knocked has left again
                self._room.release()
            except OSError as error:  # no descriptors left: those who are there go on
                self._room.release()
                log.warning("%s cannot accept: %s", self._kind, error)
                await asyncio.sleep(0.5)
            except BaseException:
                self._room.release()
                raise

    def _take_in(self, peer: socket.socket, address: tuple[Any, ...]) -> None:
        peer.setblocking(False)
        task = asyncio.create_task(self._enter(peer, str(address[0])))
        self._entering.add(task)
        task.add_done_callback(self._entered)

    def _entered(self, task: asyncio.Task[None]) -> None:
        self._entering.discard(task)
        self._room.release()

    async def _enter(self, sock: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            keep_alive(sock)
            if self.tls is None:
                await loop.connect_accepted_socket(self._make, sock)
                return
            await loop.connect_accepted_socket(
                self._make, sock, ssl=self.tls.context(), ssl_handshake_timeout=HANDSHAKE_LIMIT, ssl_shutdown_timeout=5
            )
        except (OSError, ConfigError, asyncio.CancelledError) as error:
            with contextlib.suppress(OSError):
                sock.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            if self.tls is not None:
                self.refusals.tell(address.removeprefix("::ffff:"), _reason(error))


async def _knock(sock: socket.socket) -> None:
    """Wait until there is somebody to accept. When this is cancelled nobody is lost, as with ``loop.sock_accept``."""
    knocked, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sock, knocked.set)
    try:
        await knocked.wait()
    finally:
        loop.remove_reader(sock)


def _reason(error: Exception) -> str:
    """What went wrong in a handshake, in OpenSSL's words without its file and line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS handshake failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, ConnectionAbortedError):
        return f"TLS handshake not done within {HANDSHAKE_LIMIT:.0f} seconds"
    return f"TLS handshake failed: {str(error) or type(error).__name__}"
