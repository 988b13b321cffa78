"""The receiving process: everything that comes in, by whatever way, is in the ledger before it is acknowledged.

    syslog TCP, UDP ─┐
    followed files  ─┼─► sink (bounded queue) ─► ledger shard 0 ─► acknowledgements, positions
    journal, door   ─┘

A receiver that fails is started again, more and more slowly, while the others go on. What the operator should know
stands in run/collect-status.json, written anew at most twice a second.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson

from watchbill.core.clock import Clock
from watchbill.core.config import Config
from watchbill.core.errors import LedgerError, WatchbillError
from watchbill.core.paths import DataDir
from watchbill.engine.collect import (
    Discovery,
    Door,
    Follower,
    Journal,
    Origin,
    Origins,
    Positions,
    Relp,
    Sink,
    StreamServer,
    SyslogTcp,
    SyslogUdp,
    Tls,
    TlsFiles,
    discover,
    expand,
    replace,
)
from watchbill.engine.collect.journal import KEY as JOURNAL
from watchbill.ledger import Reader, Writer
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path

if TYPE_CHECKING:
    from watchbill.engine.collect.push import Push

log = logging.getLogger(__name__)

SHARD = 0
_LOOK_FOR_FILES = 5.0
_DISCOVER = 60.0
_LONGEST_RECORD = 15 << 20
_DESCRIPTORS = 8_192
#: The status is padded, so that it can grow a little in its place.
_STATUS_BLOCK = 8_192


class Followed(NamedTuple):
    """A path that is to be followed, and what is known of it."""

    path: Path
    name: str
    format: str


def run(data: DataDir, config: Config, clock: Clock, stop: threading.Event) -> None:
    """Receive until told to stop; then commit what was taken and return. Raises ConfigError, LedgerError."""
    asyncio.run(receive(data, config, clock, stop))


async def receive(data: DataDir, config: Config, clock: Clock, stop: threading.Event) -> None:
    """The same for a program that has an event loop."""
    _raise_descriptors()
    writer = await _open_writer(data, clock, stop)
    if writer is None:
        return
    receivers = _Receivers(data, config, clock, Sink(writer, clock))
    await receivers.start()
    try:
        while not stop.is_set():
            await receivers.save()
            for _ in range(5):
                await asyncio.sleep(0.1)
                if stop.is_set():
                    break
    finally:
        await receivers.stop()


async def _open_writer(data: DataDir, clock: Clock, stop: threading.Event) -> Writer | None:
    """Open the shard; while a replay without server has it, wait."""
    told = False
    while not stop.is_set():
        try:
            return await asyncio.to_thread(Writer.open, data.ledger, shard=SHARD, keys=data.keys, clock=clock)
        except LedgerError as error:
            if not error.retry:
                raise
            if not told:
                log.warning("waiting for the ledger: %s", error)
                told = True
            await asyncio.sleep(0.3)
    return None


def tls_files(data: DataDir, config: Config, *, with_clients: bool) -> TlsFiles:
    """The receivers' certificates: those that the configuration names, else those that were made here."""
    own, tls = data.receivers, config.tls
    client_ca = Path(tls.client_ca) if tls.client_ca else own / "ca.pem"
    crl = Path(tls.client_crl) if tls.client_crl else None if tls.client_ca else own / "revoked.pem"
    return TlsFiles(
        Path(tls.certificate) if tls.certificate else own / "server.pem",
        Path(tls.key) if tls.key else own / "server.key",
        client_ca if with_clients else None,
        crl if with_clients else None,
        tls.client_names,
    )


