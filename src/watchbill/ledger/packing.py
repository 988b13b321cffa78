"""Packed blocks: sealed segments as they are kept once their volume is closed, compressed and without what was deleted.

A block's frame has kind 0x5A; its last 32 bytes are SHA-256(header ‖ payload) in the place of a MAC. Its payload:

    size of index 4 | index (zlib of canonical JSON) | nodes x 32 | commitments of deleted records x 32 | pieces

The records' bytes stand in pieces of at most 256 records, each deflated by itself; all but the first have the beginning
of the first one's text as their dictionary, so one record costs two pieces at most. See docs/ledger-format.md.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import accumulate, islice, pairwise
from typing import NamedTuple

from watchbill.core import canonical
from watchbill.ledger import frames, salts
from watchbill.ledger.frames import Frame, Kind
from watchbill.ledger.segment import CHUNK_LEVEL, SEGMENT_RECORDS, Run

PIECE_RECORDS = 1 << CHUNK_LEVEL
BLOCK_RECORDS = 4 * SEGMENT_RECORDS  # a block is read whole, and unpacked piece by piece
BLOCK_BYTES = 16 << 20
BLOCK_SEGMENTS = 512
_DICTIONARY = 32 << 10  # deflate looks back no further
_LEVEL = 6
_LARGEST = frames.MAX_PAYLOAD
_COLUMNS = 5


@dataclass(slots=True)
class Sealed:
    """What is kept of a sealed segment. A deleted record has no body: its commitment stands in ``erased`` by its index.

    Of a segment that is ``gone`` whole, nothing is kept but its manifest in the log.
    """

    number: int
    first: int
    count: int
    runs: Sequence[Run] = ()
    bodies: list[bytes | None] = field(default_factory=list)
    erased: dict[int, bytes] = field(default_factory=dict)
    seeds: Sequence[salts.Seed] = ()
    nodes: Sequence[bytes] = ()
    gone: bool = False

    @property
    def size(self) -> int:
        """Bytes of the records that are kept."""
        return sum(len(body) for body in self.bodies if body)


class Piece(NamedTuple):
    """Where the bodies of some records stand in the payload. No separator: their lengths stand before them."""

    records: int
    start: int
    end: int
    separator: int | None


class Part(NamedTuple):
    """A segment in a block, without its records' bytes."""

    number: int
    first: int
    records: int
    gone: bool
    seeds: Sequence[salts.Seed]
    nodes: Sequence[bytes]


def encode(entry: int, segments: Sequence[Sealed]) -> bytes:
    """Return the frame of segments that follow on each other, the first being the log's entry ``entry``."""
    kept = [segment for segment in segments if not segment.gone]
    nodes = [node for segment in kept if segment.count > PIECE_RECORDS for node in segment.nodes]
    begins = list(accumulate((segment.count for segment in segments), initial=0))
    erased = [
        (begin + at, segment.erased[at])
        for begin, segment in zip(begins, segments, strict=False)
        for at in sorted(segment.erased)
    ]
    pieces, data = _encode_pieces(_cut(kept))
    index = {
        "v": 1,
        "entry": entry,
        "segments": [
            [s.count, 0 if s.gone else 1, [[depth, number, node.hex()] for depth, number, node in s.seeds]]
            for s in segments
        ],
        "runs": _columns([run for segment in kept for run in segment.runs]),
        "erased": _ranges([at for at, _ in erased]),
        "pieces": pieces,
    }
    packed = zlib.compress(canonical.dumps(index), 9)
    payload = b"".join(
        [struct.pack(">I", len(packed)), packed, *nodes, *(commitment for _, commitment in erased), *data]
    )
    signed = frames.encode(Kind.PACKED, segments[0].number, segments[0].first, begins[-1], payload)
    return signed + sha256(signed).digest()


def _cut(segments: Sequence[Sealed]) -> Iterator[list[bytes]]:
    """Give the bodies of one piece after another; a piece ends where a stored node does, so that damage is placed as finely."""
    piece: list[bytes] = []
    for segment in segments:
        for at in range(0, segment.count, PIECE_RECORDS):
            bodies = [body for body in segment.bodies[at : at + PIECE_RECORDS] if body is not None]
            if piece and len(piece) + len(bodies) > PIECE_RECORDS:
                yield piece
                piece = []
            piece += bodies
    if piece:
        yield piece


def _encode_pieces(pieces: Iterator[list[bytes]]) -> tuple[list[list[int | None]], list[bytes]]:
    """Return what the index says of each piece ([records, bytes, separator]), and their bytes."""
    dictionary, known, data = b"", [], []
    for number, bodies in enumerate(pieces):
        separator, text = _join(bodies)
        if number:
            deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, dictionary)
        else:
            deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, 9)
            dictionary = text[:_DICTIONARY]
        data.append(deflate.compress(text) + deflate.flush())
        known.append([len(bodies), len(data[-1]), separator])
    return known, data


