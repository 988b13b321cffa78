"""Recorded logs as batches of records: files, plain or packed (gzip, zstd), folders, standard input, delivery files of JSON."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

import orjson

from watchbill.core.clock import SECOND
from watchbill.core.errors import ConfigError, NotFoundError
from watchbill.core.times import from_datetime, from_rfc3339
from watchbill.engine import zstd
from watchbill.engine.collect.framing import LINE_LIMIT, Cut, Framer
from watchbill.engine.collect.tail import kind_of
from watchbill.engine.normalise.split import split_records

CHUNK = 256 << 10
#: A delivery file is read whole; a longer one is taken line by line, so that no archive can fill the memory.
WHOLE_LIMIT = 128 << 20

_ARRAY = re.compile(rb"\s*\[\s*[{\]]")
_DELIVERY_KEYS = ("Records", "events", "value", "logs")
_GZIP = b"\x1f\x8b"


class Batch(NamedTuple):
    """Some records in order; ``read`` is how many bytes of the file, as it lies on the disk, are behind them."""

    raws: list[bytes]
    cuts: list[Cut]
    read: int


def find(names: Sequence[str]) -> list[Path]:
    """The files that are named, folders opened (hidden files left out); "-" stays. Raises NotFoundError."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if name == "-":
            found.append(path)
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            found += [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        elif path.is_file():
            found.append(path)
        elif path.exists():
            raise ConfigError(f"{name} is {kind_of(path.stat().st_mode)}", mend='name a file or folder, or "-"')
        else:
            raise NotFoundError(f"there is no file {name}", mend="check the spelling; globs are for the shell")
    return found


def read(stream: IO[bytes], *, limit: int = LINE_LIMIT, whole: int = WHOLE_LIMIT) -> Iterator[Batch]:
    """Read a recorded log. Raises ConfigError where it cannot be decompressed; what came before was given."""
    at = _position(stream)
    start = stream.read(4)
    plain = _Unpacked(stream, start) if start[:2] == _GZIP or start == zstd.MAGIC else _Joined(stream, start)
    head = plain.read(CHUNK)
    if _is_delivery(head):
        parts, size = [head], len(head)
        while size < whole and (data := plain.read(CHUNK)):
            parts.append(data)
            size += len(data)
        head = b"".join(parts)
        if not (data := plain.read(CHUNK)):
            yield from _in_batches(split_records(head), at, limit)
            return
        head += data
    framer = Framer(limit, counted=False)
    while head:
        raws = framer.feed(head)
        cuts, framer.cuts = framer.cuts, []
        yield Batch(raws, cuts, at())
        head = plain.read(CHUNK)
    raws = framer.finish()
    yield Batch(raws, framer.cuts, at())


def _position(stream: IO[bytes]) -> Callable[[], int]:
    """How far the stream has been read, as far as it can tell."""
    return stream.tell if stream.seekable() else lambda: 0


class _Joined:
    """A stream whose first bytes were taken off."""

    def __init__(self, stream: IO[bytes], start: bytes) -> None:
        self._stream, self._start = stream, start

    def read(self, size: int) -> bytes:
        start, self._start = self._start[:size], self._start[size:]
        return start + self._stream.read(size - len(start))


class _Unpacked:
    """The same for gzip and zstd, of any number of members or frames; errors are ours."""

    def __init__(self, stream: IO[bytes], start: bytes) -> None:
        joined = _Joined(stream, start)
        self._file: gzip.GzipFile | zstd.library.ZstdFile
        if start == zstd.MAGIC:
            self._name = "zstd"
            self._file = zstd.opened(joined)
        else:
            self._name = "gzip"
            self._file = gzip.GzipFile(fileobj=joined, mode="rb")  # type: ignore[call-overload]

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._file.read1(size))
        except (EOFError, zlib.error, gzip.BadGzipFile, zstd.library.ZstdError) as error:
            raise ConfigError(f"the {self._name} file is damaged: {error}", mend="what came before was taken") from None


def _is_delivery(head: bytes) -> bool:
    """Whether this may be one JSON value that holds many records, or one over many lines (and not JSON lines)."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:1] != b"{":
        return bool(_ARRAY.match(text))
    try:
        first = orjson.loads(text.partition(b"\n")[0])
    except orjson.JSONDecodeError:
        return True
    return any(isinstance(first.get(key), list) for key in _DELIVERY_KEYS)


def _in_batches(raws: list[bytes], at: Callable[[], int], limit: int) -> Iterator[Batch]:
    batch: list[bytes] = []
    cuts: list[Cut] = []
    size = 0
    for raw in raws:
        kept = raw
        if len(raw) > limit:
            kept = raw[:limit]
            cuts.append(Cut(len(raw), limit, hashlib.sha256(raw).hexdigest()))
        batch.append(kept)
        size += len(kept)
        if size > CHUNK:
            yield Batch(batch, cuts, at())
            batch, cuts, size = [], [], 0
    yield Batch(batch, cuts, at())


_ISO = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_BSD = re.compile(rb"(?:<\d{1,3}>)?([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d)")
_CLF = re.compile(rb"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")
_AUDIT = re.compile(rb"audit\((\d+)\.(\d{3}):")


def time_of(raw: bytes) -> int:
    """A record's own time for pacing, UTC nanoseconds; 0 when none is seen. Good to a second, not for judging."""
    start = raw[:4096]
    try:
        if match := _BSD.match(start):
            month, day, clock = (part.decode() for part in match.groups())
            return from_datetime(datetime.strptime(f"2024 {month} {day} {clock}+0000", "%Y %b %d %H:%M:%S%z"))
        if match := _AUDIT.search(start):
            return int(match[1]) * SECOND + int(match[2]) * 1_000_000
        if match := _CLF.search(start):
            return from_datetime(datetime.strptime(match[1].decode(), "%d/%b/%Y:%H:%M:%S %z"))
        if match := _ISO.search(start):
            return from_rfc3339(match[0].decode())
    except ValueError:
        pass
    return 0
