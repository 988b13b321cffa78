"""Answers that are files: streamed, under a name that the server chose."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from watchbill.api.auth import Request, now
from watchbill.core.clock import SystemClock
from watchbill.core.times import rfc3339
from watchbill.flows import installation
from watchbill.flows.export import export
from watchbill.ledger.note import Checkpoint

_CHUNK = 1 << 16


class File(StreamingHttpResponse):
    """A file to keep, in pieces."""


def file(request: HttpRequest, pieces: Iterable[bytes], kind: str, name: str, *, size: int | None = None) -> File:
    """Under ASGI a blocking iterator is asked in a thread, a piece at a time."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if size is not None:
        headers["Content-Length"] = str(size)
    content = _threaded(pieces) if isinstance(request, ASGIRequest) else pieces
    return File(content, content_type=kind, headers=headers)


def bundle(request: Request, start: int, end: int, named: Sequence[str] = (), held: Sequence[Checkpoint] = ()) -> File:
    """A bundle of evidence for [start, end), with the controls ``named``, extending the auditor's checkpoints.

    Raises NotFoundError when nothing sealed lies in it, or a control is not known.
    """
    moment, data = now(), installation.data()
    handle, name = tempfile.mkstemp(suffix=".zip", dir=data.run)
    os.close(handle)
    path = Path(name)
    try:
        export(data, path, start, min(end, moment + 1), SystemClock(), by=request.auth.email, named=named, held=held)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    stamp = rfc3339(moment)[:19].replace(":", "")
    return file(request, _given_away(path), "application/zip", f"watchbill-{stamp}.zip", size=path.stat().st_size)


def _given_away(path: Path) -> Iterator[bytes]:
    """The file's bytes; the file itself is gone as soon as it is open."""
    with path.open("rb") as opened:
        path.unlink()
        while piece := opened.read(_CHUNK):
            yield piece


async def _threaded(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(pieces)
    ask = sync_to_async(lambda: next(iterator, None), thread_sensitive=True)
    while (piece := await ask()) is not None:
        yield piece
