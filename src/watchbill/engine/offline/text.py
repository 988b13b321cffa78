"""Records out of text files, streamed: lines, JSON values of any layout, event XML, CSV."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import IO, Any

import msgspec

from watchbill.engine.offline.batches import Batch, Fault, joined

#: So much is judged at a time. Larger batches are matched quicker, for each kind of record in one costs something by itself;
#: several of these are in memory at once.
CHUNK = 16 << 20
#: Lines are cut out of so much at a time: little enough to be in the processor's caches still when it has been read.
BLOCK = 1 << 20
#: A longer record is passed over and told: no file can make us hold more than this.
LONGEST = 4 << 20
_ROWS = 2_000
_COLUMNS = 5_000
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|["{}\[\]]', re.DOTALL)
#: The start of a delivery: an array of records, by itself or as a member of one object (CloudTrail, Azure, Okta …).
_OPENING = re.compile(rb'\s*(?:\{\s*"(?:Records|events|value|logs|hits)"\s*:\s*)?\[\s*(?=[{\]]|$)')
_ELEMENT = re.compile(rb"<(?:\w+:)?Event[\s>]")
_END = re.compile(rb"</(?:\w+:)?Event\s*>")


def lines(stream: IO[bytes], start: int = 0, end: int | None = None, *, live: bool = False) -> Iterator[Batch]:
    """The lines that begin in [start, end) of the stream, which stands at ``start``; their places are byte offsets. Of a
    ``live`` stream a read that gives less than was asked for is a pause: what has come is given, no more is waited for.
    """
    waiting: list[Batch] = []
    for batch in _blocks(stream, start, end):
        waiting.append(batch)
        if (live and batch.size < BLOCK) or sum(one.size for one in waiting) >= CHUNK:
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)


def _blocks(stream: IO[bytes], start: int, end: int | None) -> Iterator[Batch]:
    # Where what is carried begins, and how far was read. What a part reads beyond its end is counted by the next one.
    at = position = start
    carried = b""
    skipping = False
    while data := stream.read(BLOCK if end is None else min(BLOCK, max(end - position, 1))):
        if end is not None and position + len(data) >= end and not data.endswith(b"\n"):
            data += stream.readline(LONGEST)  # what is left of the last line that begins in it
        read = carried + data
        *whole, carried = read.split(b"\n")
        faults = []
        if skipping and whole:
            skipping = False
            at += len(whole.pop(0)) + 1
        offsets = list(accumulate(map(len, whole), lambda total, size: total + size + 1, initial=at))
        at = offsets.pop()
        if skipping or len(carried) > LONGEST:
            if not skipping:
                faults.append(Fault(at, f"a line longer than {LONGEST >> 20} MiB was passed over"))
            at += len(carried)
            skipping, carried = True, b""
        size = len(data) if end is None else max(0, min(len(data), end - position))
        position += len(data)
        yield _lines(whole, offsets, size, faults)
        if end is not None and at >= end:
            return
    if carried and not skipping and (end is None or at < end):
        yield _lines([carried], [at], 0, [])


def _lines(raws: list[bytes], offsets: list[int], size: int, faults: list[Fault]) -> Batch:
    stripped = [raw.rstrip(b"\r\0") for raw in raws]
    if not all(map(bytes.strip, stripped)):
        kept = [number for number, raw in enumerate(stripped) if raw.strip()]
        stripped, offsets = [stripped[number] for number in kept], [offsets[number] for number in kept]
    return Batch(stripped, offsets, size, faults)


def json_values(stream: IO[bytes]) -> Iterator[Batch]:
    """The JSON objects of a file: in an array, in a delivery's member, or one after the other over many lines."""
    buffer = stream.read(CHUNK)
    at = 3 if buffer.startswith(codecs.BOM_UTF8) else 0
    opening = _OPENING.match(buffer, at)
    at = opening.end() if opening else at
    cutter = _Cutter(buffer[at:], at, len(buffer))
    while True:
        yield cutter.cut()
        data = stream.read(CHUNK)
        if not data:
            break
        cutter.add(data)
    if cutter.open:
        yield Batch([], [], 0, [Fault(cutter.begins, "the file ends within a JSON value")])


