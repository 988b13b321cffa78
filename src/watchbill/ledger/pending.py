"""A segment that is still open: its records in memory until they are sealed."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import accumulate

from watchbill.ledger import frames, salts, tree
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.segment import (
    SEGMENT_RECORDS,
    Drop,
    Run,
    chunk_nodes,
    commitments,
    decode_group,
    encode_group,
    leaves,
)

SEGMENT_BYTES = 8 << 20
SEGMENT_SOURCES = 1000  # keeps a manifest below the 65,535 bytes of a log entry


class PendingSegment:
    """Records and drops of one segment; those below the ``stored_`` marks are durable in the volume."""

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
        self.mac = frames.NO_MAC
        self.extents: list[tuple[int, int]] = []  # where the groups stand in the volume: offset, bytes
        self._sources: set[int] = set()
        self._stored = (0, 0, 0)  # runs, drops, records

    @property
    def full(self) -> bool:
        return (
            len(self.bodies) >= SEGMENT_RECORDS or self.size >= SEGMENT_BYTES or len(self._sources) >= SEGMENT_SOURCES
        )

    @property
    def unstored(self) -> bool:
        return self._stored != self._whole()

    def take(self, run: Run, bodies: Sequence[bytes], lengths: Sequence[int]) -> int:
        """Take records from the front of a run, as many as fit (at least one); return how many."""
        count = min(run.records, SEGMENT_RECORDS - len(self.bodies))
        if sum(lengths[:count]) > SEGMENT_BYTES - self.size:
            fitting = sum(1 for total in accumulate(lengths[:count]) if total <= SEGMENT_BYTES - self.size)
            count = min(count, fitting + 1)
        self.runs.append(run._replace(records=count))
        self.bodies += bodies[:count]
        self.lengths += lengths[:count]
        self.size += sum(lengths[:count])
        self._sources.add(run.source)
        return count

    def drop(self, drop: Drop) -> None:
        self.drops.append(drop)
        self._sources.add(drop.source)

    def restore(self, runs: Sequence[Run], drops: Sequence[Drop], bodies: Sequence[bytes]) -> None:
        """Take what recovery found in a group; it is stored already."""
        self.runs += runs
        self.drops += drops
        self.bodies += bodies
        self.lengths += map(len, bodies)
        self.size += sum(map(len, bodies))
        self._sources.update(run.source for run in runs)
        self._sources.update(drop.source for drop in drops)
        self._stored = self._whole()

    def forget_stored(self) -> None:
        """Count nothing as stored: the volume that held it was abandoned."""
        self._stored = (0, 0, 0)
        self.mac = frames.NO_MAC
        self.extents = []

    def group(self) -> tuple[bytes, bytes]:
        """Return the frame of what is not stored yet, without its MAC, and that MAC."""
        runs, drops, records = self._stored
        bodies = self.bodies[records:]
        payload = encode_group(self.runs[runs:], self.drops[drops:], bodies, self.lengths[records:])
        signed = frames.encode(frames.Kind.GROUP, self.number, self.first + records, len(bodies), payload)
        return signed, frames.chain(self.key, self.mac, signed)

    def stored(self, offset: int, size: int, mac: bytes) -> None:
        """Note that the last group is durable, and where."""
        self._stored = self._whole()
        self.extents.append((offset, size))
        self.mac = mac

    def seal(self, groups: Sequence[bytes], previous: str, sealed: int, boot: str, clock: str) -> Seal:
        """Make the seal, with a fresh seed for the salts, of the groups' frames as they were read back from the disk.

        Raises OSError (EIO) if they are not what was written.
        """
        runs, bodies = self._read_back(groups)
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

    def _read_back(self, groups: Sequence[bytes]) -> tuple[list[Run], list[bytes]]:
        runs: list[Run] = []
        bodies: list[bytes] = []
        mac = frames.NO_MAC
        for data in groups:
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
