"""Checks stored frames against the log: every record is hashed again. Used on volumes and on bundles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import salts, tree
from watchbill.ledger.deletions import Deletions, missing
from watchbill.ledger.frames import HEADER_SIZE, NO_MAC, Frame, Header, Kind
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.packing import Block, Sealed, digest_is_right
from watchbill.ledger.pending import source_ranges
from watchbill.ledger.report import ShardFacts
from watchbill.ledger.segment import Drop, Group, Run, chunk_nodes, commitments, decode_group, leaves
from watchbill.ledger.sources import Sources

CHUNK = 256


class _Segment:
    """The groups of a segment whose seal has not come yet."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.runs: list[Run] = []
        self.drops: list[Drop] = []
        self.records = 0
        self.groups: list[tuple[Header, Group]] = []
        self.mac = NO_MAC

    def bodies(self) -> list[bytes]:
        """Return the bytes of all records."""
        found: list[bytes] = []
        for header, group in self.groups:
            found += group.bodies(0, header.records)
        return found

    def place(self, name: str, position: int) -> Place:
        """Return the place of the group that holds a position."""
        headers = [header for header, _ in self.groups]
        holding = [header for header in headers if header.position <= position]
        return Place(name, offset=(holding or headers)[-1].offset)


class FrameCheck:
    """Takes frames in order. Every method raises LedgerError with the place of the first thing that is wrong."""

    def __init__(
        self,
        shard: int,
        name: str,
        entry: Callable[[int], bytes | None],
        tail_key: Callable[[int], bytes | None],
        deletions: Deletions | None = None,
    ) -> None:
        """``entry`` gives the log's entry at an index, None beyond what was signed; ``tail_key`` a segment's key if kept.

        ``deletions`` is what entries of the log allow to be missing.
        """
        self.facts = ShardFacts(shard)
        self.position: int | None = None  # the next one; None until the first frame says
        self.segment: int | None = None
        self.previous: str | None = None
        self.sources = Sources()
        self.strict = False  # sources are followed from the ledger's beginning, not from their first record here
        self.index = 0  # of the next log entry
        self.share = (0, 1)  # (k, n): of every n segments or blocks, the records of the k-th are hashed
        self.mine = True  # the last segment or block was one of these
        self._blocks = 0
        self._shard, self._name, self._entry, self._tail_key = shard, name, entry, tail_key
        self._deletions = deletions or Deletions()
        self._open: dict[int, _Segment] = {}

    def take(self, frame: Frame) -> None:
        """Check the next frame."""
        if frame.header.kind == Kind.VOLUME:
            raise LedgerError("a second opening in one volume", place=Place(self._name, offset=frame.header.offset))
        try:
            match frame.header.kind:
                case Kind.GROUP:
                    self._group(frame)
                case Kind.SEAL:
                    self._seal(frame)
                case Kind.ENTRY:
                    self._compare_entry(frame.payload)
                case Kind.PACKED:
                    self._packed(frame)
        except ValueError as error:
            raise LedgerError(str(error), place=Place(self._name, offset=frame.header.offset)) from error

    def finish(self, *, tail: bool) -> None:
        """Check what is left at the end: nothing, or (``tail``) the groups that are not sealed yet."""
        for number, segment in self._open.items():
            if not tail:
                raise LedgerError(f"segment {number} has no seal", place=segment.place(self._name, segment.first))
            self.facts.unsealed += segment.records

    def sealed_end(self) -> tuple[int | None, int | None]:
        """Return the position and the segment that follow on the last seal."""
        oldest = min(self._open, default=None)
        return (self.position, self.segment) if oldest is None else (self._open[oldest].first, oldest)

    def _group(self, frame: Frame) -> None:
        header = frame.header
        if header.segment not in self._open:
            if self.segment is not None and header.segment != self.segment:
                raise ValueError(f"segment {header.segment} where {self.segment} is due")
            self._open[header.segment] = _Segment(header.position)
            self.segment = header.segment + 1
        if self.position is not None and header.position != self.position:
            raise ValueError(f"position {header.position} where {self.position} is due")
        self.position = header.position + header.records
        segment = self._open[header.segment]
        key = self._tail_key(header.segment)
        if key and not frame.follows(key, segment.mac):
            raise ValueError(
                f"positions {header.position} to {self.position - 1}, not yet sealed, are not what was written"
            )
        segment.mac = frame.mac
        group = decode_group(frame.data, header.records, HEADER_SIZE, HEADER_SIZE + header.length)
        segment.runs += group.runs
        segment.drops += group.drops
        segment.records += header.records
        segment.groups.append((header, group))

    def _packed(self, frame: Frame) -> None:
        """Check the segments of a packed block: their manifests stand in the log alone."""
        place = Place(self._name, offset=frame.header.offset)

        def damaged(low: int, high: int) -> LedgerError:
            return LedgerError(f"the records at positions {low} to {high} cannot be unpacked", place=place)

        if self._open:
            raise ValueError("a packed block between the groups of a segment")
        block = Block(frame)
        if block.entry != self.index:
            raise ValueError(f"a block from entry {block.entry} where {self.index} is due")
        self.mine = self._is_mine(self._blocks)
        self._blocks += 1
        for segment in block.segments(damaged, bodies=self.mine or not all(run.source for run in block.runs)):
            entry = self._entry(self.index)
            if entry is None:
                raise ValueError(f"segment {segment.number} is packed, and the signed log does not hold it")
            manifest = Manifest.decode(entry)
            self._compare_packed(manifest, segment, place)
            self.index += 1
            self.previous = tree.leaf_hash(entry).hex()
            self.position, self.segment = segment.first + segment.count, segment.number + 1
            self._count(manifest)
        if not digest_is_right(frame):
            raise ValueError("the block's digest is wrong: it is not what was written")

    def _compare_packed(self, manifest: Manifest, segment: Sealed, place: Place) -> None:
        number = segment.number
        due = (
            self.segment if self.segment is not None else number,
            self.position if self.position is not None else segment.first,
        )
        if (number, segment.first) != due:
            raise ValueError(f"segment {number} from position {segment.first} where {due} is due")
        found = _Segment(segment.first)
        found.runs, found.drops = list(segment.runs), list(manifest.drops)
        ranges = manifest.sources if segment.gone else source_ranges(segment.runs)
        times = [run.received for run in segment.runs] or list(manifest.received)
        self._compare_facts(manifest, number, found, segment.count, ranges, times, place)
        named = self._deletions.of_segment(number, segment.first, segment.count)
        if not self.strict:
            firsts = [each[:2] for each in ranges] + [drop[:2] for drop in manifest.drops]
            for source, sequence in firsts:
                self.sources.following.setdefault(source, sequence)
        if segment.gone:
            if 0 in named.sources:  # the registration of a source was lost with its first records
                for source, first, _, _ in ranges:
                    self.sources.following.setdefault(source, first)
            for source, _, _, records in ranges:
                missing(self.facts.deleted, named.sources.get(source), records, f"source {source} in segment {number}")
            self.sources.pass_over(ranges, manifest.drops)
            return
        allowed = named.records(segment.first, segment.runs) if segment.erased else {}
        for at in segment.erased:
            missing(self.facts.deleted, allowed.get(at), 1, f"position {segment.first + at}")
        if self.mine:
            self._compare_hashes(manifest, segment, place)
        self.sources.take(segment.runs, manifest.drops, segment.bodies)

    def _is_mine(self, number: int) -> bool:
        at, shares = self.share
        return number % shares == at

    def _compare_hashes(self, manifest: Manifest, segment: Sealed, place: Place) -> None:
        whole = [seed[:2] for seed in segment.seeds] == [(0, 0)]
        known: Sequence[bytes | None] = (
            salts.expand_whole(segment.seeds[0], segment.count) if whole else salts.expand(segment.seeds, segment.count)
        )
        committed = list(segment.erased.values())
        if not segment.erased:
            committed = commitments(segment.bodies, known)  # type: ignore[arg-type]
        else:
            committed = [
                segment.erased[at] if body is None else sha256((salt or b"") + body).digest()
                for at, (salt, body) in enumerate(zip(known, segment.bodies, strict=True))
            ]
            if any(known[at] is not None for at in segment.erased):
                raise ValueError(f"segment {segment.number} still holds the salt of a deleted record")
        nodes = chunk_nodes(leaves(self._shard, segment.first, segment.runs, committed))
        self._compare_nodes(manifest, nodes, segment.nodes or nodes[:1], lambda _: place)

    def _seal(self, frame: Frame) -> None:
        number = frame.header.segment
        if number != min(self._open, default=None):
            raise ValueError(f"a seal of segment {number}, which is not the oldest open one")
        segment = self._open.pop(number)
        seal = Seal.decode(frame.payload)
        signed = self._compare_entry(seal.manifest)
        manifest = Manifest.decode(seal.manifest)
        self._compare_manifest(manifest, number, segment)
        self.mine = self._is_mine(number)
        bodies = segment.bodies() if self.mine or not all(run.source for run in segment.runs) else []
        if self.mine:
            self._compare_records(manifest, seal, segment, bodies)
        if not self.strict:
            for source, sequence in [(run.source, run.sequence) for run in segment.runs] + [
                d[:2] for d in segment.drops
            ]:
                self.sources.following.setdefault(source, sequence)
        self.sources.take(segment.runs, segment.drops, bodies)
        self.previous = tree.leaf_hash(seal.manifest).hex()
        if signed:
            self._count(manifest)
        else:
            self.facts.unsealed += manifest.count

    def _count(self, manifest: Manifest) -> None:
        facts = self.facts
        if not facts.segments:
            facts.first_position = manifest.first
        facts.segments += 1
        facts.events += manifest.count
        facts.end_position = manifest.first + manifest.count
        facts.dropped += sum(drop.lost for drop in manifest.drops)
        low, high = facts.received or manifest.received
        facts.received = min(low, manifest.received[0]), max(high, manifest.received[1])

    def _compare_entry(self, entry: bytes) -> bool:
        """Compare with the log; tell whether this index is signed."""
        expected = self._entry(self.index)
        if expected is not None and entry != expected:
            raise ValueError(f"this is not what the log holds as its entry {self.index}")
        self.index += 1
        return expected is not None

    def _compare_manifest(self, manifest: Manifest, number: int, segment: _Segment) -> None:
        times = [run.received for run in segment.runs] or list(manifest.received)
        place = segment.place(self._name, segment.first)
        ranges = source_ranges(segment.runs)
        self._compare_facts(manifest, number, segment, segment.records, ranges, times, place)

    def _compare_facts(
        self,
        manifest: Manifest,
        number: int,
        segment: _Segment,
        count: int,
        ranges: tuple[tuple[int, int, int, int], ...],
        times: Sequence[int],
        place: Place,
    ) -> None:
        found = {
            "shard": (manifest.shard, self._shard),
            "segment": (manifest.segment, number),
            "previous": (manifest.previous, manifest.previous if self.previous is None else self.previous),
            "first": (manifest.first, segment.first),
            "count": (manifest.count, count),
            "received": (manifest.received, (min(times), max(times))),
            "sources": (manifest.sources, ranges),
            "drops": (manifest.drops, tuple(segment.drops)),
        }
        for field, (stated, stored) in found.items():
            if stated != stored:
                what = f"segment {number} (positions from {segment.first}): the manifest says {field} {stated}, stored is {stored}"
                raise LedgerError(what, place=place)

    def _compare_records(self, manifest: Manifest, seal: Seal, segment: _Segment, bodies: Sequence[bytes]) -> None:
        if [seed[:2] for seed in seal.seeds] != [(0, 0)]:
            raise ValueError(f"segment {manifest.segment} has not its one seed")
        known = salts.expand_whole(seal.seeds[0], len(bodies))
        nodes = chunk_nodes(leaves(self._shard, segment.first, segment.runs, commitments(bodies, known)))
        self._compare_nodes(manifest, nodes, seal.nodes, lambda position: segment.place(self._name, position))

    def _compare_nodes(
        self, manifest: Manifest, nodes: Sequence[bytes], stored: Sequence[bytes], place: Callable[[int], Place]
    ) -> None:
        if tree.root(nodes).hex() == manifest.root:
            if list(nodes) != list(stored):
                raise ValueError(f"the stored nodes of segment {manifest.segment} are not those of its records")
            return
        low, high = manifest.first, manifest.first + manifest.count
        if tree.root(stored).hex() == manifest.root and len(nodes) == len(stored):
            wrong = first_difference(nodes, stored)
            low, high = low + wrong * CHUNK, min(high, low + (wrong + 1) * CHUNK)
        what = (
            f"the records at positions {low} to {high - 1} (segment {manifest.segment}) are not those that were sealed"
        )
        raise LedgerError(what, place=place(low))


def first_difference(found: Sequence[bytes], expected: Sequence[bytes]) -> int:
    """Return the first index at which two lists differ; their common length if one only is longer."""
    return next(
        (at for at, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), min(len(found), len(expected))
    )
