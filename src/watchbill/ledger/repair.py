"""Goes on after damage to what was acknowledged: keeps what is proven, sets the rest aside, and says so in the log.

Nothing is deleted. A damaged volume goes to the shard's folder "damaged"; in its place stands a volume with those of its
segments that are whole. What was acknowledged and not sealed yet is kept as it was written; in place of a lost record
stands a registration of the ledger's own voice, so that positions stay what they are. Entries of kind "incident", signed
with the log's next head, name all of it: the verifier tells of them, and takes nothing for lost that they do not name.

The signed log itself must be whole: without it nothing could tell what is missing. It is restored from a copy.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from watchbill.core import canonical
from watchbill.core.clock import Clock
from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable, frames, packing, unsealed
from watchbill.ledger.deletions import Deletions, Incident, Part
from watchbill.ledger.frames import NO_MAC, Kind
from watchbill.ledger.keys import TailKey, open_root_public, origin
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.note import Checkpoint, open_note
from watchbill.ledger.packing import Sealed
from watchbill.ledger.rotation import Signer
from watchbill.ledger.salvage import Salvage, salvage
from watchbill.ledger.tiles import Log, TileReader
from watchbill.ledger.tree import Frontier, leaf_hash
from watchbill.ledger.unsealed import VOICE, State
from watchbill.ledger.verify import check_last, check_volume, is_deletion, is_manifest
from watchbill.ledger.volume import Head, Opening, VolumePath, opening_of, shard_path, volumes
from watchbill.ledger.writer import Writer

ASIDE = "damaged"
_NEW = ".repair"
Progress = Callable[[int, int], None]


class Damage(NamedTuple):
    """A volume that is damaged: where, what, how many sealed and unsealed records cannot be kept, and where it is set aside."""

    shard: int
    place: str
    what: str
    sealed: int
    unsealed: int
    aside: str


@dataclass
class _Mend:
    """What is to be done with one damaged volume."""

    damage: Damage
    volume: VolumePath
    opening: Opening
    upto: int  # the log entry after its last
    incident: Incident
    tail: unsealed.Tail | None = None  # what was not sealed yet, of the last volume


def examine(ledger: Path, keys: Path, shard: int, progress: Progress | None = None) -> list[Damage]:
    """Say what ``repair`` would do; nothing is changed. ``progress``: (bytes read, bytes in all).

    Raises LedgerError where it could do nothing.
    """
    return [mend.damage for mend in _Shard(ledger, keys, shard, progress).mends()]


def repair(ledger: Path, keys: Path, shard: int, clock: Clock, progress: Progress | None = None) -> list[Damage]:
    """Mend a shard that no process writes; return what was done. Raises LedgerError, OSError; it can be called again."""
    path = shard_path(ledger, shard)
    with _alone(path):
        work = _Shard(ledger, keys, shard, progress)
        mends = list(work.mends())
        for mend in mends:
            mend.incident = work.write_aside(mend, clock.now())
        last = next((mend for mend in mends if mend.tail), None)
        if last and last.tail:
            last.tail.write(path, keys, last.volume.number + 1, [mend.incident.encode() for mend in mends], clock.now())
    if mends:
        with _opened(ledger, keys, shard, clock) as writer:
            for mend in mends if last is None else ():
                writer.enter(mend.incident.encode())
            _tell(writer, mends, clock.now())
        for mend in mends:
            work.replace(mend)
    return [mend.damage for mend in mends]


def _opened(ledger: Path, keys: Path, shard: int, clock: Clock) -> Writer:
    """Raises LedgerError where the parts are of different moments, as in a copy that was made while it was written."""
    try:
        return Writer.open(ledger, shard=shard, keys=keys, clock=clock)
    except LedgerError as error:
        mend = "restore all of the folder, volumes, log/ and keys of one moment, from a backup or a second copy"
        raise LedgerError(f"this cannot be repaired: {error.what}", place=error.place, mend=mend) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        mend = "stop Watchbill first, then repair"
        raise LedgerError("another process writes this shard", place=Place(str(path)), mend=mend, retry=True) from None
    finally:
        os.close(lock)


def _tell(writer: Writer, mends: list[_Mend], now: int) -> None:
    """Let the ledger itself say what happened, for the engine's rules."""
    number = writer.source(*VOICE, format=VOICE[0])
    for mend in mends:
        detail = {"what": mend.damage.what, "sealed": mend.damage.sealed, "unsealed": mend.damage.unsealed}
        note = {
            "watchbill": 1, "event": "ledger.repaired", "at": now, "actor": "system",
            "object": {"kind": "volume", "id": f"{mend.damage.shard}/{mend.volume.number}"},
            "detail": {**detail, "aside": mend.damage.aside},
        }  # fmt: skip
        writer.append(number, [canonical.dumps(note)], now)
    writer.commit()


