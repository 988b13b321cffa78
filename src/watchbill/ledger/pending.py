"""A segment that is still open: its records in memory until they are sealed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from watchbill.ledger import frames, salts, tree
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.segment import (
    SEGMENT_RECORDS,
    Drop,
    Run,
    chunk_nodes,
    commitments,
    decode_group,
    group_start,
    leaves,
)

SEGMENT_BYTES = 8 << 20
_AT_ONCE = 64  # records that are compared at once: larger blocks come from the kernel, whose page faults cost more
SEGMENT_SOURCES = 1000  # keeps a manifest below the 65,535 bytes of a log entry


class _Mark(NamedTuple):
    """How much of a segment comes before a place in it, and the MAC that the next group follows on."""

    runs: int = 0
    drops: int = 0
    records: int = 0
    mac: bytes = frames.NO_MAC


class PendingSegment:
    """Records and drops of one segment; those below the last mark are durable in the volume."""

    def __init__(self, shard: int, number: int, first: int, opened: int, key: bytes) -> None:
        self.shard = shard
        self.number = number
        self.first = first
        self.opened = opened
        self.key = key
        self.runs: list[Run] = []
        self.drops: list[Drop] = []
        self.bodies: list[bytes] = []
        self.lengths: list[int] = []
        self.size = 0
        self.extents: list[tuple[int, int]] = []  # where the groups stand in the volume: offset, bytes
        self._sources: set[int] = set()
        self._marks = [_Mark()]  # the beginning, and the end of each group that is stored

    @property
    def full(self) -> bool:
        return (
            len(self.bodies) >= SEGMENT_RECORDS or self.size >= SEGMENT_BYTES or len(self._sources) >= SEGMENT_SOURCES
        )

    @property
    def unstored(self) -> bool:
        return self._marks[-1][:3] != self._whole()

    @property
    def mac(self) -> bytes:
        """The MAC of the last group that is stored."""
        return self._marks[-1].mac

    def take(self, run: Run, bodies: Sequence[bytes], lengths: Sequence[int]) -> int:
        """Take records from the front of a run, as many as fit (at least one); return how many."""
        count = min(run.records, SEGMENT_RECORDS - len(self.bodies))
        lengths = lengths[:count]
        size = sum(lengths)
        if size > SEGMENT_BYTES - self.size:
            fitting = sum(1 for total in accumulate(lengths) if total <= SEGMENT_BYTES - self.size)
            count = min(count, fitting + 1)
            lengths = lengths[:count]
            size = sum(lengths)
        self.runs.append(run._replace(records=count))
        self.bodies += bodies[:count]
        self.lengths += lengths
        self.size += size
        self._sources.add(run.source)
        return count

    def drop(self, drop: Drop) -> None:
        self.drops.append(drop)
        self._sources.add(drop.source)

    def restore(self, runs: Sequence[Run], drops: Sequence[Drop], bodies: Sequence[bytes]) -> None:
        """Take what recovery found in a group; it is stored already, and ``stored`` says where."""
        self.runs += runs
        self.drops += drops
        self.bodies += bodies
        self.lengths += map(len, bodies)
        self.size += sum(map(len, bodies))
        self._sources.update(run.source for run in runs)
        self._sources.update(drop.source for drop in drops)

    def forget_stored(self) -> None:
        """Count nothing as stored: the volume that held it was abandoned."""
        self._marks = [_Mark()]
        self.extents = []

    def group(self) -> tuple[bytearray, bytes]:
        """Return the frame of what is not stored yet, and its MAC, with which it ends."""
        parts = self._parts(self._marks[-1], _Mark(*self._whole()))
        frame = bytearray().join([*parts, frames.NO_MAC])  # in its full length, which is not copied a second time
        with memoryview(frame) as view:
            mac = frames.chain(self.key, self.mac, view[: -frames.MAC_SIZE])
            view[-frames.MAC_SIZE :] = mac
        return frame, mac

    def _parts(self, start: _Mark, end: _Mark) -> list[bytes]:
        """Return the parts of the group between two marks, without its MAC."""
        bodies, lengths = self.bodies[start.records : end.records], self.lengths[start.records : end.records]
        begin = group_start(self.runs[start.runs : end.runs], self.drops[start.drops : end.drops], lengths)
        size, position = len(begin) + sum(lengths), self.first + start.records
        return [frames.encode_header(frames.Kind.GROUP, self.number, position, len(bodies), size), begin, *bodies]

    def stored(self, offset: int, size: int, mac: bytes) -> None:
        """Note that the last group is durable, and where."""
        self._marks.append(_Mark(*self._whole(), mac))
        self.extents.append((offset, size))

    def seal(self, read: Callable[[int, int], bytes], previous: str, sealed: int, boot: str, clock: str) -> Seal:
        """Make the seal, with a fresh seed for the salts, of what ``read`` (offset, bytes) gives back of the disk.

        Raises OSError (EIO) if that is not what was written.
        """
        runs, bodies = (self.runs, self.bodies) if self._is_on_disk(read) else self._read_back(read)
        seeds = [salts.Seed(0, 0, os.urandom(salts.SIZE))]
        committed = commitments(bodies, salts.expand_whole(seeds[0], len(bodies)))
        nodes = chunk_nodes(leaves(self.shard, self.first, runs, committed))
        times = [run.received for run in runs] or [sealed]
        manifest = Manifest(
            shard=self.shard,
            segment=self.number,
            previous=previous,
            first=self.first,
            count=len(bodies),
            root=tree.root(nodes).hex(),
            received=(min(times), max(times)),
            sealed=sealed,
            boot=boot,
            clock=clock,
            sources=source_ranges(runs),
            drops=tuple(self.drops),
        )
        return Seal(manifest.encode(), seeds, nodes)

    def _is_on_disk(self, read: Callable[[int, int], bytes]) -> bool:
        """Tell whether the disk gives back, byte by byte, the groups of the records that are to be hashed."""
        for extent, (start, end) in zip(self.extents, pairwise(self._marks), strict=True):
            offset, parts = extent[0], [*self._parts(start, end), end.mac]
            for low in range(0, len(parts), _AT_ONCE):
                piece = b"".join(parts[low : low + _AT_ONCE])
                if read(offset, len(piece)) != piece:
                    return False
                offset += len(piece)
        return True

    def _read_back(self, read: Callable[[int, int], bytes]) -> tuple[list[Run], list[bytes]]:
        """Return what the disk holds where the memory holds something else: the MACs say whether the disk is right."""
        runs: list[Run] = []
        bodies: list[bytes] = []
        mac = frames.NO_MAC
        for extent in self.extents:
            data = read(*extent)
            header = frames.decode_header(data[: frames.HEADER_SIZE], 0)
            if (
                header is None
                or (mac := frames.chain(self.key, mac, data[: -frames.MAC_SIZE])) != data[-frames.MAC_SIZE :]
            ):
                break
            group = decode_group(data[frames.HEADER_SIZE : -frames.MAC_SIZE], header.records)
            runs += group.runs
            bodies += group.bodies(0, header.records)
        if mac != self.mac or len(bodies) != len(self.bodies):
            raise OSError(errno.EIO, f"segment {self.number} was not read back as it was written")
        return runs, bodies

    def _whole(self) -> tuple[int, int, int]:
        return len(self.runs), len(self.drops), len(self.bodies)


def source_ranges(runs: Sequence[Run]) -> tuple[tuple[int, int, int, int], ...]:
    """Return (source, first sequence, last sequence, records) of each source, in order of its number."""
    found: dict[int, tuple[int, int, int]] = {}
    for source, count, _, _, sequence in runs:
        first, _, records = found.get(source, (sequence, 0, 0))
        found[source] = first, sequence + count - 1, records + count
    return tuple((source, *found[source]) for source in sorted(found))
