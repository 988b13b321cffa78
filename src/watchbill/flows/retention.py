"""How long records are kept, from the policy to the last copy: plan, signed entry, ledger, lake, alerts.

The entry in the ledger's log is signed first. What follows can be cut off at any moment and is taken up again from the
entries alone: the ledger's closed volumes are rewritten, then the lake drops the same events, then alerts forget what
they had copied. Only what was received (shard 0) is deleted; what was done (shard 1) is kept for ever.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from watchbill.core.clock import DAY, Clock
from watchbill.core.errors import LedgerError
from watchbill.core.paths import DataDir
from watchbill.lake import Lake
from watchbill.ledger import Reader, durable, orders
from watchbill.ledger.compaction import Packed, compact
from watchbill.ledger.deletions import Deletions, Erasure, Part, Retention, decode
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.sources import SourceFacts
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.verify import is_deletion, is_manifest
from watchbill.ledger.volume import shard_path, shards, volumes
from watchbill.state.alerts import actions as alerts
from watchbill.state.retention import actions, queries
from watchbill.state.retention.values import ErasureView, HoldView, PolicyView
from watchbill.state.trail.values import SYSTEM

log = logging.getLogger(__name__)

SHARD = 0
_MARK = "deleted-upto.json"
_MOST_TERMS = 400  # of one predicate


class Going(msgspec.Struct, frozen=True):
    """What a policy lets go now. ``size`` is what it takes on the disk, about."""

    policy: str
    days: int
    sources: tuple[str, ...]
    records: int
    size: int
    start: int
    end: int
    parts: tuple[Part, ...] = ()


class Gone(msgspec.Struct, frozen=True):
    """A deletion as the signed log tells of it. ``entry`` is its place in the log."""

    entry: int
    kind: str
    at: int
    why: str
    days: int
    sources: tuple[str, ...]
    records: int
    order: str


def governing(source: SourceFacts, policies: Sequence[PolicyView]) -> PolicyView | None:
    """The policy that decides on a source: of those that fit, the one that keeps longest; None keeps for ever."""
    form = source.facts.get("format", "")
    fitting = [one for one in policies if one.fits(source.name, source.transport, form)]
    return max(fitting, key=lambda one: one.days or 1 << 30, default=None)


def plan(data: DataDir, now: int) -> tuple[Going, ...]:
    """What the policies let go at this moment, and no hold keeps."""
    policies, holds = queries.policies(), queries.holds(standing=True)
    known = _sources(data)
    cutoffs: dict[int, tuple[PolicyView, int]] = {}
    for number, source in known.items():
        policy = governing(source, policies)
        if policy and policy.days:
            cutoffs[number] = policy, now - policy.days * DAY
    if not cutoffs:
        return ()
    deletions, manifests = _log(data)
    plans: dict[str, _Parts] = {}
    for manifest in manifests:
        named = deletions.of_segment(manifest.segment, manifest.first, manifest.count).sources if deletions else {}
        going: dict[str, set[int]] = {}
        for number, *_ in manifest.sources:
            policy, cutoff = cutoffs.get(number, (None, 0))
            due = policy and number not in named and manifest.received[1] < cutoff
            if policy and due and not _held(known[number], manifest, holds):
                going.setdefault(policy.name, set()).add(number)
        for name, numbers in going.items():
            plans.setdefault(name, _Parts()).add(manifest, numbers)
        for name in plans.keys() - going.keys():
            plans[name].pass_by(manifest)
    weights = _weights(data)
    by_name = {policy.name: policy for policy, _ in cutoffs.values()}
    return tuple(plans[name].going(by_name[name], known, weights) for name in sorted(plans))


class _Parts:
    """Collects what one policy lets go into as few parts as say exactly that."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.records: list[tuple[int, int]] = []  # first position of the segment, records that go
        self.times: list[int] = []
        self._first = self._end = 0
        self._gone: set[int] = set()
        self._kept: set[int] = set()

    def add(self, manifest: Manifest, numbers: set[int]) -> None:
        kept = {number for number, *_ in manifest.sources} - numbers
        if self._gone and ((self._gone | numbers) & (self._kept | kept) or manifest.segment != self._end):
            self._close()
        if not self._gone:
            self._first = manifest.segment
        self._gone |= numbers
        self._kept |= kept
        self._end = manifest.segment + 1
        self.records.append((manifest.first, sum(count for n, _, _, count in manifest.sources if n in numbers)))
        self.times += manifest.received

    def pass_by(self, manifest: Manifest) -> None:
        """Take notice of a segment of which nothing goes."""
        kept = {number for number, *_ in manifest.sources}
        if self._gone & kept or manifest.segment != self._end:
            self._close()
        else:
            self._kept |= kept
            self._end = manifest.segment + 1

    def going(self, policy: PolicyView, known: dict[int, SourceFacts], weights: list[tuple[int, float]]) -> Going:
        self._close()
        numbers = {number for part in self.parts for number in part.sources}
        size = sum(records * _weight(first, weights) for first, records in self.records)
        names = tuple(sorted({known[number].name for number in numbers}))
        count = sum(records for _, records in self.records)
        return Going(
            policy.name, policy.days, names, count, int(size), min(self.times), max(self.times), tuple(self.parts)
        )

    def _close(self) -> None:
        if self._gone:
            self.parts.append(Part(self._first, self._end, tuple(sorted(self._gone))))
        self._gone, self._kept = set(), set()


