"""HTTP/1.1 for strangers, over h11: every phase of a connection has its time, every part its length.

A web server made for pages waits for a request as long as the peer likes, and knows neither the certificate that was
shown nor when to stop reading. Here the sender is asked for its token before its body is read, and a body is not read
while the ledger's queue is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import parse_qsl

import h11

from watchbill.engine.collect.listener import Peer, peer_of
from watchbill.engine.collect.push.bodies import Body, Budget
from watchbill.engine.collect.push.messages import Answer, RefusedError

log = logging.getLogger(__name__)

#: Seconds: until a request begins, until its head is there, between pieces of a body, and for a whole body.
IDLE_LIMIT = 60.0
HEAD_LIMIT = 15.0
PIECE_LIMIT = 15.0
BODY_LIMIT = 120.0
_HEAD_BYTES = 32 << 10
_CHUNK = 64 << 10


class Head(NamedTuple):
    """A request before its body. Names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    peer: Peer


#: Judges a head (raises RefusedError) and returns what makes the answer of the body.
Begin = Callable[[Head], Awaitable[Callable[[bytes], Awaitable[Answer]]]]
#: Spells a refusal in the way of the protocol that the path belongs to.
Spell = Callable[[Head, RefusedError], Answer]


class Connection:
    """One peer's requests, one after the other."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_body: int, budget: Budget
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._max_body = max_body
        self._budget = budget
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self.peer = peer_of(writer.transport) or Peer("")
        self.heard = time.monotonic()
        #: Whether nothing is asked at the moment.
        self.idle = True

    async def serve(self, begin: Begin, spell: Spell) -> None:
        """Answer requests until the peer leaves or breaks the rules. Raises ConnectionError and TimeoutError."""
        while await self._one(begin, spell):
            self._http.start_next_cycle()

    def end(self) -> None:
        """Send the peer away."""
        self._writer.close()

    async def close(self) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
            self._writer.close()
            async with asyncio.timeout(5):
                await self._writer.wait_closed()

    async def _one(self, begin: Begin, spell: Spell) -> bool:
        """One request and its answer; False when the connection has come to its end."""
        try:
            head = await self._head()
        except h11.RemoteProtocolError as error:
            await self._send(
                Answer(error.error_status_hint or 400, b"this is no HTTP request\n", "text/plain", close=True)
            )
            return False
        if head is None:
            return False
        body: Body | None = None
        try:
            handle = await begin(head)
            body = Body(head.headers.get("content-encoding", "").strip().lower(), self._max_body, self._budget)
            answer = await handle(await self._body(head, body))
        except RefusedError as error:
            answer = spell(head, error)._replace(close=error.close or self._http.their_state is not h11.DONE)
        except h11.RemoteProtocolError:
            answer = Answer(400, b"the body breaks off\n", "text/plain", close=True)
        finally:
            if body is not None:
                body.release()
        await self._send(answer)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _head(self) -> Head | None:
        self.idle = True
        try:
            async with asyncio.timeout(IDLE_LIMIT) as limit:
                while True:
                    event = self._http.next_event()
                    if isinstance(event, h11.Request):
                        break
                    if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                        return None
                    data = await self._reader.read(_CHUNK)
                    if self.idle and data:
                        self.idle = False
                        limit.reschedule(asyncio.get_running_loop().time() + HEAD_LIMIT)
                    self._http.receive_data(data)
        except TimeoutError:
            return None
        self.idle = False
        self.heard = time.monotonic()
        target = event.target.decode("ascii", "replace")
        path, _, query = target.partition("?")
        named = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=50)) if query.count("&") < 50 else {}
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
        if "content-length" in headers and "transfer-encoding" in headers:  # RFC 9112, 6.3: it may be smuggling
            raise h11.RemoteProtocolError("a body with two lengths")
        return Head(event.method.decode("ascii"), path, named, headers, self.peer)

    async def _body(self, head: Head, body: Body) -> bytes:
        """Read a body to its end. Raises RefusedError, ConnectionError and h11.RemoteProtocolError."""
        length = head.headers.get("content-length", "")
        if length.isdigit() and int(length[:18]) > self._max_body:
            raise RefusedError(413, f"the body is longer than {self._max_body} bytes", close=True)
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._writer.write(self._http.send(go_on) or b"")
        try:
            async with asyncio.timeout(BODY_LIMIT):
                while True:
                    event = self._http.next_event()
                    if isinstance(event, h11.Data):
                        body.feed(bytes(event.data))
                    elif isinstance(event, h11.EndOfMessage):
                        return body.finish()
                    elif event is h11.NEED_DATA:
                        async with asyncio.timeout(PIECE_LIMIT):
                            data = await self._reader.read(_CHUNK)
                        self.heard = time.monotonic()
                        self._http.receive_data(data)
                    else:
                        raise ConnectionError("the peer left")
        except TimeoutError:
            raise RefusedError(408, "the body took too long", close=True) from None

    async def _send(self, answer: Answer) -> None:
        """Send an answer. Raises ConnectionError."""
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        headers = [
            ("Content-Type", answer.content_type), ("Content-Length", str(len(answer.body))),
            ("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"), *answer.headers,
        ]  # fmt: skip
        if answer.close:
            headers.append(("Connection", "close"))
        http = self._http
        parts = [
            http.send(h11.Response(status_code=answer.status, headers=headers)),
            http.send(h11.Data(data=answer.body)) if answer.body else b"",
            http.send(h11.EndOfMessage()),
        ]
        self._writer.write(b"".join(part for part in parts if part))
        async with asyncio.timeout(PIECE_LIMIT):
            await self._writer.drain()
