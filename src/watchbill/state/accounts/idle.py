"""Sessions end after twelve hours without a request; extending them must not cost a write at each one."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

_EVERY = 300
_KEY = "extended"


def extend_session(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: touch a signed-in session when its last touch is five minutes old, which renews its expiry."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated and time.time() - request.session.get(_KEY, 0) > _EVERY:
            request.session[_KEY] = int(time.time())
        return get_response(request)

    return middleware