def run(data: DataDir, clock: Clock, *, by: str = SYSTEM) -> tuple[Going, ...]:
    """Delete what the policies let go. Raises LedgerError (``retry``) if the receiving process does not answer."""
    going = plan(data, clock.now())
    for one in going:
        made = orders.retention(SHARD, one.policy, one.days, one.parts)
        orders.carry_out(data.ledger, data.keys, clock, made)
        for order in made:
            actions.note_run(
                one.policy, days=one.days, records=one.records, size=one.size, order=order.order, by=by, at=clock.now()
            )
    if going:
        apply(data, clock)
    return going


def apply(data: DataDir, clock: Clock, progress: Callable[[int, int], None] | None = None) -> list[Packed]:
    """Bring the ledger's files, the lake and the alerts to what the signed log says; packs closed volumes, too.

    Resumes what was cut off. Raises LedgerError, LakeError.
    """
    for erasure in queries.approved():
        _order_erasure(data, clock, erasure)
    found: list[Packed] = []
    for shard in shards(data.ledger):
        found += compact(data.ledger, shard, now=clock.now(), progress=progress)
    if SHARD in shards(data.ledger) and _clean_lake(data):
        for erasure in queries.approved():
            ranges = queries.positions(erasure.id)
            alerts.forget_evidence(SHARD, ranges, by=SYSTEM, at=clock.now())
            actions.finish_erasure(erasure.id, by=erasure.decided_by, at=clock.now())
    return found


def deletions(data: DataDir) -> tuple[Gone, ...]:
    """Everything that was ever deleted, by the signed log: the newest first."""
    if SHARD not in shards(data.ledger):
        return ()
    known = _sources(data)
    named, manifests = _log(data)
    counts: dict[int, int] = {}
    for manifest in manifests if named else ():
        these = named.of_segment(manifest.segment, manifest.first, manifest.count)
        for number, _, _, records in manifest.sources:
            if (by := these.sources.get(number)) is not None:
                counts[by] = counts.get(by, 0) + records
    found = []
    for index, entry in _deletion_entries(data):
        if isinstance(entry, Retention):
            numbers = {number for part in entry.parts for number in part.sources}
            names = tuple(sorted({known[number].name for number in numbers if number in known}))
            found.append(
                Gone(index, "retention", entry.time, entry.policy, entry.days, names, counts.get(index, 0), entry.order)
            )
        else:
            records = sum(count for _, count in entry.positions)
            found.append(
                Gone(index, "erasure", entry.time, f"{entry.case}: {entry.reason}", 0, (), records, entry.order)
            )
    return tuple(reversed(found))


def _order_erasure(data: DataDir, clock: Clock, erasure: ErasureView) -> None:
    """Have an approved erasure entered into the log, unless it was already."""
    if any(isinstance(entry, Erasure) and entry.case == erasure.id for _, entry in _deletion_entries(data)):
        return
    made = orders.erasure(
        SHARD, erasure.id, erasure.reason.value, person(erasure.proposed_by), person(erasure.decided_by),
        queries.positions(erasure.id),
    )  # fmt: skip
    orders.carry_out(data.ledger, data.keys, clock, made)


def person(name: str) -> str:
    """A number for somebody who acts, as it stands in the ledger: it tells two people apart and names nobody."""
    return hashlib.sha256(b"watchbill person\n" + name.encode()).hexdigest()[:16]


def _clean_lake(data: DataDir) -> bool:
    """Drop from the lake what entries that it has not followed yet name; False if it has not come that far itself."""
    mark = data.lake / _MARK
    done = _marked(mark)
    fresh = [(index, entry) for index, entry in _deletion_entries(data) if index >= done]
    if not fresh:
        return True
    lake = Lake(data.lake)
    try:
        terms = list(_terms(data, [entry for _, entry in fresh]))
        if terms and lake.position(SHARD) < min(max(end for _, end, _ in terms), Reader(data.ledger, SHARD).head()):
            log.info("the lake is behind the ledger: it drops the deleted events when it has caught up")
            return False
        for at in range(0, len(terms), _MOST_TERMS):
            lake.delete(SHARD, terms[at : at + _MOST_TERMS])
        if terms:
            lake.vacuum(0)
    finally:
        lake.close()
    durable.replace(mark, json.dumps(fresh[-1][0] + 1).encode())
    return True