def _raise_descriptors() -> None:
    """Thousands of peers need as many descriptors; the soft limit is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Receivers:
    def __init__(self, data: DataDir, config: Config, clock: Clock, sink: Sink) -> None:
        self._data = data
        self._config = config
        self._clock = clock
        self._sink = sink
        self._origins = Origins()
        self._positions = Positions(data.root / "collect.json")
        self._limit = min(config.collect.max_record, _LONGEST_RECORD)
        self._tasks: set[asyncio.Task[None]] = set()
        self._followed: set[Path] = set()
        self._found: list[Discovery] = []
        self._status = b""
        self._saving = asyncio.Lock()
        self._trouble = ""
        self._udp = SyslogUdp(sink, self._origins, config.syslog.host, config.syslog.udp_port)
        self._servers: list[StreamServer | Push] = [*self._stream_servers(), *self._push_server()]
        self._door = Door(data.run / "door.sock", sink, self._origins, limit=self._limit)

    def _stream_servers(self) -> list[StreamServer]:
        """Syslog over TCP and TLS, and RELP, as far as they have ports."""
        syslog = self._config.syslog
        servers: list[StreamServer] = []
        if syslog.tcp_port:
            servers.append(SyslogTcp(self._sink, self._origins, syslog.host, syslog.tcp_port, limit=self._limit))
        if not (syslog.tls_port or syslog.relp_port):
            return servers
        tls = Tls(tls_files(self._data, self._config, with_clients=self._config.tls.client_certificates))
        if syslog.tls_port:
            where = syslog.host, syslog.tls_port
            servers.append(SyslogTcp(self._sink, self._origins, *where, limit=self._limit, tls=tls))
        if syslog.relp_port:
            where = syslog.host, syslog.relp_port
            inside = tls if syslog.relp_tls else None
            servers.append(Relp(self._sink, self._origins, *where, limit=self._limit, tls=inside))
        return servers

    def _push_server(self) -> list[Push]:
        """HTTP push, when it has a port; what it needs is loaded only then."""
        push = self._config.push
        if not push.port:
            return []
        from watchbill.engine.collect.push import Push, Tokens

        tls = Tls(tls_files(self._data, self._config, with_clients=False)) if push.wants_tls else None
        tokens = Tokens(self._data.receivers / "tokens.json")
        checkpoints = TileReader(shard_path(self._data.ledger, SHARD) / "log")
        where = push.host, push.port
        bounds = {"limit": self._limit, "max_body": push.max_body}
        return [
            Push(self._sink, self._origins, where, tokens, checkpoints, tls=tls, positions=self._positions, **bounds)
        ]

    async def start(self) -> None:
        self._sink.start()
        await self._door.start()
        for server in self._servers:
            self._guard(server.kind, partial(self._listen, server))
        if self._config.syslog.udp_port:
            self._guard("syslog-udp", self._listen_udp)
        self._guard("files", self._watch_files)

    async def stop(self) -> None:
        """End the receivers, then commit what they gave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in self._servers))
        await self._udp.stop()
        self._door.stop_taking()
        committed = await self._sink.stop()
        await self._door.stop()
        await self.save()
        if not committed:
            log.error("the ledger did not take everything: %s", self._sink.trouble)

    async def save(self) -> None:
        """Write positions and status, if they have changed. A full disk is shown and waited for."""
        async with self._saving:
            await self._save()

    async def _save(self) -> None:
        content = self._positions.snapshot()
        status = self._status_now()
        try:
            if content is not None:
                await asyncio.to_thread(self._positions.write, content)
            if status != self._status:
                await asyncio.to_thread(self._write_status, status)
                self._status = status
            self._trouble = ""
        except OSError as error:
            self._positions.changed()
            if self._trouble != str(error):
                log.error("positions and status cannot be written: %s", error)  # noqa: TRY400 - the text says it all
                self._trouble = str(error)

    def _write_status(self, status: bytes) -> None:
        path = self._data.run / "collect-status.json"
        content = b'{"at":%d,' % self._clock.now() + status[1:]
        content += b" " * (-len(content) % _STATUS_BLOCK)
        try:
            replace(path, content, durable=False)
        except OSError:
            # A full disk is just what the operator must be told of: use the place that the old status has.
            if not path.exists() or path.stat().st_size < len(content):
                raise
            with path.open("r+b") as old:
                old.write(content.ljust(path.stat().st_size))

    def _status_now(self) -> bytes:
        return orjson.dumps(
            {
                "pid": os.getpid(),
                "ledger": {"head": self._sink.head, "queued_bytes": self._sink.queued, "trouble": self._sink.trouble},
                "positions": {"trouble": self._trouble},
                "connections": {
                    "open": sum(len(server.connections) for server in self._servers),
                    "refused": sum(server.refused + server.listener.refusals.count for server in self._servers),
                },
                "sources": self._origins.statuses(),
                "looked_for": [found._asdict() for found in self._found],
            }
        )

    def _guard(self, name: str, work: Callable[[], Awaitable[None]], origin: Origin | None = None) -> None:
        """Keep a receiver running, whatever happens in it."""
        if origin is None:
            origin = self._origins.add(f"receiver:{name}", "receiver", state="starting")

        async def keep() -> None:
            pause = 1.0
            while True:
                begun = asyncio.get_running_loop().time()
                try:
                    await work()
                except WatchbillError as error:
                    log.warning("%s: %s", name, error)
                    origin.reason = str(error)
                except Exception as error:  # a receiver's own fault must not end the others
                    log.exception("%s failed and starts again", name)
                    origin.reason = f"{type(error).__name__}: {error}"
                origin.state, origin.error = "failed", origin.reason
                if asyncio.get_running_loop().time() - begun > 60:
                    pause = 1.0
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60.0)

        task = asyncio.create_task(keep(), name=name)
        self._tasks.add(task)

    async def _listen(self, server: StreamServer | Push) -> None:
        try:
            await server.start()
            host, port = server.address
            log.info("listening on %s port %d (%s)", host, port, server.kind)
            self._listening(server.kind, host, port)
            await server.run()
        finally:
            await server.listener.stop()

    async def _listen_udp(self) -> None:
        await self._udp.start()
        host, port = self._udp.address
        log.info("listening on %s port %d (syslog-udp)", host, port)
        self._listening("syslog-udp", host, port)
        await asyncio.Event().wait()

    def _listening(self, name: str, host: str, port: int) -> None:
        origin = self._origins.add(f"receiver:{name}", "receiver", state="listening")
        origin.reason = f"{host} port {port}"

    async def _watch_files(self) -> None:
        """Follow what is configured and what is found, also when it comes later."""
        first = True
        next_discovery = 0.0
        while True:
            now = asyncio.get_running_loop().time()
            if self._config.collect.discover and now >= next_discovery:
                self._found = await asyncio.to_thread(discover)
                next_discovery = now + _DISCOVER
            wanted = self._wanted()
            # A journal that becomes readable later waits for the next start: its records may be followed as files now.
            journal = first and any(found.kind == "journald" and found.state == "found" for found in self._found)
            if wanted or journal:
                await self._follow(wanted, journal=journal)
            self._origins.add("receiver:files", "receiver", state="watching").reason = ""
            first = False
            await asyncio.sleep(_LOOK_FOR_FILES)

    def _wanted(self) -> list[Followed]:
        """The paths that are not followed yet; what is configured wins over what is found."""
        wanted = [
            Followed(path.absolute(), (file.name if path == Path(file.path) else "") or str(path), file.format)
            for file in self._config.collect.files
            for path in expand(file.path)
        ]
        wanted += [
            Followed(Path(found.path), found.path, found.format)
            for found in self._found
            if found.kind == "file" and found.state in {"found", "unreadable"} and not Path(found.path).is_dir()
        ]
        fresh = []
        for item in wanted:
            real = Path(os.path.realpath(item.path))
            if real not in self._followed:
                self._followed.add(real)
                fresh.append(item)
        return fresh

    async def _follow(self, wanted: list[Followed], *, journal: bool) -> None:
        sources = [(str(item.path), item.name, "file") for item in wanted]
        if journal:
            sources.append((JOURNAL, JOURNAL, JOURNAL))
        for key, _, _ in sources:
            if not self._positions.get(key):
                self._positions.set(key, {}, self._sink.head)
        await self.save()
        stored = await self._stored_since(sources)
        for item in wanted:
            facts = {"path": str(item.path)} | ({"format": item.format} if item.format else {})
            origin = self._origins.add(item.name, "file", state="starting", **facts)
            make = partial(Follower, item.path, origin, self._sink, self._positions, limit=self._limit)
            source = str(item.path), item.name, "file"
            self._guard(source[0], self._followed_again(source, make, stored[item.name, "file"]), origin)
        if journal:
            origin = self._origins.add(JOURNAL, JOURNAL, state="starting")
            make_journal = partial(Journal, origin, self._sink, self._positions, limit=self._limit)
            again = self._followed_again(sources[-1], make_journal, stored[JOURNAL, JOURNAL])
            self._guard(JOURNAL, again, origin)

    def _followed_again(
        self,
        source: tuple[str, str, str],
        make: Callable[[Counter[bytes]], Follower | Journal],
        stored: Counter[bytes],
    ) -> Callable[[], Awaitable[None]]:
        """Follow; when that has failed, go on from what is durable once nothing of the source is under way."""
        runs: list[Follower | Journal] = []

        async def follow() -> None:
            known = stored
            while runs and runs[-1].flying:  # noqa: ASYNC110 - seconds after a failure, nobody waits for it
                await asyncio.sleep(0.1)
            if runs:
                known = (await self._stored_since([source]))[source[1:]]
            runs[:] = [make(known)]
            await runs[-1].run()

        return follow

    async def _stored_since(self, sources: list[tuple[str, str, str]]) -> dict[tuple[str, str], Counter[bytes]]:
        def look() -> dict[tuple[str, str], Counter[bytes]]:
            return self._positions.stored_since(Reader(self._data.ledger, SHARD), sources)

        return await asyncio.to_thread(look)
