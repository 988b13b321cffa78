"""Reads a shard up to its durable head, in any process, without the writer's help."""

from __future__ import annotations

import os
import time
from bisect import bisect_left, bisect_right
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple

from watchbill.core.errors import LedgerError, NotFoundError, Place
from watchbill.ledger import frames
from watchbill.ledger.frames import Header, Kind
from watchbill.ledger.packing import Block
from watchbill.ledger.segment import Group, decode_group
from watchbill.ledger.sources import SourceFacts
from watchbill.ledger.volume import Head, VolumePath, read_opening, shard_path, volumes


class StoredRecord(NamedTuple):
    """A record as it was received. Times in UTC nanoseconds (``source_time`` 0: the source gave none)."""

    position: int
    raw: bytes
    source: int
    received: int
    source_time: int
    sequence: int


_LOOK = 1.0  # seconds between two looks at whether a volume was packed
_record = partial(tuple.__new__, StoredRecord)  # the fast way to make a NamedTuple from fields in order


class Reader:
    """Reads records by position. Not thread-safe; open one a thread."""

    def __init__(self, path: Path, shard: int) -> None:
        self._path = shard_path(path, shard)
        self._volumes: list[VolumePath] = []
        self._index: _Index | None = None
        self._sources: dict[int, SourceFacts] = {}
        self._sources_upto = -1

    def head(self) -> int:
        """Return the durable head as the writer last published it: positions below it can be read."""
        head = Head.read(self._path)
        return head.position if head else 0

    def read(self, start: int, limit: int, most_bytes: int = 1 << 62) -> list[StoredRecord]:
        """Return the records of the next ``limit`` positions; none beyond the head. Deleted ones are left out.

        No further group is read once ``most_bytes`` were. Raises LedgerError if they cannot be read.
        """
        head = Head.read(self._path)
        end = min(start + limit, head.position if head else 0)
        records: list[StoredRecord] = []
        while head and start < end:
            index = self._index_of(start, head)
            before = start
            for header in index.groups(start):
                records += index.records(header, start, end)
                start = min(end, header.position + header.records)
                most_bytes -= header.length
                if most_bytes <= 0:
                    end = start
                if start >= end:
                    break
            if start == before:
                raise LedgerError(
                    f"position {start} cannot be found", place=Place(str(index.path)), mend='run "watchbill verify"'
                )
        return records

    def get(self, position: int) -> StoredRecord:
        """Return one record. Raises NotFoundError at or beyond the head, or if it was deleted."""
        records = self.read(position, 1) if position >= 0 else []
        if not records and 0 <= position < self.head():
            raise NotFoundError(f"the record at position {position} was deleted, as an entry of the log says")
        if not records:
            raise NotFoundError(f"there is no record at position {position}")
        return records[0]

    def source(self, number: int) -> SourceFacts:
        """Return what is known of a source. Raises NotFoundError if it was not registered (durably) yet."""
        if number not in self._sources:
            self._learn()
        if number not in self._sources:
            raise NotFoundError(f"there is no source {number}")
        return self._sources[number]

    def sources(self) -> list[SourceFacts]:
        """Return all sources in order of their numbers, as they are registered up to the durable head."""
        self._learn()
        return [self._sources[number] for number in sorted(self._sources)]

    def close(self) -> None:
        """Close the volume that is open, if any."""
        if self._index:
            self._index.close()
            self._index = None

    def _learn(self) -> None:
        """Take up registrations since the last time: from the last volume's opening, then record by record."""
        head = Head.read(self._path)
        if head is None:
            return
        if self._sources_upto < 0:
            last = next(volume for volume in volumes(self._path) if volume.number == head.volume)
            self._sources.update(read_opening(last.path)[0].sources.facts)
            self._sources_upto = last.position
        while self._sources_upto < head.position:
            index = self._index_of(self._sources_upto, head)
            for header in index.groups(self._sources_upto):
                for raw in index.registrations(header):
                    known = SourceFacts.from_registration(raw)
                    self._sources[known.number] = known
                self._sources_upto = header.position + header.records

    def _index_of(self, position: int, head: Head) -> _Index:
        """Return the index of the volume that holds a position, complete up to the head."""
        index = self._index
        if index is None or not index.holds(position) or self._volumes[-1].number != head.volume or index.replaced():
            self._volumes = [volume for volume in volumes(self._path) if volume.number <= head.volume]
            at = bisect_right(self._volumes, position, key=lambda volume: volume.position) - 1
            if at < 0:
                raise LedgerError(f"position {position} is no longer kept", place=Place(str(self._path)))
            following = self._volumes[at + 1].position if at + 1 < len(self._volumes) else None
            if self._index is None or self._index.path != self._volumes[at].path or self._index.replaced():
                self.close()
                self._index = _Index(self._volumes[at].path)
            index = self._index
            index.limit = following
        index.extend(head.end if index.limit is None else None)
        return index