def _terms(data: DataDir, entries: Sequence[Retention | Erasure]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Give (first position, end position, source names; none: whatever source) of what entries name."""
    parts = [part for entry in entries if isinstance(entry, Retention) for part in entry.parts]
    yield from ((first, first + n, ()) for e in entries if isinstance(e, Erasure) for first, n in e.positions)
    if not parts:
        return
    known = _sources(data)
    spans: dict[int, tuple[int, int]] = {}
    for manifest in _log(data)[1]:
        for at, part in enumerate(parts):
            if part.first <= manifest.segment < part.end:
                low, high = spans.get(at, (manifest.first, 0))
                spans[at] = low, max(high, manifest.first + manifest.count)
    reader = Reader(data.ledger, SHARD)
    try:
        for at, (low, high) in spans.items():
            names = {known[number].name for number in parts[at].sources if number in known}
            others = {one.name for number, one in known.items() if number not in parts[at].sources}
            if names - others:
                yield low, high, tuple(sorted(names - others))
            if names & others:  # the lake knows names alone: what the ledger still holds of them stays
                yield from ((first, end, ()) for first, end in _holes(reader, low, high))
    finally:
        reader.close()


def _holes(reader: Reader, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Give the ranges of positions that the ledger no longer holds."""
    at = low
    while low < high:
        step = min(high, low + 10_000)
        for record in reader.read(low, step - low):
            if record.position > at:
                yield at, record.position
            at = record.position + 1
        low = step
    if at < high:
        yield at, high


def _marked(mark: Path) -> int:
    try:
        return int(json.loads(mark.read_bytes()))
    except (FileNotFoundError, ValueError):
        return 0


def _held(source: SourceFacts, manifest: Manifest, holds: Sequence[HoldView]) -> bool:
    return any(hold.blocks(source.name, *manifest.received) for hold in holds)


def _sources(data: DataDir) -> dict[int, SourceFacts]:
    if SHARD not in shards(data.ledger):
        return {}
    reader = Reader(data.ledger, SHARD)
    try:
        return {source.number: source for source in reader.sources()}
    finally:
        reader.close()


def _signed_entries(data: DataDir) -> Iterator[tuple[int, bytes]]:
    tiles = TileReader(shard_path(data.ledger, SHARD) / "log")
    note = tiles.checkpoint()
    if note is None:
        return
    try:
        size = Checkpoint.parse(note).size
    except ValueError as error:
        raise LedgerError(f"the checkpoint cannot be read: {error}", mend='run "watchbill verify"') from error
    yield from enumerate(tiles.entries(0, size))


def _deletion_entries(data: DataDir) -> list[tuple[int, Retention | Erasure]]:
    entries = ((index, decode(entry)) for index, entry in _signed_entries(data) if is_deletion(entry))
    return [(index, entry) for index, entry in entries if isinstance(entry, Retention | Erasure)]


def _log(data: DataDir) -> tuple[Deletions, Iterator[Manifest]]:
    """What was deleted so far, and the manifests one by one."""
    named = Deletions()
    for index, entry in _signed_entries(data):
        if is_deletion(entry):
            named.take(index, entry, SHARD)
    return named, (Manifest.decode(entry) for _, entry in _signed_entries(data) if is_manifest(entry))


def _weights(data: DataDir) -> list[tuple[int, float]]:
    """Return for each volume its first position and the bytes that a record takes in it."""
    found = volumes(shard_path(data.ledger, SHARD))
    head = Reader(data.ledger, SHARD).head()
    ends = [volume.position for volume in found[1:]] + [head]
    return [
        (volume.position, volume.path.stat().st_size / max(1, end - volume.position))
        for volume, end in zip(found, ends, strict=True)
    ]


def _weight(position: int, weights: Sequence[tuple[int, float]]) -> float:
    return next((each for first, each in reversed(weights) if first <= position), 0.0)


class Found(NamedTuple):
    """What a search for a person's records found: ranges of shard 0, and how many records stand elsewhere."""

    ranges: tuple[tuple[int, int], ...]
    records: int
    elsewhere: int


def find(lake: Lake, query: str, start: int, end: int) -> Found:
    """The records that a search finds, as ranges. Raises QueryError. What was done (shard 1) is counted, never erased."""
    if not query.strip():
        return Found((), 0, 0)
    positions, elsewhere = [], 0
    for row in lake.rows(query, start, end):
        shard, _, position = row.id.partition("-")
        if int(shard) == SHARD:
            positions.append(int(position))
        else:
            elsewhere += 1
    ranges: list[list[int]] = []
    for at in sorted(set(positions)):
        if ranges and at == sum(ranges[-1]):
            ranges[-1][1] += 1
        else:
            ranges.append([at, 1])
    return Found(tuple((first, count) for first, count in ranges), len(set(positions)), elsewhere)
