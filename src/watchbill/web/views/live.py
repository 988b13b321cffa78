"""Live pages: one poller a process asks a cheap question each second; every open page hears of a change by SSE.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, Self

import msgspec
from asgiref.sync import sync_to_async
from django.contrib.auth import aget_user
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from watchbill.state.alerts import queries
from watchbill.web.access import SIGNED_IN

EVERY_SECONDS = 0.7
#: A proxy that hears nothing for a minute hangs up.
KEEP_ALIVE_SECONDS = 20.0
#: How long somebody who was shut out may still listen.
RECHECK_SECONDS = 10.0


class State(NamedTuple):
    """What pages are told: ``mark`` grows whenever an alert changes."""

    mark: int
    unresolved: int


class Poller:
    """Polls while anybody listens, and not longer. Each event loop has its own."""

    def __init__(self, ask: Callable[[], State]) -> None:
        self._ask = ask
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._listeners = 0
        self.state: State | None = None

    async def __aenter__(self) -> Self:
        self._listeners += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listeners -= 1
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _poll(self) -> None:
        while True:
            state = await sync_to_async(self._ask, thread_sensitive=False)()
            if state != self.state:
                async with self._changed:
                    self.state = state
                    self._changed.notify_all()
            await asyncio.sleep(EVERY_SECONDS)

    async def after(self, seen: State | None, seconds: float) -> State | None:
        """The state once it differs from ``seen``; None when ``seconds`` pass without that."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self.state not in {None, seen})
        except TimeoutError:
            return None
        return self.state


def _ask() -> State:
    from django.db import close_old_connections

    close_old_connections()
    return State(queries.pulse().mark, sum(queries.counts().unresolved.values()))


_pollers: dict[int, Poller] = {}


def _poller() -> Poller:
    loop = id(asyncio.get_running_loop())
    if loop not in _pollers:
        _pollers.clear()  # a loop that ended took its listeners with it
        _pollers[loop] = Poller(_ask)
    return _pollers[loop]


async def live(request: HttpRequest) -> HttpResponseBase:
    """The stream of one page; it ends itself when its session does."""
    if request.method != "GET":
        return HttpResponse(status=405)
    user = await request.auser()
    if not user.is_authenticated:
        return HttpResponse(status=401)
    answer = StreamingHttpResponse(_events(request), content_type="text/event-stream")
    answer["Cache-Control"] = "no-store"
    answer["X-Accel-Buffering"] = "no"
    return answer


live.needs = SIGNED_IN  # type: ignore[attr-defined]  # what ``needs`` does for views that are not async


async def _events(request: HttpRequest) -> AsyncIterator[bytes]:
    seen: State | None = None
    checked = said = time.monotonic()
    yield b"retry: 3000\n\n"
    async with _poller() as poller:
        while True:
            state = await poller.after(seen, RECHECK_SECONDS)
            moment = time.monotonic()
            if moment - checked >= RECHECK_SECONDS:
                checked = moment
                if not await _still_in(request):
                    yield b"event: signed-out\ndata: {}\n\n"
                    return
            if state is not None:
                seen, said = state, moment
                yield _event("alerts", {"mark": state.mark, "unresolved": state.unresolved})
            elif moment - said >= KEEP_ALIVE_SECONDS:
                said = moment
                yield b": still here\n\n"


async def _still_in(request: HttpRequest) -> bool:
    """Whether the session is still good: asked of the database anew, not of what the request remembers."""
    store = type(request.session)(request.session.session_key)
    again = HttpRequest()
    again.session = store
    user = await aget_user(again)
    return bool(user.is_authenticated and user.is_active)


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
