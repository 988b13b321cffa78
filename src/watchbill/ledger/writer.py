"""The writer of a shard: append, commit (then acknowledge), seal, sign."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from watchbill.core.clock import DAY, HOUR, SECOND, Clock
from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable, frames, machine, orders, tree
from watchbill.ledger.incidents import Incidents, Notice
from watchbill.ledger.keys import TailKey, open_private, open_root_public, origin
from watchbill.ledger.manifest import Seal, key_entry
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.pending import PendingSegment
from watchbill.ledger.recovery import State, recover
from watchbill.ledger.rotation import Signer
from watchbill.ledger.segment import Drop, Run
from watchbill.ledger.sources import SourceFacts, Sources
from watchbill.ledger.tiles import Log
from watchbill.ledger.volume import VOLUME_BYTES, Head, HeadFile, Opening, Volume, shard_path

MAX_RECORD = 16 << 20
MAX_WAITING = 64 << 20
_WORTH_PACKING = 4 << 20  # a volume of this size is closed after an hour, a smaller one after a day
_BACKLOG = 16  # full segments that may wait for a tick; then commit seals them itself, to bound the memory
#: What is to be written, and what to call with the offset where it was.
_Frames = tuple[Sequence[bytes | bytearray], Callable[[int], None]]
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WAIT = "the records wait in memory: make space or mend the disk, then commit again (do not append them again)"


class Writer:
    """Writes one shard; a second writer of the same shard is refused.

    Not thread-safe. Nothing is acknowledged by ``append``: only what lies below the head that ``commit`` returns.
    """

    def __init__(self, lock: int, path: Path, shard: int, keys: Path, clock: Clock) -> None:
        self._lock, self._path, self._shard, self._keys, self._clock = lock, path, shard, keys, clock
        root = open_root_public(keys)
        self._origin = origin(root, shard)
        self._signer = Signer(path / "log", keys, self._origin)
        self._tail = TailKey.of(keys, shard, create=True)
        state = recover(shard, path, self._tail, self._signer.verifier, clock.now())
        fresh = state is None
        if state is None:
            state = self._first(root.key)
        self._volume: Volume | None = state.volume
        self._volume_number = state.volume.number
        self._began = state.began
        self._log, self._previous = state.log, state.previous
        self._signer.catch_up(self._log)
        self._position, self._segment = state.position, state.segment
        self._sealed = state.sealed
        self._sources = state.sealed.copy()
        self._open = state.pending
        for pending in self._open:
            self._sources.take(pending.runs, pending.drops, pending.bodies)
        self._numbers = {(known.name, known.transport): known.number for known in self._sources.facts.values()}
        self._durable = self._position
        self._waiting = 0
        self._signed_at = 0
        self._signed_size = -1
        self._incidents = Incidents(shard, path, clock)
        self._behind: OSError | None = None  # why the head or the tail's key on disk lags
        self._head = HeadFile(path)
        try:
            self._publish(sync=True)
            self._catch_up()
            if fresh:
                for folder in {path, *path.parents[:2], keys, keys.parent}:
                    durable.sync_directory(folder)
            self._sign()
        except BaseException:
            state.volume.close()
            self._head.close()
            raise

    @classmethod
    def open(cls, path: Path, *, shard: int, keys: Path, clock: Clock) -> Self:
        """Open a shard (made on first use) for writing; recovers after a crash.

        Raises LedgerError: with ``retry`` when another process writes the shard or the disk refuses, without when what
        was acknowledged is damaged.
        """
        folder = shard_path(path, shard)
        try:
            durable.make_folder(folder / "events")
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _cannot_open(folder, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            mend = "stop the other process, or give this one a shard of its own"
            raise LedgerError(
                "another process writes this shard", place=Place(str(folder)), mend=mend, retry=True
            ) from None
        try:
            return cls(lock, folder, shard, keys, clock)
        except OSError as error:
            os.close(lock)
            raise _cannot_open(folder, error) from error
        except BaseException:
            os.close(lock)
            raise

    def source(self, name: str, transport: str, **facts: str) -> int:
        """Return the source's number, stable for (name, transport). New sources and new facts are recorded."""
        number = self._numbers.get((name, transport)) or len(self._sources.facts) + 1
        known = SourceFacts(number, name, transport, facts)
        if self._sources.facts.get(number) != known:
            raw = known.registration()
            self.append(0, [raw], self._clock.now())
            self._numbers[name, transport] = number
            self._sources.register(known)
        return number

    def following(self, source: int) -> int:
        """Return the sequence that the source's next record will have: from 1, what was lost included."""
        return self._sources.following[source]

    def append(self, source: int, raws: Sequence[bytes], received: int, source_time: int = 0) -> int:
        """Take records of one source, received together; return the position of the first. Times in UTC nanoseconds.

        Raises LedgerError: with ``retry`` when too much waits for a commit (then nothing was taken).
        """
        first, count = self._position, len(raws)
        if not count:
            return first
        lengths = list(map(len, raws))
        self._admit(source, max(lengths), sum(lengths))
        sequence = self._sources.following[source]
        done = 0
        while done < count:
            run = Run(source, count - done, received, source_time, sequence + done)
            done += self._current().take(run, raws[done:] if done else raws, lengths[done:] if done else lengths)
            self._position = first + done
        self._sources.following[source] = sequence + count
        return first

    def drop(self, source: int, count: int, reason: str) -> None:
        """Count records that were lost before they got here: their sequences stay empty, the manifest says why."""
        if count < 1:
            return
        self._admit(source, 0, 0)
        sequence = self._sources.following[source]
        self._current().drop(Drop(source, sequence, count, reason))
        self._sources.following[source] = sequence + count

    def commit(self) -> int:
        """Make all that was appended durable; return the head: every position below it may be acknowledged.

        Raises LedgerError (``retry``) when the disk is full or fails: nothing was lost or acknowledged, commit again.
        """
        if any(pending.unstored for pending in self._open):
            self._store(self._groups)
            self._durable = self._position
            self._waiting = 0
            if self._began is None:
                self._began = self._open[0].opened
            self._publish()
            full = [pending for pending in self._open if pending.full]
            if len(full) >= _BACKLOG:
                self._seal(full)
        return self._durable

    def tick(self) -> None:
        """Seal what is due (full, or a second old) and sign a checkpoint, at most one a second. Raises LedgerError."""
        try:
            self._tick(self._clock.now())
        except OSError as error:
            raise self._refusal(error) from error

    def _tick(self, now: int) -> None:
        self._incidents.look_at_clock()
        self._catch_up()
        too_long = self._volume is not None and self._is_to_be_closed(self._volume.end, now)
        due = [p for p in self._open if p.full or too_long or not 0 <= now - p.opened < SECOND]
        if due:
            self._seal(due)
        if too_long and not self._open:
            self._begin_volume("full")
        self.take_orders()
        if entry := self._signer.due(self._shard):
            self.enter(entry)
            self._signer.follow(entry)
            self._sign()
            self._signer.done(self._shard)
        elif not 0 <= now - self._signed_at < SECOND:
            self._sign()

    def take_orders(self) -> None:
        """Enter and sign what was ordered, and close the volume, so that what it names can be deleted. Raises LedgerError."""
        try:
            if not orders.waiting(self._path):
                return
            self._sign()  # so that what an attempt has entered that failed later is not entered again
            found = list(orders.due(self._path, self._clock.now()))
            if not found:
                return
            if self._open:
                self._seal(list(self._open))
            for _, entry in found:
                if entry:
                    self.enter(entry)
            self._begin_volume("full")
            self._sign()
            for file, _ in found:
                file.unlink()
        except OSError as error:
            raise self._refusal(error) from error

    def _is_to_be_closed(self, size: int, now: int) -> bool:
        """Tell whether the volume is long enough, or old enough for its size, to be closed (and then packed)."""
        if size >= VOLUME_BYTES:
            return True
        return self._began is not None and not 0 <= now - self._began < (HOUR if size >= _WORTH_PACKING else DAY)

    def enter(self, entry: bytes) -> int:
        """Add an entry that is no manifest (a key, a deletion) to the log, durably; return its index. The next checkpoint
        covers it. Raises LedgerError.
        """
        self.commit()

        def frame() -> _Frames:
            return (self._entry_frame(entry),), lambda _: None

        self._store(frame)
        self._log.append(entry)
        self._publish()
        return self._log.size - 1

    def close(self) -> None:
        """Commit, seal and sign everything, and let go of the shard. Raises LedgerError; the shard is let go all the same."""
        try:
            if self._open:
                self._seal(list(self._open))
            self._sign()
            self._catch_up()
        except OSError as error:
            raise self._refusal(error) from error
        finally:
            if self._volume is not None:
                self._volume.close()
            self._head.close()
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _first(self, root_key: bytes) -> State:
        """Begin a shard: its first volume, and the log's first entry, by which the root names the log's key."""
        if self._tail.segment:
            what = f"the ledger is gone: the key of its tail says that {self._tail.segment} segments were sealed"
            mend = f"restore it from a backup, or move {self._tail.path} away to begin anew"
            raise LedgerError(what, place=Place(str(self._path)), mend=mend)
        opening = Opening(self._shard, 0, 0, 0, 0, "", Sources(), None, "first")
        volume = Volume.begin(self._path, opening, self._mac(0, opening.encode()))
        root = open_private(self._keys / "root.key", create=False)
        entry = key_entry(self._origin, root, root_key, self._signer.named, None)
        signed = frames.encode(frames.Kind.ENTRY, 0, 0, 0, entry)
        volume.append(signed + self._mac(0, signed))
        log = Log(self._path / "log")
        log.append(entry)
        return State(volume, log, 0, 0, "", Sources())

    def _mac(self, segment: int, signed: bytes) -> bytes:
        return frames.chain(self._tail.key(segment), frames.NO_MAC, signed)

    def _admit(self, source: int, longest: int, size: int) -> None:
        if source not in self._sources.following:
            raise LedgerError(f"source {source} was never registered", mend="ask source() for a number first")
        if longest > MAX_RECORD:
            raise LedgerError(
                f"a record of {longest} bytes is longer than {MAX_RECORD}", mend="cut it, and say so in it"
            )
        if self._waiting and self._waiting + size > MAX_WAITING:
            raise LedgerError("too much waits to be written", mend="commit first", retry=True)
        self._waiting += size

    def _current(self) -> PendingSegment:
        """Return the segment that takes the next record."""
        if not self._open or self._open[-1].full:
            key = self._tail.key(self._segment)
            self._open.append(PendingSegment(self._shard, self._segment, self._position, self._clock.now(), key))
            self._segment += 1
        return self._open[-1]

    def _groups(self) -> _Frames:
        """Return the frames of what is not stored yet, and what to call with the offset where they were written."""
        made = [(pending, *pending.group()) for pending in self._open if pending.unstored]

        def stored(offset: int) -> None:
            for pending, group, mac in made:
                pending.stored(offset, len(group), mac)
                offset += len(group)

        return [group for _, group, _ in made], stored

    def _store(self, make: Callable[[], _Frames]) -> None:
        """Write and sync. A full disk is waited for; after any other error the volume is abandoned and another begun,
        because a second fsync may call durable what is lost (https://lwn.net/Articles/752063/).
        """
        for last in (False, True):
            try:
                if self._volume is None:
                    self._begin_volume("error")
                data, stored = make()
                stored(self._append(*data))
            except OSError as error:
                full = error.errno in _NO_SPACE
                self._fail(abandon=not full)
                if full:
                    self._enter_full()
                if full or last:
                    raise self._refusal(error) from error
            else:
                self._incidents.disk_has_room()
                return

    def _entry_frame(self, entry: bytes) -> bytes:
        oldest = self._open[0] if self._open else None
        segment, position = (oldest.number, oldest.first) if oldest else (self._segment, self._position)
        signed = frames.encode(frames.Kind.ENTRY, segment, position, 0, entry)
        return signed + self._mac(segment, signed)

    def _enter_full(self) -> None:
        """Say in the log that the disk is full, once, in the room that is kept for it."""
        entry = self._incidents.disk_is_full(self._volume_number)
        if entry and self._volume is not None:
            with suppress(OSError):
                self._append(self._entry_frame(entry))
                self._log.append(entry)
                self._publish()

    def notices(self) -> list[Notice]:
        """Return, once, what befell the writer since the last call, for its owner to tell of."""
        return self._incidents.notices()

    def _refusal(self, error: OSError) -> LedgerError:
        return LedgerError(f"cannot write: {error}", place=Place(str(self._path)), mend=_WAIT, retry=True)

    def _append(self, *data: bytes | bytearray) -> int:
        if self._volume is None:
            raise OSError(errno.EIO, "there is no volume to write to")
        return self._volume.append(*data)

    def _fail(self, *, abandon: bool) -> None:
        if self._volume is None:
            return
        try:
            if not abandon:
                self._volume.cut()
                return
        except OSError:
            abandon = True
        self._volume.close()
        self._volume = None

    def _begin_volume(self, cause: str) -> None:
        """Begin the next volume; what is not sealed is written to it (again). Raises OSError."""
        oldest = self._open[0] if self._open else None
        opening = Opening(
            shard=self._shard,
            volume=self._volume_number + 1,
            segment=oldest.number if oldest else self._segment,
            position=oldest.first if oldest else self._position,
            log_size=self._log.size,
            previous=self._previous,
            sources=self._sealed,
            follows=self._volume_number,
            cause=cause,
        )
        self._log.flush(sync=True)
        volume = Volume.begin(self._path, opening, self._mac(opening.segment, opening.encode()))
        if self._volume is not None:
            self._volume.close()
        self._volume, self._volume_number = volume, volume.number
        self._began = self._open[0].opened if self._open else None
        for pending in self._open:
            pending.forget_stored()
        data, stored = self._groups()
        stored(volume.append(*data))
        self._durable = self._position
        self._publish(sync=True)

    def _publish(self, *, sync: bool = False) -> None:
        """Tell readers how far it is durable. What is durable stays so if they cannot be told: it is tried again."""
        if self._volume is None:
            return
        sealed = self._open[0].number if self._open else self._segment
        try:
            self._head.publish(Head(self._durable, self._volume.number, self._volume.end, sealed), sync=sync)
        except OSError as error:
            self._behind = error

    def _catch_up(self) -> None:
        """Write the head and the tail's key again if that failed. Raises OSError."""
        if self._behind is None:
            return
        self._behind = None
        self._publish(sync=True)
        if self._behind is not None:
            raise self._behind
        self._advance()
        if self._behind is not None:
            raise self._behind

    def _advance(self) -> None:
        try:
            self._tail.advance(self._open[0].number if self._open else self._segment)
        except OSError as error:
            self._behind = error

    def _seal(self, due: list[PendingSegment]) -> None:
        """Seal the oldest segments: read back, check and hash what the disk holds, write the seal, enter it into the log."""
        self.commit()
        now, boot = self._clock.now(), machine.boot_id()
        clock = self._incidents.clock_state(last=len(due) == len(self._open))
        seals: list[Seal] = []
        previous = self._previous

        def frames_of_seals() -> _Frames:
            nonlocal previous
            previous, parts = self._previous, []
            seals.clear()
            for pending in due:
                seal = pending.seal(self._read, previous, now, boot, clock)
                previous = tree.leaf_hash(seal.manifest).hex()
                seals.append(seal)
                end = pending.first + len(pending.bodies)
                signed = frames.encode(frames.Kind.SEAL, pending.number, end, 0, seal.encode())
                parts += [signed, frames.chain(pending.key, pending.mac, signed)]
            data = b"".join(parts)
            return (data,), lambda offset: self._compare(offset, data)

        self._store(frames_of_seals)
        for pending, seal in zip(due, seals, strict=True):
            self._sealed.take(pending.runs, pending.drops, pending.bodies)
            self._log.append(seal.manifest)
        self._previous = previous
        self._open = self._open[len(due) :]
        self._publish()
        self._advance()  # after publishing: who reads this key finds the seals behind the head

    def _read(self, offset: int, size: int) -> bytes:
        """Return what the disk gives back. Raises OSError."""
        if self._volume is None:
            raise OSError(errno.EIO, "there is no volume to read from")
        return self._volume.read(offset, size)

    def _compare(self, offset: int, written: bytes) -> None:
        """Compare what the disk gives back with what was written. Raises OSError (EIO) if it differs."""
        if self._read(offset, len(written)) != written:
            raise OSError(errno.EIO, "a seal was not read back as it was written")

    def _sign(self) -> None:
        """Sign and publish a checkpoint, if the log has grown."""
        if self._log.size == self._signed_size:
            return
        checkpoint = Checkpoint(self._origin, self._log.size, self._log.root())
        note = self._signer.sign(checkpoint, self._clock.now())
        try:
            self._log.flush()
            durable.replace(self._log.path / "checkpoint", note.encode(), lasting=False)
        except OSError as error:
            raise self._refusal(error) from error
        self._signed_size = self._log.size
        self._signed_at = self._clock.now()


def _cannot_open(folder: Path, error: OSError) -> LedgerError:
    mend = "make space, and let this user read and write there"
    return LedgerError(f"cannot open: {error}", place=Place(str(folder)), mend=mend, retry=True)
