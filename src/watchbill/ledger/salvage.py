"""What can be kept of a damaged volume: its whole segments, and what was acknowledged and not sealed yet.

Nothing is believed that is not proven: a sealed segment is whole if its records give the root in the signed log, an
unsealed group if its MAC is right.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path

from watchbill.core.errors import LedgerError
from watchbill.ledger import frames, packing, salts, tree
from watchbill.ledger.frames import NO_MAC, Frame, Kind
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.packing import Block, Sealed
from watchbill.ledger.pending import source_ranges
from watchbill.ledger.segment import Group, Run, chunk_nodes, decode_group, leaves

_STEP = 4 << 20


@dataclass(slots=True)
class Salvage:
    """The whole frames of a volume, by what they are, and the file's digest."""

    groups: dict[int, list[tuple[Frame, bytes]]] = field(default_factory=dict)  # with the MAC that stands before each
    seals: dict[int, Frame] = field(default_factory=dict)
    blocks: dict[int, Sealed] = field(default_factory=dict)
    sha256: str = ""

    def sealed(self, shard: int, manifest: Manifest) -> Sealed | None:
        """Return the segment of a manifest if all of it is there as it was sealed."""
        number = manifest.segment
        segment = self.blocks.get(number) or self._from_groups(number, manifest)
        return segment if segment and _is_whole(shard, segment, manifest) else None

    def unsigned(self, shard: int, number: int, previous: str) -> tuple[bytes, Sealed] | None:
        """Return manifest and segment of a seal that no head covers yet, if it follows on and all of it is there."""
        try:
            entry = Seal.decode(self.seals[number].payload).manifest
            manifest = Manifest.decode(entry)
        except ValueError:
            return None
        segment = self.sealed(shard, manifest)
        return (entry, segment) if segment and (manifest.segment, manifest.previous) == (number, previous) else None

    def _from_groups(self, number: int, manifest: Manifest) -> Sealed | None:
        if number not in self.seals:
            return None
        runs: list[Run] = []
        bodies: list[bytes | None] = []
        try:
            seal = Seal.decode(self.seals[number].payload)
            for frame, _ in self.groups.get(number, []):
                group = decode_group(frame.payload, frame.header.records)
                runs += group.runs
                bodies += group.bodies(0, frame.header.records)
        except ValueError:
            return None
        return Sealed(number, manifest.first, manifest.count, runs, bodies, {}, seal.seeds, seal.nodes)

    def unsealed(self, position: int, key: Callable[[int], bytes] | None) -> Iterator[tuple[int, Group, int]]:
        """Give the groups from a position on that are as they were written: position, group, records.

        Where the key of a segment's MACs is gone, all of its groups that can be read are taken.
        """
        found = [(frame, before) for groups in self.groups.values() for frame, before in groups]
        last: dict[int, bytes] = {}
        for frame, before in sorted(found, key=lambda one: one[0].header.position):
            header = frame.header
            if header.position < position:
                continue
            candidates = (last.get(header.segment, NO_MAC), before)
            held = key(header.segment) if key else b""
            if held and not any(frame.follows(held, mac) for mac in candidates):
                continue
            last[header.segment] = frame.mac
            try:
                group = decode_group(frame.payload, header.records)
            except ValueError:
                continue
            yield header.position, group, header.records
            position = header.position + header.records


def salvage(path: Path, step: Callable[[int], None]) -> Salvage:
    """Read a volume over what is damaged in it; ``step`` is told of the bytes that were read. Raises OSError."""
    found = Salvage()
    with path.open("rb") as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        at, before = 0, NO_MAC
        while at < size:
            frame = _frame_at(fd, at, size)
            if frame is None:
                following = _next_frame(fd, at + 1, size)
                before = os.pread(fd, frames.MAC_SIZE, max(0, following - frames.MAC_SIZE))
                step(following - at)
                at = following
                continue
            _sort(found, frame, before)
            before = frame.mac
            step(frame.header.end - at)
            at = frame.header.end
        found.sha256 = file_digest(file, "sha256").hexdigest()
    return found


def _sort(found: Salvage, frame: Frame, before: bytes) -> None:
    number = frame.header.segment
    match frame.header.kind:
        case Kind.GROUP:
            found.groups.setdefault(number, []).append((frame, before))
        case Kind.SEAL:
            found.seals[number] = frame
        case Kind.PACKED:
            try:
                for segment in Block(frame).segments():
                    found.blocks[segment.number] = segment
            except (ValueError, LedgerError):
                return  # the segments of this block before the damage were taken


def _frame_at(fd: int, at: int, size: int) -> Frame | None:
    header = frames.decode_header(os.pread(fd, frames.HEADER_SIZE, at), at)
    return frames.read(fd, header) if header and header.end <= size else None


def _next_frame(fd: int, at: int, size: int) -> int:
    """Return where the next whole frame begins, the file's size if there is none."""
    while at < size:
        window = os.pread(fd, _STEP, at)
        place = window.find(b"WB")
        while place >= 0:
            if _frame_at(fd, at + place, size):
                return at + place
            place = window.find(b"WB", place + 1)
        at += max(len(window) - 1, 1)
    return size


def _is_whole(shard: int, segment: Sealed, manifest: Manifest) -> bool:
    """Tell whether a segment's records are those of its manifest, deleted ones by their commitments."""
    if segment.gone or (segment.number, segment.first, segment.count) != (
        manifest.segment, manifest.first, manifest.count,
    ):  # fmt: skip
        return False
    if len(segment.bodies) != segment.count or source_ranges(segment.runs) != manifest.sources:
        return False
    try:
        known = salts.expand(segment.seeds, segment.count)
        committed = [
            segment.erased[at] if body is None else sha256((salt or b"") + body).digest()
            for at, (salt, body) in enumerate(zip(known, segment.bodies, strict=True))
        ]
        nodes = chunk_nodes(leaves(shard, segment.first, segment.runs, committed))
    except (ValueError, KeyError):
        return False
    return tree.root(nodes).hex() == manifest.root and (
        segment.count <= packing.PIECE_RECORDS or list(nodes) == list(segment.nodes)
    )