class _Shard:
    def __init__(self, ledger: Path, keys: Path, shard: int, progress: Progress | None) -> None:
        self._path, self._keys, self._shard = shard_path(ledger, shard), keys, shard
        self._log = TileReader(self._path / "log")
        self._signed, self._deletions = self._read_log()
        self._head = Head.read(self._path)
        self._found = {volume.number: volume for volume in volumes(self._path)}
        self._last = max(self._found, default=0)
        self._total = sum(volume.path.stat().st_size for volume in self._found.values())
        self._done = 0
        self._progress = progress

    def mends(self) -> Iterator[_Mend]:
        """Give what is to be done, in the order of the volumes. Raises LedgerError."""
        state = State()
        for number in range(self._last + 1):
            name = f"{number:08}-{state.position:016}.vol"
            volume = self._found.get(number) or VolumePath(number, state.position, self._path / "events" / name)
            following = self._opening(number + 1)
            wrong = self._wrong(volume, following)
            if wrong is None and following:
                state = State.at(following)
                continue
            found = salvage(volume.path, self._step) if volume.path.exists() else Salvage()
            opening = self._opening(number) or state.opening(self._shard, volume)
            state = State.at(opening)
            if number == self._last:
                self._check_log_reaches(opening)
            upto = following.log_size if following else self._upto(number, found, opening)
            parts, lost = self._carry_on(state, found, upto)
            tail = None
            if number == self._last:
                if wrong is None:
                    return
                key = self._tail_key()
                tail = unsealed.Tail.of(self._shard, state, found, key, self._head.position if self._head else 0)
            elif wrong is None:
                continue
            yield self._mend(volume, opening, wrong, parts, lost, found.sha256, tail, state.index)

    def write_aside(self, mend: _Mend, now: int) -> Incident:
        """Write what is to stand in a volume's place, without putting it there; return the incident as of now."""
        durable.make_folder(self._path / ASIDE)
        new = mend.volume.path.with_name(f"{mend.volume.path.name}{_NEW}")
        found = salvage(mend.volume.path, lambda _: None) if mend.volume.path.exists() else Salvage()
        with new.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            for data in self._content(mend, found):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return replace(mend.incident, time=now)

    def replace(self, mend: _Mend) -> None:
        """Set a damaged volume aside and put the new one in its place."""
        path = mend.volume.path
        if mend.damage.aside:
            os.link(path, self._path / mend.damage.aside)
            durable.sync_directory(self._path / ASIDE)
        path.with_name(f"{path.name}{_NEW}").replace(path)
        durable.sync_directory(path.parent)

    def _read_log(self) -> tuple[int, Deletions]:
        """Return the signed size, and what is named as deleted or lost. Raises LedgerError if the log is not whole."""
        place = Place(str(self._log.path))
        mend = "restore the folder log/ of this shard from a copy: nothing else can tell what is missing"
        try:
            name = origin(open_root_public(self._keys), self._shard)
            note = self._log.checkpoint() or ""
            signed = Checkpoint.parse(open_note(note, Signer(self._log.path, self._keys, name).verifier))
            deletions, frontier = Deletions(), Frontier()
            for index, entry in enumerate(self._log.entries(0, signed.size)):
                frontier.append(leaf_hash(entry))
                if is_deletion(entry):
                    deletions.take(index, entry, self._shard)
            whole = frontier.root() == signed.root == self._log.root(signed.size)
        except (ValueError, LedgerError) as error:
            raise LedgerError(f"the signed log is damaged: {error}", place=place, mend=mend) from error
        if not whole:
            raise LedgerError("the log is not the one that was signed", place=place, mend=mend)
        return signed.size, deletions

    def _check_log_reaches(self, opening: Opening) -> None:
        """Raise LedgerError if the log ends before the last volume begins, as in a copy that was made while it was written."""
        try:
            Log(self._log.path, opening.log_size)
        except LedgerError as error:
            what = f"the log does not reach the last volume: {error.what}"
            mend = "copy the folder log/ of this shard again, after the volumes"
            raise LedgerError(what, place=error.place, mend=mend) from error

    def _step(self, size: int) -> None:
        self._done += size
        if self._progress:
            self._progress(min(self._done, self._total), self._total)

    def _opening(self, number: int) -> Opening | None:
        try:
            return opening_of(self._found[number])
        except (KeyError, LedgerError, OSError):
            return None

    def _wrong(self, volume: VolumePath, following: Opening | None) -> str | None:
        """Return what the verifier finds wrong with a volume, None if nothing."""
        if not volume.path.exists():
            return "the volume is missing"
        try:
            if following:
                self._step(volume.path.stat().st_size)
                _, finding = check_volume(self._shard, volume, following, self._log.path, self._signed, self._deletions)
                return finding.what if finding else None
            opening_of(volume)
        except LedgerError as error:
            return error.what
        if volume.number < self._last:
            return None  # the next one's opening is what is damaged
        if self._head is None:
            return "the shard's head is missing or damaged"
        if self._head.volume > self._last:
            return f"the volume behind it, {self._head.volume}, is missing"
        tail = self._tail_key()
        if tail is None:
            return "the tail's key is missing or damaged"
        return check_last(self._shard, volume, self._head, self._log.path, self._signed, tail, self._deletions)

    def _tail_key(self) -> TailKey | None:
        try:
            return TailKey.of(self._keys, self._shard, create=False)
        except (LedgerError, FileNotFoundError):
            return None

    def _upto(self, number: int, found: Salvage, opening: Opening) -> int | None:
        """Return the log entry after a volume's last where no next opening tells it; None for the last volume."""
        if number == self._last:
            return None
        whole = max([*found.seals, *found.blocks], default=opening.segment - 1)
        following = self._found.get(number + 1)
        for index, entry in enumerate(self._log.entries(opening.log_size, self._signed), opening.log_size):
            if not is_manifest(entry):
                continue
            manifest = Manifest.decode(entry)
            if manifest.first >= following.position if following else manifest.segment > whole:
                return index
        return self._signed

    def _carry_on(self, state: State, found: Salvage, upto: int | None) -> tuple[tuple[Part, ...], int]:
        """Carry the state on over a volume's entries; return the segments that are lost, and their records."""
        parts: list[Part] = []
        lost = 0
        for _, entry, sealed in self._entries(replace(state), found, upto):
            state.index += 1
            if not is_manifest(entry):
                continue
            manifest = Manifest.decode(entry)
            state.take(entry, manifest, sealed)
            sources = tuple(one[0] for one in manifest.sources)
            if sealed is None and not self._deletions.of_segment(manifest.segment, manifest.first, 0).all(sources):
                parts.append(Part(manifest.segment, manifest.segment + 1, sources))
                lost += manifest.count
        return tuple(parts), lost

    def _entries(self, start: State, found: Salvage, upto: int | None) -> Iterator[tuple[int, bytes, Sealed | None]]:
        """Give the log's entries of a volume, each manifest with its segment if that is whole. Of the last volume also
        those that were sealed and not signed yet.
        """
        previous, segment = start.previous, start.segment
        end = self._signed if upto is None else upto
        for index, entry in enumerate(self._log.entries(start.index, end), start.index):
            sealed = None
            if is_manifest(entry):
                manifest = Manifest.decode(entry)
                sealed = found.sealed(self._shard, manifest)
                previous, segment = leaf_hash(entry).hex(), manifest.segment + 1
            yield index, entry, sealed
        while upto is None and segment in found.seals:
            manifest_of = found.unsigned(self._shard, segment, previous)
            if manifest_of is None:
                return
            entry, sealed = manifest_of
            yield end, entry, sealed
            previous, segment, end = leaf_hash(entry).hex(), segment + 1, end + 1

    def _mend(
        self, volume: VolumePath, opening: Opening, wrong: str, parts: tuple[Part, ...], lost: int, digest: str,
        tail: unsealed.Tail | None, upto: int,
    ) -> _Mend:  # fmt: skip
        aside = self._aside(volume.path) if volume.path.exists() else ""
        notes = tail.lost if tail else ()
        gone = sum(count for _, count in notes)
        incident = Incident(self._shard, 0, volume.number, aside, digest, wrong, parts, notes)
        damage = Damage(self._shard, str(volume.path), wrong, lost, gone, aside)
        return _Mend(damage, volume, opening, upto, incident, tail)

    def _aside(self, path: Path) -> str:
        """Return a name in the folder for what is set aside that is not taken."""
        taken, name = 0, f"{ASIDE}/{path.name}"
        while (self._path / name).exists():
            taken += 1
            name = f"{ASIDE}/{path.name}.{taken}"
        return name

    def _content(self, mend: _Mend, found: Salvage) -> Iterator[bytes]:
        """Give the frames of the volume that is to stand in a damaged one's place."""
        yield mend.opening.encode() + NO_MAC
        waiting: list[Sealed] = []
        state = State.at(mend.opening)
        upto = None if mend.tail else mend.upto
        for index, entry, sealed in self._entries(replace(state), found, upto):
            if is_manifest(entry):
                manifest = Manifest.decode(entry)
                gone = Sealed(manifest.segment, manifest.first, manifest.count, gone=True)
                waiting.append(sealed or gone)
                state.take(entry, manifest, sealed)
                continue
            yield from packing.blocks(waiting, index - len(waiting))
            waiting.clear()
            yield frames.encode(Kind.ENTRY, state.segment, state.position, 0, entry) + NO_MAC
        yield from packing.blocks(waiting, mend.upto - len(waiting))
