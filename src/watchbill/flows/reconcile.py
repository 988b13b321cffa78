"""No silent miss: what was judged is held against what the ledger says that it holds, all the time.

The engine counts by source in the transaction that stores its position (``state.coverage``). The ledger counts for itself:
each sealed segment's manifest says how many records of which source it has. Both are counted from the position at
which the engine began, up to where it stands. Any difference becomes Watchbill's own event ``engine.miscount``, once,
and by a rule that we bring a critical alert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from django.db import transaction

from watchbill.core.clock import Clock
from watchbill.core.errors import NotFoundError
from watchbill.core.paths import DataDir
from watchbill.ledger import Reader, shards
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path
from watchbill.state.coverage import actions, queries
from watchbill.state.coverage.values import Counts
from watchbill.state.readers import queries as readers
from watchbill.state.trail import actions as trail
from watchbill.state.trail.values import SYSTEM

MISCOUNT = "engine.miscount"
#: Entries of the log that are read at a time; when there are more, the comparison waits for the next time.
_MOST_ENTRIES = 10_000
_PIECE = 10_000
_NAMED = 20
#: Under which name the difference stands between what was judged and what the rules were held against.
_KINDS = "rules"


class Standing(msgspec.Struct, frozen=True):
    """How judging and the ledger stand to each other, by shard, since counting began at position ``since``.

    ``events`` were judged (``quarantined`` of them although no parser could read them), ``skipped`` are the ledger's own
    records. ``agrees`` says that this is what the ledger holds up to ``upto``, as of ``at`` (0: not compared yet);
    ``differences`` are records by source that the ledger has more (or, below zero, less).
    """

    shard: int
    since: int
    events: int
    quarantined: int
    skipped: int
    upto: int
    at: int
    agrees: bool
    differences: dict[str, int]


def standings() -> tuple[Standing, ...]:
    """What was judged of each shard, and what came of comparing it last."""
    return tuple(
        Standing(
            one.shard, one.since, one.events, one.quarantined, one.skipped, one.position, one.at,
            bool(one.at) and not one.known, dict(one.known),
        )
        for one in queries.all_counts()
    )  # fmt: skip


class _Held(NamedTuple):
    """What the manifests say: up to the log's entry ``entry`` and the position ``sealed``; ``whole`` when no entry is
    left that is of records before the engine's position.
    """

    entry: int
    sealed: int
    records: Counter[str]
    whole: bool


class Reconciler:
    """Compares, again and again; what it knows of the ledger's files it keeps."""

    def __init__(self, data: DataDir, clock: Clock) -> None:
        self._ledger, self._clock = data.ledger, clock
        self._readers: dict[int, Reader] = {}

    def reconcile(self) -> int:
        """Compare each shard; returns in how many there is a difference that was not known."""
        return sum(map(self._compare, shards(self._ledger)))

    def _compare(self, shard: int) -> bool:
        with queries.snapshot():
            position = readers.position("detect", shard)
            counts = queries.counts(shard)
        if counts is None:
            return False
        reader = self._readers.setdefault(shard, Reader(self._ledger, shard))
        log = TileReader(shard_path(self._ledger, shard) / "log")
        held = _manifests(log, reader, counts, position)
        found = dict(counts.known)
        if held.whole:
            found = _differences(held.records + _records(reader, held.sealed, position), counts)
        new = {name: missing for name, missing in found.items() if counts.known.get(name) != missing}
        now = self._clock.now()
        with transaction.atomic():
            actions.compared(
                shard, entry=held.entry, sealed=held.sealed, records=held.records,
                position=position if held.whole else counts.position, known=found, at=now,
            )  # fmt: skip
            if new:
                trail.record(SYSTEM, MISCOUNT, "shard", str(shard), _detail(reader, counts, position, new), now)
        return bool(new)


def _manifests(log: TileReader, reader: Reader, counts: Counts, position: int) -> _Held:
    """Add up the manifests of segments that end at or before a position."""
    note = log.checkpoint()
    size = Checkpoint.parse(note).size if note else 0
    last = min(size, counts.entry + _MOST_ENTRIES)
    entry, sealed, records = counts.entry, counts.sealed, Counter(counts.records)
    for raw in log.entries(entry, last):
        try:
            manifest = Manifest.decode(raw)
        except ValueError:  # an entry of another kind
            entry += 1
            continue
        end = manifest.first + manifest.count
        if end > position:
            return _Held(entry, sealed, records, whole=True)
        if end > sealed:
            if manifest.first == sealed:
                records.update({str(source): count for source, _, _, count in manifest.sources})
            else:  # counting began in the middle of this segment
                records += _records(reader, sealed, end)
            sealed = end
        entry += 1
    return _Held(entry, sealed, records, whole=last == size)


def _records(reader: Reader, start: int, end: int) -> Counter[str]:
    """Count the records themselves: of what is not sealed yet."""
    found: Counter[str] = Counter()
    while start < end and (records := reader.read(start, min(_PIECE, end - start))):
        found.update(str(record.source) for record in records if record.position < end)
        start = records[-1].position + 1
    return found


def _differences(held: Mapping[str, int], counts: Counts) -> dict[str, int]:
    """By source, how many records more the ledger has than were judged."""
    judged = {str(source): records for source, (records, _) in counts.judged.items()}
    found = {name: held.get(name, 0) - judged.get(name, 0) for name in sorted(held.keys() | judged.keys())}
    found[_KINDS] = counts.events - counts.by_kind
    return {name: missing for name, missing in found.items() if missing}


def _detail(reader: Reader, counts: Counts, position: int, new: Mapping[str, int]) -> dict[str, object]:
    missing = {name: count for name, count in new.items() if name != _KINDS}
    return {
        "from": counts.position,
        "upto": position,
        "missed": sum(max(count, 0) for count in missing.values()),
        "judged_twice": sum(max(-count, 0) for count in missing.values()),
        "not_held_against_rules": new.get(_KINDS, 0),
        "sources": [f"{_name(reader, name)}: {count:+}" for name, count in list(missing.items())[:_NAMED]],
    }


def _name(reader: Reader, number: str) -> str:
    if number == "0":
        return "the ledger's own records"
    try:
        return reader.source(int(number)).name
    except NotFoundError:
        return f"source {number}"