class _Index:
    """Where the groups of a volume stand. ``limit`` is the next volume's first position, None in the last volume."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.limit: int | None = None
        self._groups: list[Header] = []
        self._first = int(path.name[9:25])
        self._end = 0
        self._block: Block | None = None
        self._looked = time.monotonic()

    def holds(self, position: int) -> bool:
        return self._first <= position and (self.limit is None or position < self.limit)

    def extend(self, end: int | None) -> None:
        """Index the frames up to an offset, None for all of the file."""
        for header in frames.headers(self.fd, self._end, os.fstat(self.fd).st_size if end is None else end):
            self._end = header.end
            if header.kind in (Kind.GROUP, Kind.PACKED) and header.records:
                self._groups.append(header)

    def groups(self, position: int) -> islice[Header]:
        """Give the groups from the one that holds a position on; what stands behind an abandoned volume's limit is left out."""
        at = bisect_right(self._groups, position, key=lambda header: header.position) - 1
        end = None if self.limit is None else bisect_left(self._groups, self.limit, key=lambda header: header.position)
        return islice(self._groups, max(at, 0), end)

    def replaced(self) -> bool:
        """Tell whether the volume was packed since it was opened: what was deleted from it is not read any more."""
        if self.limit is None or time.monotonic() - self._looked < _LOOK:
            return False
        self._looked = time.monotonic()
        try:
            return self.path.stat().st_ino != os.fstat(self.fd).st_ino
        except FileNotFoundError:
            return True

    def records(self, header: Header, start: int, end: int) -> list[StoredRecord]:
        """Return the records of a group or block that lie in [start, end). Raises LedgerError."""
        try:
            if header.kind == Kind.PACKED:
                return _unpack(self._packed(header), start, end)
            return _decode(decode_group(frames.read(self.fd, header).payload, header.records), header, start, end)
        except ValueError as error:
            place = Place(str(self.path), offset=header.offset)
            raise LedgerError(str(error), place=place, mend='run "watchbill verify"') from error

    def registrations(self, header: Header) -> list[bytes]:
        """Return the records of source 0 in a group or block. Raises LedgerError."""
        if header.kind == Kind.PACKED and all(run.source for run in self._packed(header).runs):
            return []
        return [
            one.raw for one in self.records(header, header.position, header.position + header.records) if not one.source
        ]

    def _packed(self, header: Header) -> Block:
        """Return a block; the last one is kept, with what was unpacked of it."""
        if self._block is None or self._block.header != header:
            self._block = Block(frames.read(self.fd, header))
        return self._block

    def close(self) -> None:
        os.close(self.fd)


def _unpack(block: Block, start: int, end: int) -> list[StoredRecord]:
    """Return the records of a block that lie in [start, end). Raises ValueError."""
    records: list[StoredRecord] = []
    bodies = dict(block.bodies(start, end))
    for at, (source, count, received, source_time, sequence) in block.headers():
        low, high = max(start, at), min(end, at + count)
        for position in range(low, high):
            if position in bodies:
                fields = position, bodies[position], source, received, source_time, sequence + position - at
                records.append(_record(fields))
    return records


def _decode(group: Group, header: Header, start: int, end: int) -> list[StoredRecord]:
    """Return the records of a group that lie in [start, end)."""
    records: list[StoredRecord] = []
    at = header.position
    for source, count, received, source_time, sequence in group.runs:
        low, high = max(start, at), min(end, at + count)
        if low < high:
            first, last = low - header.position, high - header.position
            raws = group.bodies(first, last)
            sequences = range(sequence + low - at, sequence + high - at)
            fields = zip(
                range(low, high), raws, repeat(source), repeat(received), repeat(source_time), sequences, strict=False
            )
            records += map(_record, fields)
        at += count
    return records