def _join(bodies: Sequence[bytes]) -> tuple[int | None, bytes]:
    """Join records by a byte that none of them holds (a line feed if it can be), else put their lengths before them."""
    text = b"\n".join(bodies)
    if text.count(b"\n") == len(bodies) - 1:
        return 10, text
    whole = b"".join(bodies)
    free = next((byte for byte in range(256) if byte not in whole), None)
    if free is not None:
        return free, bytes([free]).join(bodies)
    return None, struct.pack(f">{len(bodies)}I", *map(len, bodies)) + whole


def _columns(runs: Sequence[Run]) -> list[list[int]]:
    """Return the runs by columns: sources, records, and the differences of times and sequences, most of which are 0."""
    columns: list[list[int]] = [[] for _ in range(_COLUMNS)]
    received = source_time = 0
    due: dict[int, int] = {}
    for run in runs:
        fields = run.source, run.records, run.received - received, run.source_time - source_time
        for column, value in zip(columns, (*fields, run.sequence - due.get(run.source, 0)), strict=True):
            column.append(value)
        received, source_time = run.received, run.source_time
        due[run.source] = run.sequence + run.records
    return columns


def _rows(columns: Sequence[Sequence[int]]) -> list[Run]:
    """Return the runs of the columns."""
    runs: list[Run] = []
    received = source_time = 0
    due: dict[int, int] = {}
    for source, records, later, source_later, ahead in zip(*columns, strict=True):
        received, source_time = received + later, source_time + source_later
        sequence = due.get(source, 0) + ahead
        due[source] = sequence + records
        runs.append(Run(source, records, received, source_time, sequence))
    return runs


def _ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Return [first, count] of each run of following numbers."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == sum(found[-1]):
            found[-1][1] += 1
        else:
            found.append([number, 1])
    return found


