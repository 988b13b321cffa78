"""The end of a shard that was acknowledged and not sealed yet, taken out of a damaged volume and begun anew in the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from watchbill.core.errors import LedgerError
from watchbill.ledger import frames
from watchbill.ledger.frames import NO_MAC, Kind, chain
from watchbill.ledger.keys import TailKey
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.packing import Sealed
from watchbill.ledger.pending import PendingSegment
from watchbill.ledger.salvage import Salvage
from watchbill.ledger.segment import Drop, Group, Run
from watchbill.ledger.sources import SourceFacts, Sources
from watchbill.ledger.tree import leaf_hash
from watchbill.ledger.volume import Head, HeadFile, Opening, Volume, VolumePath

#: The ledger's own voice: its registrations stand in the place of lost records.
VOICE = ("watchbill", "internal")
_REASON = "lost by damage to the ledger"


@dataclass
class State:
    """What follows next in a shard."""

    position: int = 0
    segment: int = 0
    index: int = 0
    previous: str = ""
    sources: Sources = field(default_factory=Sources)

    @classmethod
    def at(cls, opening: Opening) -> Self:
        """Return the state in which a volume was begun."""
        return cls(opening.position, opening.segment, opening.log_size, opening.previous, opening.sources.copy())

    def opening(self, shard: int, volume: VolumePath, cause: str = "full") -> Opening:
        """Return the opening of a volume that is begun in this state."""
        follows = volume.number - 1 if volume.number else None
        return Opening(
            shard, volume.number, self.segment, self.position, self.index, self.previous, self.sources.copy(), follows,
            cause if volume.number else "first",
        )  # fmt: skip

    def take(self, entry: bytes, manifest: Manifest, sealed: Sealed | None) -> None:
        """Carry on over a segment, of which there may be no more than the manifest. Raises ValueError."""
        if sealed is None:
            for source, first, _, _ in manifest.sources:
                self.sources.following.setdefault(source, first)
            self.sources.pass_over(manifest.sources, manifest.drops)
        else:
            self.sources.take(sealed.runs, manifest.drops, sealed.bodies)
        self.position, self.segment = manifest.first + manifest.count, manifest.segment + 1
        self.previous = leaf_hash(entry).hex()


@dataclass
class Tail:
    """What is to be written to the next volume. ``lost`` are positions [first, count]."""

    shard: int
    state: State
    segments: list[PendingSegment]
    lost: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, shard: int, state: State, found: Salvage, key: TailKey | None, durable_to: int) -> Self:
        """Take what is whole behind the last seal; ``durable_to`` is the position up to which all was acknowledged."""
        for number in state.sources.following:
            if number and number not in state.sources.facts:  # its registration was in a segment that is lost
                state.sources.facts[number] = SourceFacts(number, f"lost-{number}", "unknown", {})
        groups = list(found.unsealed(state.position, key.held if key else None))
        work = _Filling(shard, state, groups)
        for position, group, records in groups:
            work.fill(position)
            work.take(group, records)
        work.fill(max(durable_to, work.position))
        return cls(shard, state, work.segments, tuple(work.lost))

    def write(self, path: Path, keys: Path, number: int, entries: list[bytes], now: int) -> None:
        """Begin a volume with it and publish it, durably. Raises OSError."""
        tail = _tail_from(keys, self.shard, self.state.segment)
        opening = self.state.opening(self.shard, VolumePath(number, self.state.position, path), "repair")

        def mac(signed: bytes) -> bytes:
            return chain(tail.key(self.state.segment), NO_MAC, signed)

        volume = Volume.begin(path, opening, mac(opening.encode()))
        try:
            for entry in entries:
                signed = frames.encode(Kind.ENTRY, self.state.segment, self.state.position, 0, entry)
                volume.append(signed + mac(signed))
            end = self.state.position
            for segment in self.segments:
                segment.key, segment.opened = tail.key(segment.number), now
                group, tag = segment.group()
                segment.stored(volume.append(group), len(group), tag)
                end += len(segment.bodies)
            head = HeadFile(path)
            head.publish(Head(end, number, volume.end, self.state.segment), sync=True)
            head.close()
        finally:
            volume.close()


class _Filling:
    """Puts groups and notes into segments, position by position."""

    def __init__(self, shard: int, state: State, groups: list[tuple[int, Group, int]]) -> None:
        self._shard = shard
        self.position = state.position
        self.segments: list[PendingSegment] = []
        self.lost: list[tuple[int, int]] = []
        self._state = state
        self._sources = state.sources.copy()
        registered = {
            SourceFacts.from_registration(raw).number for _, group, _ in groups for raw in _registrations(group)
        }
        seen = {run.source for _, group, _ in groups for run in group.runs} | {
            drop.source for _, group, _ in groups for drop in group.drops
        }
        #: Sources whose registration was lost with the records that are missing.
        self._unknown = sorted(seen - registered - set(self._sources.following))
        voice = [number for number, facts in self._sources.facts.items() if (facts.name, facts.transport) == VOICE]
        most = max([0, *self._sources.facts, *registered, *seen])
        self._voice = SourceFacts(voice[0] if voice else most + 1, *VOICE, {"format": VOICE[0]})

    def fill(self, position: int) -> None:
        """Put notes in the place of what is missing before a position."""
        missing = position - self.position
        if missing <= 0:
            return
        self.lost.append((self.position, missing))
        notes = [SourceFacts(number, f"lost-{number}", "unknown", {}) for number in self._unknown[:missing]]
        self._unknown = self._unknown[missing:]
        notes += [self._voice] * (missing - len(notes))
        run = Run(0, missing, 0, 0, self._sources.following[0])
        self._put(run, [note.registration() for note in notes])

    def take(self, group: Group, records: int) -> None:
        """Put a group that is whole."""
        bodies, at = group.bodies(0, records), 0
        dropped = {(drop.source, drop.sequence): drop for drop in group.drops}
        for run in group.runs:
            while drop := dropped.pop((run.source, self._sources.following.get(run.source, 0)), None):
                self._drop(drop)
            due = self._sources.following.setdefault(run.source, run.sequence)
            if run.sequence > due:
                self._drop(Drop(run.source, due, run.sequence - due, _REASON))
            self._put(run, bodies[at : at + run.records])
            at += run.records
        for drop in dropped.values():
            if drop.sequence == self._sources.following.get(drop.source):
                self._drop(drop)

    def _drop(self, drop: Drop) -> None:
        self._current().drop(drop)
        self._sources.following[drop.source] = drop.sequence + drop.lost

    def _put(self, run: Run, bodies: list[bytes]) -> None:
        self._sources.following[run.source] = run.sequence + run.records
        if run.source == 0:
            for raw in bodies:
                self._sources.register(SourceFacts.from_registration(raw))
        while bodies:
            taken = self._current().take(run, bodies, list(map(len, bodies)))
            bodies = bodies[taken:]
            run = run._replace(records=run.records - taken, sequence=run.sequence + taken)
            self.position += taken

    def _current(self) -> PendingSegment:
        if not self.segments or self.segments[-1].full:
            number = self._state.segment + len(self.segments)
            self.segments.append(PendingSegment(self._shard, number, self.position, 0, b""))
        return self.segments[-1]


def _registrations(group: Group) -> Iterator[bytes]:
    at = 0
    for run in group.runs:
        if run.source == 0:
            yield from group.bodies(at, at + run.records)
        at += run.records


def _tail_from(keys: Path, shard: int, segment: int) -> TailKey:
    """Return a tail key that covers a segment: a new one, if it is missing or damaged or has gone further."""
    with suppress(LedgerError, FileNotFoundError):
        tail = TailKey.of(keys, shard, create=False)
        if tail.segment <= segment:
            return tail
    return TailKey.begin(keys, shard, segment)
