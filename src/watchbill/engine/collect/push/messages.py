"""Requests and answers of the push listener, as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect.listener import Peer
from watchbill.engine.collect.push.tokens import PushToken

JSON = "application/json"


class Request(NamedTuple):
    """A request whose sender is known and whose body is unpacked. Names of headers are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    peer: Peer
    token: PushToken

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Answer(NamedTuple):
    """What goes back. ``close``: the connection ends with it."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False

    @classmethod
    def json(cls, status: int, value: Any, **headers: str) -> Answer:
        named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
        return cls(status, orjson.dumps(value), headers=named)


class RefusedError(WatchbillError):
    """A request that is not fulfilled; each protocol spells it in its own way.

    ``retry_after``: seconds after which the same request may succeed. ``code``: Splunk's number, where there is one.
    """

    def __init__(self, status: int, what: str, *, retry_after: int = 0, code: int = 0, close: bool = False) -> None:
        super().__init__(what, retry=bool(retry_after))
        self.status = status
        self.retry_after = retry_after
        self.code = code
        self.close = close

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        if self.status == 401:
            return (("WWW-Authenticate", "Bearer"),)
        if self.status == 415:
            return (("Accept-Encoding", "gzip, zstd, identity"),)
        return (("Retry-After", str(self.retry_after)),) if self.retry_after else ()
