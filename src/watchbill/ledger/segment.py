"""Groups of records as they are stored, and the commitments and leaves that are made of them.

A group's payload (integers big-endian):

    runs 4 | drops 4 | runs x (source 4, count 4, received 8, source time 8, first sequence 8)
    | drops as canonical JSON | records x length 4 | the records' bytes

Records of a run share source and times, and their sequences follow each other.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate, chain, count, pairwise, repeat
from typing import NamedTuple

from watchbill.core import canonical
from watchbill.ledger import tree

SEGMENT_RECORDS = 4096
CHUNK_LEVEL = 8  # one stored node for 2**8 = 256 records
_COUNTS = struct.Struct(">II")
_RUN = struct.Struct(">IIqqQ")
_LEAF_START = struct.Struct(">BBQ")
_LEAF_MIDDLE = struct.Struct(">qqI")
_LEAF_REST = struct.Struct(">Q20sQ32s")


class Run(NamedTuple):
    """Records that differ in position, sequence and bytes only."""

    source: int
    records: int
    received: int
    source_time: int
    sequence: int


class Drop(NamedTuple):
    """Records that a source lost before they reached the ledger; their sequences are left out."""

    source: int
    sequence: int
    lost: int
    reason: str


class Group(NamedTuple):
    """What one commit wrote of a segment. ``ends`` are the offsets in ``data`` between the records."""

    runs: list[Run]
    drops: list[Drop]
    ends: list[int]
    data: bytes

    def bodies(self, start: int, end: int) -> list[bytes]:
        """Return the bytes of records [start, end) of the group."""
        data = self.data
        return [data[low:high] for low, high in pairwise(self.ends[start : end + 1])]


def group_start(runs: Sequence[Run], drops: Sequence[Drop], lengths: Sequence[int]) -> bytes:
    """Return a group's payload up to the records' bytes: who writes it joins them once, since copies are dear."""
    lost = canonical.dumps([list(drop) for drop in drops]) if drops else b""
    counts = _COUNTS.pack(len(runs), len(lost))
    return b"".join([counts, *(_RUN.pack(*run) for run in runs), lost, struct.pack(f">{len(lengths)}I", *lengths)])


def decode_group(data: bytes, count: int, start: int = 0, end: int | None = None) -> Group:
    """Read a group's payload, which is ``data`` from ``start`` to ``end``. Raises ValueError if it is not one of ``count`` records."""
    try:
        run_count, lost = _COUNTS.unpack_from(data, start)
        at = start + _COUNTS.size + run_count * _RUN.size
        runs = [Run._make(fields) for fields in _RUN.iter_unpack(data[start + _COUNTS.size : at])]
        drops = [Drop(*fields) for fields in json.loads(data[at : at + lost])] if lost else []
        lengths = struct.unpack_from(f">{count}I", data, at + lost)
    except (struct.error, TypeError, RecursionError) as error:
        raise ValueError(f"the group is malformed: {error}") from error
    first = at + lost + 4 * count
    ends = list(accumulate(lengths, initial=first))
    if ends[-1] != (len(data) if end is None else end) or sum(run.records for run in runs) != count:
        raise ValueError("the group's counts do not fit its size")
    return Group(runs, drops, ends, data)


def commitments(bodies: Sequence[bytes], salts: Sequence[bytes]) -> list[bytes]:
    """Return SHA-256(salt ‖ record) for each."""
    return [sha256(salt + body).digest() for salt, body in zip(salts, bodies, strict=True)]


def leaves(shard: int, first: int, runs: Sequence[Run], committed: Sequence[bytes]) -> list[bytes]:
    """Return the leaf hashes of a segment: SHA-256(0x00 ‖ header ‖ commitment), the header being of 45 bytes:

    version 1 (0x01) | event id 16 (shard 8, position 8) | received 8 | source time 8 | source 4 | sequence 8
    """
    if sum(run.records for run in runs) != len(committed):
        raise ValueError("the runs are not those of the records")
    pack, begin = _LEAF_REST.pack, sha256(_LEAF_START.pack(0, 1, shard)).copy
    # One loop over all records, because most runs of a live source hold a single one.
    middles = chain.from_iterable(
        repeat(_LEAF_MIDDLE.pack(run.received, run.source_time, run.source), run.records) for run in runs
    )
    numbers = chain.from_iterable(range(run.sequence, run.sequence + run.records) for run in runs)
    found = []
    for position, middle, number, commitment in zip(count(first), middles, numbers, committed, strict=False):
        leaf = begin()
        leaf.update(pack(position, middle, number, commitment))
        found.append(leaf.digest())
    return found


def chunk_nodes(leaf_hashes: Sequence[bytes]) -> Sequence[bytes]:
    """Return the roots of each 256 leaves: their own tree's head is the segment's root."""
    if not leaf_hashes:
        return []
    levels = tree.levels(leaf_hashes)
    return levels[min(CHUNK_LEVEL, len(levels) - 1)]
