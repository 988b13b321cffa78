"""What a writer finds on disk when it starts: the state of the last volume, cut back to its last whole frame."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import frames, tree
from watchbill.ledger.frames import NO_MAC, Frame, Kind
from watchbill.ledger.keys import TailKey
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.note import Checkpoint, Verifier, open_note
from watchbill.ledger.pending import PendingSegment
from watchbill.ledger.segment import decode_group
from watchbill.ledger.sources import Sources
from watchbill.ledger.tiles import Log, TileReader
from watchbill.ledger.volume import Head, Opening, Volume, VolumePath, volumes

REPAIR = 'keep a copy of the ledger as it is; restore it from a backup, or see what "watchbill ledger repair" can keep'
_WITHOUT_RECORDS = {Kind.VOLUME, Kind.ENTRY}


@dataclass
class State:
    """A shard as it stands: what the next record, segment and log entry follow on."""

    volume: Volume
    log: Log
    position: int
    segment: int
    previous: str
    sealed: Sources
    pending: list[PendingSegment] = field(default_factory=list)
    began: int | None = None  # when the volume took its first records


def recover(shard: int, path: Path, tail: TailKey, signer: Verifier, now: int) -> State | None:
    """Take up a shard; None if nothing was ever acknowledged in it. Raises LedgerError if what was durable is damaged."""
    head = Head.read(path)
    found = volumes(path)
    if head is None:
        _begin_anew(path, found)
        return None
    here = [volume for volume in found if volume.number == head.volume]
    if not here:
        raise LedgerError(f"volume {head.volume} is missing", place=Place(str(path / "events")), mend=REPAIR)

    def replay(volume: VolumePath, durable: int) -> State:
        return _Replay(shard, tail, now, Volume(volume.path, volume.number, 0)).run(path / "log", durable)

    state = replay(here[0], head.end)
    for later in found:
        if later.number > head.volume:
            state = _later(state, later, replay)
    try:
        state.volume.cut()
        state.volume.sync()  # what was complete but not yet acknowledged is kept, and from now on counts
        _check_checkpoint(state.log, signer)
    except BaseException:
        state.volume.close()
        raise
    return state


def _begin_anew(path: Path, found: list[VolumePath]) -> None:
    """Without a head: let a first volume be begun again that a crash kept from being published, and nothing else."""
    for volume in found:
        if len(found) > 1 or _has_records(volume.path):
            raise LedgerError("the file is missing or damaged", place=Place(str(path / "head")), mend=REPAIR)
        volume.path.unlink()


def _has_records(volume: Path) -> bool:
    with volume.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        return any(header.kind not in _WITHOUT_RECORDS for header in frames.headers(file.fileno(), 0, size))


def _later(state: State, later: VolumePath, replay: Callable[[VolumePath, int], State]) -> State:
    """Choose between a volume and one behind it that the head does not know (yet).

    A crash while a volume is begun leaves it unpublished: nothing in it was acknowledged that the one before has not.
    Behind a head from an older copy there may be more. So the one that holds more is taken, and nothing is deleted.
    """
    try:
        other = replay(later, 0)
    except frames.LaterVersionError:
        state.volume.close()
        raise
    except LedgerError:
        other = None
    if other is not None and (other.position, other.log.size) >= (state.position, state.log.size):
        state.volume.close()
        return other
    if other is not None:
        other.volume.close()
    later.path.rename(later.path.with_name(f"{later.path.name}.unfinished"))
    return state


def _check_checkpoint(log: Log, signer: Verifier) -> None:
    """Refuse to go on behind a head that was already signed: it would be a fork."""
    reader = TileReader(log.path)
    note = reader.checkpoint()
    if note is None:
        return
    place = Place(str(log.path / "checkpoint"))
    try:
        signed = Checkpoint.parse(open_note(note, signer))
    except ValueError as error:
        raise LedgerError(str(error), place=place, mend=REPAIR) from error
    if signed.size > log.size:
        raise LedgerError(f"{signed.size} entries were signed, {log.size} are there", place=place, mend=REPAIR)
    log.flush()
    if reader.root(signed.size) != signed.root:
        raise LedgerError("the log is not the one that was signed", place=place, mend=REPAIR)


class _Replay:
    """Reads the frames of the last volume one by one into a state."""

    def __init__(self, shard: int, tail: TailKey, now: int, volume: Volume) -> None:
        self._shard, self._tail, self._now, self._volume = shard, tail, now, volume
        self._name = str(volume.path)
        self._open: dict[int, PendingSegment] = {}

    def run(self, log: Path, durable: int) -> State:
        end = 0
        state: State | None = None
        cause = "the end is missing"
        try:
            for frame in self._volume.frames():
                if state is None:
                    state = self._begin(log, frame)
                else:
                    self._take(state, frame)
                end = frame.header.end
        except frames.LaterVersionError:
            self._volume.close()
            raise
        except (LedgerError, ValueError) as error:
            cause = str(error)
        unsealed = [number for number, segment in self._open.items() if not segment.key]
        if state is None or end < durable or unsealed:
            self._volume.close()
            what = f"what was acknowledged is damaged: {cause}"
            if unsealed and end >= durable:
                what = f"the seal of segment {unsealed[0]} is gone"
            raise LedgerError(what, place=Place(self._name, offset=end), mend=REPAIR)
        self._volume.end = end
        state.pending = [self._open[number] for number in sorted(self._open)]
        return state

    def _begin(self, log: Path, frame: Frame) -> State:
        opening = Opening.decode(frame, self._name)
        return State(
            volume=self._volume,
            log=Log(log, opening.log_size),
            position=opening.position,
            segment=opening.segment,
            previous=opening.previous,
            sealed=opening.sources,
        )

    def _take(self, state: State, frame: Frame) -> None:
        match frame.header.kind:
            case Kind.ENTRY:
                self._entry(state, frame)
            case Kind.GROUP:
                self._group(state, frame)
            case Kind.SEAL:
                self._seal(state, frame)
            case Kind.VOLUME:
                raise ValueError("a second opening")

    def _entry(self, state: State, frame: Frame) -> None:
        """Take an entry of the log that is no manifest. Once signed it stays: a torn one must not get there."""
        number = frame.header.segment
        if number > state.segment:
            raise ValueError(f"an entry of segment {number}, where {state.segment} is due")
        key = self._tail.held(number)
        if key and not frame.follows(key, NO_MAC):
            raise ValueError("the entry is not what was written")
        state.log.append(frame.payload)

    def _group(self, state: State, frame: Frame) -> None:
        """Take a group. Everything is checked first: a frame that a crash tore must leave no trace in the state."""
        header = frame.header
        segment = self._open.get(header.segment)
        if segment is None:
            if header.segment != state.segment:
                raise ValueError(f"segment {header.segment} follows {state.segment - 1}")
            key = self._tail.key(header.segment) if header.segment >= self._tail.segment else b""
            segment = PendingSegment(self._shard, header.segment, header.position, self._now, key)
        if header.position != state.position:
            raise ValueError(f"position {header.position} where {state.position} is due")
        if segment.key and not frame.follows(segment.key, segment.mac):
            raise ValueError("the group is not what was written")
        group = decode_group(frame.payload, header.records)
        bodies = group.bodies(0, header.records)
        segment.restore(group.runs, group.drops, bodies)
        if state.began is None:
            state.began = group.runs[0].received if group.runs else segment.opened
        segment.stored(header.offset, header.end - header.offset, frame.mac)
        self._open[header.segment] = segment
        state.segment = max(state.segment, header.segment + 1)
        state.position += header.records

    def _seal(self, state: State, frame: Frame) -> None:
        """Take a seal; as with groups, everything is checked first."""
        number = frame.header.segment
        if number != min(self._open, default=None):
            raise ValueError("a seal of no open segment")
        segment = self._open[number]
        if segment.key and not frame.follows(segment.key, segment.mac):
            raise ValueError("the seal is not what was written")
        entry = Seal.decode(frame.payload).manifest
        Manifest.decode(entry)
        state.sealed.take(segment.runs, segment.drops, segment.bodies)
        state.log.append(entry)
        state.previous = tree.leaf_hash(entry).hex()
        del self._open[number]
