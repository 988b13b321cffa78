"""Every error has the same body: what happened, how to mend it, and where it is."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from watchbill.api.auth import RefusedError
from watchbill.core.errors import (
    ConflictError,
    DeliveryError,
    DeniedError,
    LakeError,
    LedgerError,
    NotFoundError,
    Place,
    QueryError,
    WatchbillError,
)

log = logging.getLogger(__name__)

#: The statuses of our errors; any other one of ours is 422: it was understood and makes no sense.
STATUSES: dict[type[WatchbillError], int] = {
    QueryError: 400,
    DeniedError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    LakeError: 503,
    LedgerError: 503,
    DeliveryError: 503,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["what", "mend", "place"],
            "properties": {
                "what": {"type": "string"},
                "mend": {"type": "string"},
                "place": {"type": ["string", "null"]},
            },
        }
    },
}
_RETRY_AFTER = "2"


def answer(status: int, what: str, *, mend: str = "", place: str | None = None, **headers: str) -> HttpResponse:
    """An error as a response."""
    body = msgspec.json.encode({"error": {"what": what, "mend": mend, "place": place}})
    return HttpResponse(body, status=status, content_type="application/json", headers=headers)


def handle(api: NinjaAPI) -> None:
    """Let all errors of an API be answered here."""
    api.add_exception_handler(WatchbillError, _ours)
    api.add_exception_handler(ValidationError, _invalid)
    api.add_exception_handler(HttpError, _unread)
    api.add_exception_handler(
        RequestDataTooBig, lambda _request, _error: answer(413, "the request is larger than 1 MiB")
    )
    api.add_exception_handler(Http404, _nowhere)
    api.add_exception_handler(OperationalError, _busy)
    api.add_exception_handler(Exception, _inside)


def _ours(_request: HttpRequest, error: Any) -> HttpResponse:
    if isinstance(error, RefusedError):
        return answer(error.status, error.what, mend=error.mend, **error.headers)
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 422)
    headers = {"Retry-After": _RETRY_AFTER} if status == 503 and error.retry else {}
    if status == 503:
        log.error("the API could not answer: %s", error)
    return answer(status, error.what, mend=error.mend, place=_place(error.place), **headers)


def _place(place: Place | None) -> str | None:
    """Where it is, without the folders of the server."""
    return str(place._replace(file=Path(place.file).name)) if place else None


def _invalid(_request: HttpRequest, error: Any) -> HttpResponse:
    """The first of what pydantic found, without the value: it may be a secret."""
    first = error.errors[0]
    where = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return answer(422, f"{said[:1].lower()}{said[1:]}", mend="see the operation in openapi.json", place=where)


def _unread(_request: HttpRequest, error: Any) -> HttpResponse:
    return answer(error.status_code, "the body is no JSON", mend="send a JSON object, UTF-8", place="body")


def _nowhere(_request: HttpRequest, _error: Any) -> HttpResponse:
    return answer(404, "there is nothing at this address", mend="see openapi.json for the addresses")


def _busy(_request: HttpRequest, error: Any) -> HttpResponse:
    log.error("the API could not reach the database: %s", error)
    headers = {"Retry-After": _RETRY_AFTER}
    return answer(503, "the database is busy or away", mend="try again in a moment", **headers)


def _inside(request: HttpRequest, error: Any) -> HttpResponse:
    log.error("the API failed at %s %s", request.method, request.path, exc_info=error)
    return answer(500, "Watchbill failed at this", mend="the web process's log says why; please report it")