class _Cutter:
    """Cuts the objects at depth 0 out of a stream of bytes without decoding them."""

    def __init__(self, buffer: bytes, at: int, size: int) -> None:
        self._buffer = buffer
        self._base = at  # the place of the buffer's first byte
        self._scanned = 0
        self._depth = 0
        self._size = size
        self._start = 0
        self._passing = False

    @property
    def open(self) -> bool:
        return self._depth > 0

    @property
    def begins(self) -> int:
        """Where the value that is not finished yet begins."""
        return self._base + self._start

    def add(self, data: bytes) -> None:
        keep = self._start if self._depth and not self._passing else self._scanned
        self._base += keep
        self._scanned -= keep
        self._start = max(0, self._start - keep)
        self._buffer = self._buffer[keep:] + data
        self._size = len(data)

    def cut(self) -> Batch:
        raws: list[bytes] = []
        places: list[int] = []
        faults: list[Fault] = []
        buffer, depth = self._buffer, self._depth
        scanned = len(buffer)
        for match in _STRUCTURE.finditer(buffer, self._scanned):
            first = buffer[match.start()]
            if first == 0x22:  # a string; one that ends at its own opening goes on in the next chunk
                if match.end() - match.start() == 1:
                    scanned = match.start()
                    break
            elif first in b"{[":
                if depth == 0:
                    self._start, self._passing = match.start(), False
                depth += 1
            elif depth > 0:
                depth -= 1
                if depth == 0 and not self._passing and buffer[self._start] == 0x7B:
                    raws.append(buffer[self._start : match.end()])
                    places.append(self._base + self._start)
        self._depth, self._scanned = depth, scanned
        if depth and not self._passing and len(buffer) - self._start > LONGEST:
            faults.append(Fault(self.begins, f"a JSON value longer than {LONGEST >> 20} MiB was passed over"))
            self._passing = True
        elif not depth and len(buffer) - scanned > LONGEST:
            faults.append(Fault(self._base + scanned, "a text without an end was passed over"))
            self._scanned = len(buffer)
        return Batch([_one_line(raw) for raw in raws], places, self._size, faults)


def _one_line(raw: bytes) -> bytes:
    # A line break in JSON can only be white space between tokens.
    return raw if b"\n" not in raw else b" ".join(part.strip() for part in raw.splitlines())


def event_xml(stream: IO[bytes]) -> Iterator[Batch]:
    """The <Event> elements of an export of the event viewer or of wevtutil."""
    buffer, base = b"", 0
    while data := stream.read(CHUNK):
        buffer += data
        raws: list[bytes] = []
        places: list[int] = []
        faults: list[Fault] = []
        at = 0
        while (found := _ELEMENT.search(buffer, at)) and (end := _END.search(buffer, found.end())):
            raws.append(buffer[found.start() : end.end()].replace(b"\r", b" ").replace(b"\n", b" "))
            places.append(base + found.start())
            at = end.end()
        if found:
            at = found.start()
        if len(buffer) - at > LONGEST:
            faults.append(Fault(base + at, f"no event ends within {LONGEST >> 20} MiB; this was passed over"))
            at = len(buffer)
        elif not found:
            at = max(at, len(buffer) - 256)  # a tag may be cut in two
        buffer, base = buffer[at:], base + at
        yield Batch(raws, places, len(data), faults)
    if _ELEMENT.search(buffer):
        yield Batch([], [], 0, [Fault(base, "the file ends within an event")])


def rows(stream: IO[bytes]) -> Iterator[Batch]:
    """The rows of a CSV file with a header line, each as a JSON object; empty cells are left out, places are lines."""
    reader = _Counting(stream)
    text = io.TextIOWrapper(io.BufferedReader(reader), "utf-8-sig", "backslashreplace", newline="")
    head = text.readline(LONGEST)
    dialect = csv.excel_tab if head.count("\t") > head.count(",") else csv.excel
    dialect = _semicolons if head.count(";") > max(head.count(","), head.count("\t")) else dialect
    names = next(csv.reader([head], dialect), [])[:_COLUMNS]
    table = csv.reader(text, dialect)
    raws: list[bytes] = []
    places: list[int] = []
    previous = csv.field_size_limit(LONGEST)
    try:
        while True:
            try:
                row = next(table, None)
            except csv.Error as error:
                yield Batch([], [], 0, [Fault(table.line_num + 1, f"this row is no CSV: {error}")])
                continue
            if row is None:
                break
            raws.append(msgspec.json.encode(_nested(names, row)))
            places.append(table.line_num + 1)
            if len(raws) >= _ROWS:
                yield Batch(raws, places, reader.taken(), [])
                raws, places = [], []
        yield Batch(raws, places, reader.taken(), [])
    finally:
        csv.field_size_limit(previous)


class _semicolons(csv.excel):  # noqa: N801 - dialects are classes that are named like values
    """What spreadsheets of half of Europe write."""

    delimiter = ";"


class _Counting(io.RawIOBase):
    """Counts what was read of a stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._count += len(data)
        return len(data)

    def taken(self) -> int:
        count, self._count = self._count, 0
        return count


def _nested(names: list[str], row: list[str]) -> dict[str, Any]:
    """A row as an object; dotted column names (Kibana, Azure) become objects again."""
    found: dict[str, Any] = {}
    for name, cell in zip(names, row, strict=False):
        if not cell:
            continue
        *path, leaf = name.split(".") if len(name) < 200 else [name]
        node = found
        for part in path:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                break
        else:
            if not isinstance(node.get(leaf), dict):
                node[leaf] = cell
            continue
        found[name] = cell
    return found
