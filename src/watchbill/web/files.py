"""Lists as files: CSV and JSON lines, streamed row by row."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """What csv.writer writes to: it hands each line on."""

    def write(self, text: str) -> str:
        return text


def as_csv(request: HttpRequest, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> HttpResponse:
    """A CSV file (RFC 4180). Cells that a spreadsheet would run as formulas get an apostrophe before them."""

    def lines() -> Iterator[str]:
        writer = csv.writer(_Line())
        yield writer.writerow(columns)
        for row in rows:
            yield writer.writerow([_cell(row.get(column)) for column in columns])

    return given(request, lines(), "text/csv; charset=utf-8", f"{name}.csv")


def as_json_lines(request: HttpRequest, name: str, rows: Iterable[Mapping[str, Any]]) -> HttpResponse:
    """One JSON object a line."""
    encoder = msgspec.json.Encoder()
    return given(request, (encoder.encode(row) + b"\n" for row in rows), "application/x-ndjson", f"{name}.jsonl")


def _cell(value: Any) -> str:
    text = (
        ""
        if value is None
        else value
        if isinstance(value, str)
        else msgspec.json.encode(value).decode()
        if isinstance(value, (list, tuple, dict))
        else str(value)
    )
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def given(
    request: HttpRequest, content: Iterable[str | bytes], kind: str, name: str, *, size: int | None = None
) -> HttpResponse:
    """A file to keep, streamed: under ASGI a blocking iterator is asked in a thread, a piece at a time."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if size is not None:
        headers["Content-Length"] = str(size)
    answer = StreamingHttpResponse(
        _threaded(content) if isinstance(request, ASGIRequest) else content, content_type=kind, headers=headers
    )
    return cast("HttpResponse", answer)


async def _threaded(content: Iterable[str | bytes]) -> AsyncIterator[str | bytes]:
    pieces = iter(content)
    ask = sync_to_async(lambda: next(pieces, None), thread_sensitive=True)
    while (piece := await ask()) is not None:
        yield piece
