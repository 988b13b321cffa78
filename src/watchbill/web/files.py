"""Lists as files: CSV and JSON lines, streamed row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from django.http import StreamingHttpResponse

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """What csv.writer writes to: it hands each line on."""

    def write(self, text: str) -> str:
        return text


def as_csv(name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> StreamingHttpResponse:
    """A CSV file (RFC 4180). Cells that a spreadsheet would run as formulas get an apostrophe before them."""

    def lines() -> Iterator[str]:
        writer = csv.writer(_Line())
        yield writer.writerow(columns)
        for row in rows:
            yield writer.writerow([_cell(row.get(column)) for column in columns])

    return _file(lines(), "text/csv; charset=utf-8", f"{name}.csv")


def as_json_lines(name: str, rows: Iterable[Mapping[str, Any]]) -> StreamingHttpResponse:
    """One JSON object a line."""
    encoder = msgspec.json.Encoder()
    return _file((encoder.encode(row) + b"\n" for row in rows), "application/x-ndjson", f"{name}.jsonl")


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode() if isinstance(value, (list, tuple, dict)) else str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def _file(content: Iterable[str | bytes], kind: str, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(content, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
