"""What a writer finds on disk when it starts: the state of the last volume, cut back to its last whole frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import tree
from watchbill.ledger.frames import Frame, Kind
from watchbill.ledger.keys import TailKey
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.note import Checkpoint, Verifier, open_note
from watchbill.ledger.pending import PendingSegment
from watchbill.ledger.segment import decode_group
from watchbill.ledger.sources import Sources
from watchbill.ledger.tiles import Log, TileReader
from watchbill.ledger.volume import Head, Opening, Volume, VolumePath, volumes

_MEND = 'run "watchbill verify", keep a copy of the ledger as it is, and restore from a backup'


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


def recover(shard: int, path: Path, tail: TailKey, signer: Verifier, now: int) -> State | None:
    """Take up a shard; None if nothing was ever acknowledged in it. Raises LedgerError if what was durable is damaged."""
    head = Head.read(path)
    last = _last_volume(path, head)
    if last is None:
        return None
    volume = Volume(last.path, last.number, 0)
    try:
        state = _Replay(shard, tail, now, volume).run(path / "log", head.end if head else 0)
        volume.sync()  # what was complete but not yet acknowledged is kept, and from now on counts
    except BaseException:
        volume.close()
        raise
    _check_checkpoint(state.log, signer)
    return state


def _last_volume(path: Path, head: Head | None) -> VolumePath | None:
    """Return the volume to go on with. Later ones than the published were never acknowledged: they are removed."""
    found = volumes(path)
    if head is None:
        if len(found) > 1:
            raise LedgerError("the file is missing or damaged", place=Place(str(path / "head")), mend=_MEND)
        for volume in found:  # the very first one, which a crash kept from being published
            volume.path.unlink()
        return None
    for volume in found:
        if volume.number > head.volume:
            volume.path.unlink()
    here = [volume for volume in found if volume.number == head.volume]
    if not here:
        raise LedgerError(f"volume {head.volume} is missing", place=Place(str(path / "events")), mend=_MEND)
    return here[0]


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
        raise LedgerError(str(error), place=place, mend=_MEND) from error
    if signed.size > log.size:
        raise LedgerError(f"{signed.size} entries were signed, {log.size} are there", place=place, mend=_MEND)
    log.flush()
    if reader.root(signed.size) != signed.root:
        raise LedgerError("the log is not the one that was signed", place=place, mend=_MEND)


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
        except (LedgerError, ValueError) as error:
            cause = str(error)
        if state is None or end < durable:
            place = Place(self._name, offset=end)
            raise LedgerError(f"what was acknowledged is damaged: {cause}", place=place, mend=_MEND)
        if unsealed := [number for number, segment in self._open.items() if not segment.key]:
            raise LedgerError(f"the seal of segment {unsealed[0]} is gone", place=Place(self._name), mend=_MEND)
        self._volume.end = end
        self._volume.cut()
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
                state.log.append(frame.payload)
            case Kind.GROUP:
                self._group(state, frame)
            case Kind.SEAL:
                self._seal(state, frame)
            case Kind.VOLUME:
                raise ValueError("a second opening")

    def _group(self, state: State, frame: Frame) -> None:
        header = frame.header
        segment = self._open.get(header.segment)
        if segment is None:
            if header.segment != state.segment:
                raise ValueError(f"segment {header.segment} follows {state.segment - 1}")
            key = self._tail.key(header.segment) if header.segment >= self._tail.segment else b""
            segment = PendingSegment(self._shard, header.segment, header.position, self._now, key)
            self._open[header.segment] = segment
            state.segment += 1
        if header.position != state.position:
            raise ValueError(f"position {header.position} where {state.position} is due")
        if segment.key and not frame.follows(segment.key, segment.mac):
            raise ValueError("the group is not what was written")
        group = decode_group(frame.payload, header.records)
        bodies = group.bodies(0, header.records)
        segment.restore(group.runs, group.drops, bodies)
        segment.stored(header.offset, header.end - header.offset, frame.mac)
        state.position += header.records

    def _seal(self, state: State, frame: Frame) -> None:
        if frame.header.segment != min(self._open, default=None):
            raise ValueError("a seal of no open segment")
        segment = self._open.pop(frame.header.segment)
        if segment.key and not frame.follows(segment.key, segment.mac):
            raise ValueError("the seal is not what was written")
        entry = Seal.decode(frame.payload).manifest
        Manifest.decode(entry)
        state.log.append(entry)
        state.previous = tree.leaf_hash(entry).hex()
        state.sealed.take(segment.runs, segment.drops, segment.bodies)
