"""Windows' binary event logs, chunk by chunk: bounded memory, exact places, and damage costs no more than its chunk.

A file is a header of 4 KiB and chunks of 64 KiB that stand alone (names and templates are within each), so every
chunk is read as a small file of its own. https://github.com/libyal/libevtx/blob/main/documentation/
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from typing import IO

from evtx import PyEvtxParser

from watchbill.engine.offline.batches import Batch, Fault, joined

HEADER = 4_096
CHUNK = 65_536
FILE_MAGIC, CHUNK_MAGIC = b"ElfFile\0", b"ElfChnk\0"
_CHUNKS_AT = 42
_NUMBERS = struct.Struct("<QQ")
_NUMBERS_AT = 8
_UNUSED = (1 << 64) - 1
#: Chunks are judged together, for larger batches are judged quicker: so many records, and no more chunks than these.
_RECORDS = 2_000
_CHUNKS = 64


def read(stream: IO[bytes], start: int = HEADER, end: int | None = None) -> Iterator[Batch]:
    """The records of the chunks that begin in [start, end), as JSON; ``start`` is where the stream stands.

    Preallocated chunks that were never used are passed over; everything else that gives fewer records than its own
    header promises is a fault with its offset.
    """
    at = start
    waiting: list[Batch] = []
    while (end is None or at < end) and (chunk := stream.read(CHUNK)):
        waiting.append(_read_chunk(chunk, at))
        at += len(chunk)
        if sum(len(one.raws) for one in waiting) >= _RECORDS or len(waiting) >= _CHUNKS:
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)


def _read_chunk(chunk: bytes, at: int) -> Batch:
    if chunk[:8] != CHUNK_MAGIC:
        faults = [Fault(at, "no chunk of an event log stands here; it was passed over")] if chunk.strip(b"\0") else []
        return Batch([], [], len(chunk), faults)
    said: list[str] = []
    raws: list[bytes] = []
    whole = chunk if len(chunk) == CHUNK else chunk.ljust(CHUNK, b"\0")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            parser = PyEvtxParser(io.BytesIO(_file_header() + whole), number_of_threads=1, skip_errors=True)
            records: Iterator[dict[str, str]] = parser.records_json()  # type: ignore[assignment]
            raws += (record["data"].encode("utf-8", "backslashreplace") for record in records)
        except (RuntimeError, OSError, ValueError) as error:
            said.append(str(error))
        said += [str(one.message) for one in caught]
    first, last = _NUMBERS.unpack_from(whole, _NUMBERS_AT)
    promised = last - first + 1 if first <= last < _UNUSED else 0
    if len(raws) < promised <= CHUNK:
        said.append(f"{len(raws)} of {promised} records could be read")
    if len(chunk) < CHUNK:
        said.append("the file ends within this chunk")
    faults = [Fault(at, "; ".join(dict.fromkeys(map(_plain, said))))] if said else []
    return Batch(raws, [at + number for number in range(len(raws))], len(chunk), faults)


def _file_header() -> bytes:
    """The header of a file with one chunk; the original one may be damaged, and nothing else of it is needed."""
    header = bytearray(HEADER)
    struct.pack_into("<8sQQQIHHHH", header, 0, FILE_MAGIC, 0, 0, 1, 128, 1, 3, HEADER, 1)
    return bytes(header)


def _plain(said: str) -> str:
    return said.removeprefix("Skipping EVTX data: RuntimeError: ").replace("chunk number 0", "the chunk")[:300]