class Block:
    """A packed block that was read. Its pieces are unpacked when they are asked for, and only the last two are kept."""

    def __init__(self, frame: Frame) -> None:
        """Read everything but the pieces. Raises ValueError if it is no block."""
        self.header = frame.header
        self._payload = frame.payload
        try:
            self._read(frame)
        except (TypeError, KeyError, IndexError, struct.error, zlib.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the packed block is malformed: {error}") from error
        self._dictionary: bytes | None = None
        self._last: tuple[int, list[bytes]] = (-1, [])

    def _read(self, frame: Frame) -> None:
        payload = frame.payload
        (size,) = struct.unpack_from(">I", payload)
        unpack = zlib.decompressobj()
        index = json.loads(unpack.decompress(payload[4 : 4 + size], _LARGEST))
        if not unpack.eof or unpack.unused_data or index["v"] != 1:
            raise ValueError("the index of the packed block cannot be read")
        self.entry = int(index["entry"])
        at = 4 + size
        self.parts: list[Part] = []
        first = frame.header.position
        for number, (count, kept, seeds) in enumerate(index["segments"], frame.header.segment):
            if not 0 <= count <= SEGMENT_RECORDS:
                raise ValueError(f"segment {number} cannot have {count} records")
            stored = -(-count // PIECE_RECORDS) if kept and count > PIECE_RECORDS else 0
            nodes = [payload[low : low + 32] for low in range(at, at + 32 * stored, 32)]
            found = [salts.Seed(depth, place, bytes.fromhex(node)) for depth, place, node in seeds]
            self.parts.append(Part(number, first, count, not kept, found, nodes))
            at += 32 * stored
            first += count
        self.runs = _rows(index["runs"])
        self.erased: dict[int, bytes] = {}
        for low, count in index["erased"]:
            for offset in range(low, low + count):
                self.erased[offset] = payload[at : at + 32]
                at += 32
        self.pieces: list[Piece] = []
        for records, length, separator in index["pieces"]:
            self.pieces.append(Piece(records, at, at + length, separator))
            at += length
        kept_records = sum(part.records for part in self.parts if not part.gone)
        held = kept_records - len(self.erased)
        if (
            at != len(payload)
            or first - frame.header.position != frame.header.records
            or sum(run.records for run in self.runs) != kept_records
            or min((run.records for run in self.runs), default=1) < 1
            or sum(piece.records for piece in self.pieces) != held
            or min((piece.records for piece in self.pieces), default=1) < 1
        ):
            raise ValueError("the counts of the packed block do not fit its size")

    def piece(self, number: int) -> list[bytes]:
        """Return the bodies of a piece. Raises ValueError if it cannot be unpacked."""
        if self._last[0] != number:
            self._last = number, _split(self.pieces[number], self._text(number))
        return self._last[1]

    def _text(self, number: int) -> bytes:
        if number and self._dictionary is None:
            self._text(0)
        piece = self.pieces[number]
        unpack = zlib.decompressobj(-15, zdict=self._dictionary or b"") if number else zlib.decompressobj(-15)
        try:
            text = unpack.decompress(self._payload[piece.start : piece.end], _LARGEST)
        except zlib.error as error:
            raise ValueError(f"piece {number} of the packed block cannot be unpacked: {error}") from error
        if not unpack.eof or unpack.unused_data:
            raise ValueError(f"piece {number} of the packed block cannot be unpacked: it does not end where it should")
        if not number:
            self._dictionary = text[:_DICTIONARY]
        return text

    def segments(
        self, damaged: Callable[[int, int], Exception] | None = None, *, bodies: bool = True
    ) -> Iterator[Sealed]:
        """Give the segments with their records; without ``bodies`` these are not unpacked.

        Raises ValueError, or what ``damaged`` makes of the positions of a damaged piece.
        """
        unpacked = self._bodies(damaged)
        runs = iter(self.runs)
        for part in self.parts:
            if part.gone:
                yield Sealed(part.number, part.first, part.records, gone=True)
                continue
            own, rest = [], part.records
            while rest:
                own.append(next(runs))
                rest -= own[-1].records
                if rest < 0:
                    raise ValueError(f"a run goes beyond segment {part.number}")
            begin = part.first - self.header.position
            erased = (
                {at: self.erased[begin + at] for at in range(part.records) if begin + at in self.erased}
                if self.erased
                else {}
            )
            found: list[bytes | None] = []
            if bodies:
                found += islice(unpacked, part.records - len(erased))
                for at in sorted(erased):
                    found.insert(at, None)
            yield Sealed(part.number, part.first, part.records, own, found, erased, part.seeds, part.nodes)

    def _bodies(self, damaged: Callable[[int, int], Exception] | None) -> Iterator[bytes]:
        for number in range(len(self.pieces)):
            try:
                bodies = self.piece(number)
            except ValueError as error:
                if damaged is None:
                    raise
                positions = self.positions(number)
                raise damaged(positions[0], positions[-1]) from error
            yield from bodies

    def positions(self, number: int) -> list[int]:
        """Return the positions of the records of a piece."""
        before = sum(piece.records for piece in self.pieces[:number])
        return self._kept()[before : before + self.pieces[number].records]

    def _kept(self) -> list[int]:
        """Return the positions of all records whose bytes are kept, in order."""
        start = self.header.position
        return [
            position
            for part in self.parts
            if not part.gone
            for position in range(part.first, part.first + part.records)
            if position - start not in self.erased
        ]

    def bodies(self, low: int, high: int) -> Iterator[tuple[int, bytes]]:
        """Give (position, bytes) of the records in [low, high) that are kept, unpacking no more than they need."""
        kept = self._kept()
        at = 0
        for number, piece in enumerate(self.pieces):
            positions = kept[at : at + piece.records]
            at += piece.records
            if positions[-1] >= low and positions[0] < high:
                yield from (pair for pair in zip(positions, self.piece(number), strict=True) if low <= pair[0] < high)

    def headers(self) -> Iterator[tuple[int, Run]]:
        """Give (first position, run) of the segments that are kept."""
        runs = iter(self.runs)
        for part in self.parts:
            position, end = part.first, part.first + part.records
            while not part.gone and position < end:
                run = next(runs)
                yield position, run
                position += run.records


def _split(piece: Piece, text: bytes) -> list[bytes]:
    """Return the records of a piece's text. Raises ValueError."""
    if piece.separator is not None:
        bodies = text.split(bytes([piece.separator]))
    else:
        try:
            lengths = struct.unpack_from(f">{piece.records}I", text)
        except struct.error as error:
            raise ValueError(f"the lengths of a piece cannot be read: {error}") from error
        ends = list(accumulate(lengths, initial=4 * piece.records))
        if ends[-1] != len(text):
            raise ValueError("the lengths of a piece do not fit its size")
        bodies = [text[low:high] for low, high in pairwise(ends)]
    if len(bodies) != piece.records:
        raise ValueError(f"a piece holds {len(bodies)} records, not {piece.records}")
    return bodies


def digest_is_right(frame: Frame) -> bool:
    """Tell whether a packed frame is what was written."""
    return sha256(frame.signed).digest() == frame.mac


def blocks(segments: Sequence[Sealed], index: int) -> Iterator[bytes]:
    """Give the frames of following segments, as many to a block as may be unpacked at once."""
    start, records, size = 0, 0, 0
    for at, segment in enumerate(segments):
        if at > start and (
            records + segment.count > BLOCK_RECORDS or size + segment.size > BLOCK_BYTES or at - start >= BLOCK_SEGMENTS
        ):
            yield encode(index + start, segments[start:at])
            start, records, size = at, 0, 0
        records += segment.count
        size += segment.size
    if start < len(segments):
        yield encode(index + start, segments[start:])


def cut(block: Block, first: int, end: int) -> Iterator[bytes]:
    """Give the frames of those segments of a block that are the log's entries [first, end)."""
    wanted = [segment for index, segment in enumerate(block.segments(), block.entry) if first <= index < end]
    yield from blocks(wanted, max(first, block.entry))
