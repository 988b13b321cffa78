"""The push listener: who asks, for what, and the answer once the ledger has it.

POST /services/collector[/event|/raw|/ack]   Splunk HEC           GET /services/collector/health
POST /v1/logs                                OTLP/HTTP logs
POST /ingest                                 NDJSON               GET /ingest?stream=NAME
GET  /checkpoint, /consistency?from=SIZE     what a sender keeps to notice a rollback
GET  /health                                 for load balancers
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from h11 import LocalProtocolError

from watchbill.engine.collect.framing import LINE_LIMIT
from watchbill.engine.collect.listener import Listener
from watchbill.engine.collect.origin import Origins
from watchbill.engine.collect.positions import Positions
from watchbill.engine.collect.push import hec, otlp
from watchbill.engine.collect.push.answers import HEC, ROUTES, Answers, Route
from watchbill.engine.collect.push.bodies import Budget
from watchbill.engine.collect.push.http import Connection, Head
from watchbill.engine.collect.push.messages import Answer, RefusedError, Request
from watchbill.engine.collect.push.tokens import NOBODY, PushToken, Tokens
from watchbill.engine.collect.sink import Sink
from watchbill.engine.collect.streams import CONNECTION_LIMIT
from watchbill.engine.collect.tls import Tls
from watchbill.ledger.tiles import TileReader

log = logging.getLogger(__name__)

KIND = "push"
#: Seconds after which an idle peer may be sent away for a new one.
IDLE_LIMIT = 30.0
#: Seconds for what is being asked when the process ends.
LAST_LIMIT = 3.0


class Push:
    """The listener and what it answers. ``port`` 0 takes a free one; ``address`` tells which. ``positions`` remembers for the
    numbered streams what was answered.
    """

    def __init__(
        self,
        sink: Sink,
        origins: Origins,
        where: tuple[str, int],
        tokens: Tokens,
        checkpoints: TileReader,
        *,
        limit: int = LINE_LIMIT,
        max_body: int = 8 << 20,
        connections: int = 0,
        tls: Tls | None = None,
        positions: Positions | None = None,
    ) -> None:
        self.kind = KIND
        self.refused = 0
        self.connections: set[Connection] = set()
        self.listener = Listener(KIND, sink, origins, where, self._protocol, tls=tls, section=KIND)
        self._answers = Answers(sink, origins, checkpoints, limit, positions)
        self._tokens = tokens
        self._max_body = max_body
        self._most = connections or CONNECTION_LIMIT
        self._budget = Budget()

    @property
    def address(self) -> tuple[str, int]:
        return self.listener.address

    async def start(self) -> None:
        """Listen. Raises ConfigError."""
        await self.listener.start()

    async def run(self) -> None:
        """Look after certificates and refusals, until cancelled."""
        while True:
            await asyncio.sleep(5)
            self.listener.look_after()

    async def stop(self) -> None:
        """Answer what is being asked, as far as it is durable in time; idle peers are sent away at once."""
        self._answers.stopping = True
        await self.listener.stop()
        await asyncio.sleep(0)  # who was let in just now begins to be served
        for connection in list(self.connections):
            if connection.idle:
                connection.end()
        deadline = time.monotonic() + LAST_LIMIT
        while self.connections and time.monotonic() < deadline:  # noqa: ASYNC110 - once, at the end, and bounded
            await asyncio.sleep(0.05)
        for connection in list(self.connections):
            connection.end()
        await asyncio.sleep(0)

    def _protocol(self) -> asyncio.Protocol:
        reader = asyncio.StreamReader(limit=64 << 10)
        return asyncio.StreamReaderProtocol(reader, self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._max_body, self._budget)
        if not self._admit(connection):
            writer.transport.abort()
            return
        self.connections.add(connection)
        try:
            await connection.serve(self._begin, _spell)
        except (OSError, TimeoutError, LocalProtocolError) as error:
            log.debug("%s left: %s", connection.peer.address, error)
        except asyncio.CancelledError:
            log.debug("%s is sent away: the process ends", connection.peer.address)
        except Exception:
            log.exception("a request of %s failed", connection.peer.address)
        finally:
            self.connections.discard(connection)
            await connection.close()

    def _admit(self, newcomer: Connection) -> bool:
        if why := self.listener.is_unwelcome(newcomer.peer):
            self.listener.refusals.tell(newcomer.peer.address, why)
            return False
        if len(self.connections) < self._most:
            return True
        idlest = min(self.connections, key=lambda connection: connection.heard)
        if idlest.idle and newcomer.heard - idlest.heard > IDLE_LIMIT:
            idlest.end()
            return True
        self.refused += 1
        return False

    async def _begin(self, head: Head) -> Callable[[bytes], Awaitable[Answer]]:
        """Judge a request by its head: the path, the token, and whether there is room. Raises RefusedError."""
        path = head.path.rstrip("/") or "/"
        if path.startswith(HEC):
            path = path.removesuffix("/1.0")
        routes = ROUTES.get(path, ())
        if not routes:
            raise RefusedError(404, f"there is nothing at {path[:100]}")
        route = next((route for route in routes if route.method == head.method), None)
        if route is None:
            raise RefusedError(405, f"{head.method} is not for {path}; use {routes[0].method}")
        token = NOBODY
        if not route.is_open:
            secret = _secret(head)
            if not secret:
                raise RefusedError(401, "a token is required")
            found = self._tokens.find(secret)
            if found is None:
                self.listener.refusals.tell(head.peer.address, f"unknown or revoked token for {path}")
                raise RefusedError(403, "the token is unknown or was revoked", close=True)
            token = found
        if route.takes_records:
            await self._answers.room()
        return partial(self._handle, route, head, path, token)

    async def _handle(self, route: Route, head: Head, path: str, token: PushToken, body: bytes) -> Answer:
        request = Request(head.method, path, head.query, head.headers, body, head.peer, token)
        try:
            return await route.handler(self._answers, request)
        except RefusedError:
            raise
        except Exception:  # our own fault must not end the connection without a word
            log.exception("a request of %s for %s failed", head.peer.address, path)
            raise RefusedError(500, "an internal error; see the log of the receiving process", code=8) from None


def _spell(head: Head, error: RefusedError) -> Answer:
    """A refusal as the protocol of the path has it."""
    if head.path.startswith(HEC):
        return hec.spell(error)
    if head.path.startswith("/v1/"):
        return otlp.spell(error, head.headers.get("content-type", ""))
    return Answer.json(error.status, {"error": error.what})._replace(headers=error.headers)


def _secret(head: Head) -> str:
    """The token of a request: "Splunk TOKEN", "Bearer TOKEN", or the password of basic authentication."""
    scheme, _, secret = head.headers.get("authorization", "").partition(" ")
    scheme, secret = scheme.lower(), secret.strip()
    if scheme in {"splunk", "bearer"}:
        return secret
    if scheme == "basic":
        try:
            return base64.b64decode(secret, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""
