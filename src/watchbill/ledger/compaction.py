"""Closed volumes are rewritten: packed, and without what entries of the signed log name as deleted.

A new file is written aside, checked as the verifier checks it, synced, and takes the old one's name. So a crash leaves
the old file or the new one; a reader that has the old one open goes on with it; a damaged volume is never packed.
Any process may do this beside the writer, which touches the newest volume alone; a lock keeps two from doing it at once.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from watchbill.core.clock import DAY
from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable, frames, packing, salts
from watchbill.ledger.deletions import Deletions
from watchbill.ledger.frames import Frame, Kind
from watchbill.ledger.keys import TailKey
from watchbill.ledger.manifest import Manifest, Seal
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.packing import Block, Sealed
from watchbill.ledger.segment import Run, chunk_nodes, commitments, decode_group, group_start, leaves
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.verify import check_volume, is_deletion
from watchbill.ledger.volume import Head, Opening, VolumePath, opening_of, shard_path, volumes

#: The log's size up to which the named records are deleted from all closed volumes; a hint, nothing is lost with it.
_APPLIED = "deleted-upto"
#: Since when a version that packs has been at work here; 0: always.
_SINCE = "packing-since"
_LOCK = "compact.lock"
_ASIDE = ".packing"


class Packed(NamedTuple):
    """What came of one volume: its bytes before and after, and the records that were deleted from it."""

    volume: int
    before: int
    after: int
    deleted: int


def compact(
    ledger: Path,
    shard: int,
    *,
    now: int | None = None,
    patience: float = 30.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Packed]:
    """Pack the closed volumes of a shard that are not packed yet, and delete what signed entries name.

    Where an older version has written, packing waits for a day after the first call with a time ``now`` (nanoseconds), so
    that one can go back to that version; deleting does not wait. ``progress`` is called with (volumes done, volumes to do). Raises LedgerError where a volume is damaged (it is left as it is), or with ``retry``
    if another process does the same for longer than ``patience`` seconds; OSError when the disk refuses.
    """
    path = shard_path(ledger, shard)
    with _locked(path, patience):
        todo = _plan(path, shard, pack=now is None or _may_pack(path, now))
        found = []
        for number, task in enumerate(todo.volumes):
            found.append(_rewrite(task, todo, _packed_frames))
            if progress:
                progress(number + 1, len(todo.volumes))
        durable.replace(path / _APPLIED, b"%d\n" % todo.signed)
        return found


def unpack(ledger: Path, shard: int, now: int, keys: Path) -> tuple[list[Packed], list[int]]:
    """Write packed volumes and the tail's key as the version before reads them, for going back to it; packing then rests
    for a day. Nothing may write the shard meanwhile.

    Returns what was done, and the volumes that stay packed because something was deleted from them: that version does
    not read those. Raises as ``compact`` does.
    """
    path = shard_path(ledger, shard)
    with _without_writer(path), _locked(path, 30.0):
        durable.replace(path / _SINCE, b"%d\n" % now)
        with suppress(FileNotFoundError):  # restored from a copy, which holds no key
            TailKey.of(keys, shard, create=False).as_before()
        plan = _plan(path, shard, pack=True, packed=True)
        found, left = [], []
        for task in plan.volumes:
            if _missing(task.volume, task, plan):
                left.append(task.volume.number)
            else:
                found.append(_rewrite(task, plan, partial(_plain_frames, plan)))
        return found, left


def _may_pack(path: Path, now: int) -> bool:
    """Tell whether packing may begin. A shard that has no closed volume when it is first asked for was never an older
    version's.
    """
    since = path / _SINCE
    if not since.exists():
        durable.replace(since, b"%d\n" % (now if len(volumes(path)) > 1 else 0))
    try:
        return not 0 <= now - int(since.read_bytes()) < DAY
    except ValueError:
        return True


def pending(ledger: Path, shard: int) -> int:
    """Return how many entries of the signed log may still have to be applied to the closed volumes."""
    path = shard_path(ledger, shard)
    log = TileReader(path / "log")
    signed = _signed(log)
    return sum(map(is_deletion, log.entries(min(_applied(path), signed), signed)))


@contextmanager
def _locked(path: Path, patience: float) -> Iterator[None]:
    """Hold the lock of those who rewrite volumes; waits ``patience`` seconds for another one to be done."""
    until = time.monotonic() + patience
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try_lock(lock):
            if time.monotonic() >= until:
                raise LedgerError("another process packs this shard", place=Place(str(path)), retry=True)
            time.sleep(0.2)
        for aside in (path / "events").glob(f"*{_ASIDE}"):  # of a process that was killed
            aside.unlink()
        yield
    finally:
        os.close(lock)


@contextmanager
def _without_writer(path: Path) -> Iterator[None]:
    """Keep writers of a shard from starting. Raises LedgerError when one is at work."""
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(lock):
            raise LedgerError("Watchbill writes this shard", place=Place(str(path)), mend="stop it first", retry=True)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Task(NamedTuple):
    volume: VolumePath
    opening: Opening
    following: Opening


class _Plan(NamedTuple):
    shard: int
    log: TileReader
    signed: int
    deletions: Deletions
    volumes: list[_Task]


def _plan(path: Path, shard: int, *, pack: bool, packed: bool = False) -> _Plan:
    """Choose the volumes: closed, signed to their end, and not packed yet (or ``packed``) or touched by a new entry."""
    log, head = TileReader(path / "log"), Head.read(path)
    signed, applied = _signed(log), _applied(path)
    deletions, fresh = Deletions(), Deletions()
    for index, entry in enumerate(log.entries(0, signed)):
        if is_deletion(entry):
            try:
                deletions.take(index, entry, shard)
                if index >= applied:
                    fresh.take(index, entry, shard)
            except ValueError as error:
                raise LedgerError(f"entry {index} of the log: {error}", place=Place(str(log.path))) from error
    found = [volume for volume in volumes(path) if head and volume.number <= head.volume]
    openings = [opening_of(volume) for volume in found]
    chosen = []
    for volume, opening, following in zip(found, openings, openings[1:], strict=False):
        touched = fresh.within((opening.segment, following.segment), (opening.position, following.position))
        if following.log_size <= signed and (touched or (pack and _is_packed(volume.path) == packed)):
            chosen.append(_Task(volume, opening, following))
    return _Plan(shard, log, signed, deletions, chosen)


def _signed(log: TileReader) -> int:
    """Return the size of the signed log. Raises LedgerError."""
    try:
        return Checkpoint.parse(log.checkpoint() or "").size
    except ValueError as error:
        raise LedgerError(f"the checkpoint: {error}", place=Place(str(log.path / "checkpoint"))) from error


def _applied(path: Path) -> int:
    with suppress(FileNotFoundError, ValueError):
        return int((path / _APPLIED).read_bytes())
    return 0


def _is_packed(path: Path) -> bool:
    """Tell whether a volume holds no group."""
    with path.open("rb") as file:
        fd = file.fileno()
        for header in frames.headers(fd, 0, os.fstat(fd).st_size):
            if header.kind in (Kind.GROUP, Kind.PACKED):
                return header.kind == Kind.PACKED
    return True


def _rewrite(task: _Task, plan: _Plan, make: Callable[[_Task, Deletions], Iterator[bytes]]) -> Packed:
    """Write a volume anew, check it, put it in its place."""
    volume, following = task.volume, task.following
    named = plan.deletions.within(
        (task.opening.segment, following.segment), (task.opening.position, following.position)
    )
    aside = volume.path.with_name(f"{volume.path.name}{_ASIDE}")
    size = volume.path.stat().st_size
    before = _missing(volume, task, plan) if named else 0
    try:
        with aside.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            try:
                for data in make(task, named):
                    file.write(data)
            except ValueError as error:
                raise LedgerError(f"the volume cannot be packed: {error}", place=Place(str(volume.path))) from error
            file.flush()
            os.fsync(file.fileno())
        after, missing = aside.stat().st_size, _missing(volume._replace(path=aside), task, plan)
        aside.replace(volume.path)
    finally:
        aside.unlink(missing_ok=True)
    durable.sync_directory(volume.path.parent)
    return Packed(volume.number, size, after, missing - before)


def _missing(volume: VolumePath, task: _Task, plan: _Plan) -> int:
    """Check a volume as the verifier does; return how many of its records are deleted. Raises LedgerError."""
    facts, finding = check_volume(plan.shard, volume, task.following, plan.log.path, plan.signed, plan.deletions)
    if finding:
        mend = 'it was left as it is: run "watchbill verify", and restore the volume from a copy'
        raise LedgerError(f"not packed: {finding.what}", place=Place(finding.place), mend=mend)
    return sum(facts.deleted.values())


def _packed_frames(task: _Task, named: Deletions) -> Iterator[bytes]:
    """Give the frames of the volume as it is to be. Raises ValueError or LedgerError."""
    path, upto = task.volume.path, task.following.log_size
    waiting: list[Sealed] = []
    index, size = task.opening.log_size, 0

    def flush() -> Iterator[bytes]:
        nonlocal size
        yield from packing.blocks(waiting, index - len(waiting))
        waiting.clear()
        size = 0

    def take(segment: Sealed) -> None:
        nonlocal index, size
        waiting.append(_delete(segment, named))
        index += 1
        size += waiting[-1].size

    with path.open("rb") as file:
        fd = file.fileno()
        open_segments: dict[int, list[Frame]] = {}
        for frame in frames.walk(fd, 0, os.fstat(fd).st_size, str(path)):
            if index >= upto and frame.header.kind != Kind.VOLUME:
                break  # what was abandoned after an error stands in the next volume
            match frame.header.kind:
                case Kind.VOLUME:
                    yield frame.data
                case Kind.GROUP:
                    open_segments.setdefault(frame.header.segment, []).append(frame)
                case Kind.ENTRY:
                    yield from flush()
                    yield frame.data
                    index += 1
                case Kind.SEAL:
                    take(_sealed(open_segments.pop(frame.header.segment), frame))
                case Kind.PACKED:
                    for segment in Block(frame).segments():
                        take(segment)
            if len(waiting) >= 2 * packing.BLOCK_SEGMENTS or size >= 2 * packing.BLOCK_BYTES:
                yield from flush()
        yield from flush()


def _plain_frames(plan: _Plan, task: _Task, _named: Deletions) -> Iterator[bytes]:
    """Give the frames of a packed volume as groups and seals. Their MACs are zero: those of sealed segments are not checked."""
    entries = plan.log.entries(task.opening.log_size, task.following.log_size)
    with task.volume.path.open("rb") as file:
        fd = file.fileno()
        for frame in frames.walk(fd, 0, os.fstat(fd).st_size, str(task.volume.path)):
            if frame.header.kind != Kind.PACKED:
                if frame.header.kind == Kind.ENTRY:
                    next(entries)
                yield frame.data
                continue
            for segment in Block(frame).segments():
                entry = next(entries)
                drops = Manifest.decode(entry).drops
                bodies = [body or b"" for body in segment.bodies]
                group = b"".join((group_start(segment.runs, drops, list(map(len, bodies))), *bodies))
                known = salts.expand_whole(segment.seeds[0], segment.count)
                nodes = chunk_nodes(leaves(plan.shard, segment.first, segment.runs, commitments(bodies, known)))
                seal = Seal(entry, segment.seeds, nodes)
                yield frames.encode(Kind.GROUP, segment.number, segment.first, segment.count, group) + frames.NO_MAC
                end = segment.first + segment.count
                yield frames.encode(Kind.SEAL, segment.number, end, 0, seal.encode()) + frames.NO_MAC


def _sealed(groups: list[Frame], frame: Frame) -> Sealed:
    """Return a segment from its groups and its seal."""
    seal = Seal.decode(frame.payload)
    manifest = Manifest.decode(seal.manifest)
    runs: list[Run] = []
    bodies: list[bytes | None] = []
    for part in groups:
        group = decode_group(part.payload, part.header.records)
        runs += group.runs
        bodies += group.bodies(0, part.header.records)
    return Sealed(manifest.segment, manifest.first, manifest.count, runs, bodies, {}, seal.seeds, seal.nodes)


def _delete(segment: Sealed, named: Deletions) -> Sealed:
    """Return a segment without the records that are named: without anything, if they are all of them."""
    if segment.gone or not named:
        return segment
    these = named.of_segment(segment.number, segment.first, segment.count)
    if segment.count and these.all(run.source for run in segment.runs):
        return Sealed(segment.number, segment.first, segment.count, gone=True)
    chosen = sorted(set(these.records(segment.first, segment.runs)) - set(segment.erased))
    if not chosen:
        return segment
    known = salts.expand(segment.seeds, segment.count)
    bodies, erased = list(segment.bodies), dict(segment.erased)
    for at in chosen:
        body, salt = bodies[at], known[at]
        if body is None or salt is None:
            raise ValueError(f"the record at position {segment.first + at} has no bytes or no salt")
        (erased[at],) = commitments([body], [salt])
        bodies[at] = None
    seeds = salts.puncture(segment.seeds, erased)
    return Sealed(
        segment.number,
        segment.first,
        segment.count,
        segment.runs,
        bodies,
        dict(sorted(erased.items())),
        seeds,
        segment.nodes,
    )
