"""Verifies a ledger on disk: the log, its signatures, and every record behind it. Works while a writer is live."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import anchors, frames, parallel, tree
from watchbill.ledger.check import FrameCheck
from watchbill.ledger.cosign import MLDSA44, Cosigner, UncheckedError, cosignatures
from watchbill.ledger.deletions import Deletions, Incident
from watchbill.ledger.keys import ROOT_NAME, NamedKeys, TailKey, fingerprint, open_root_public
from watchbill.ledger.manifest import Manifest, decode_entry, open_key_entry
from watchbill.ledger.note import Checkpoint, Verifier, open_note, unb64
from watchbill.ledger.report import Finding, Report, ShardFacts
from watchbill.ledger.tiles import ENTRIES, WIDTH, TileReader, tile_path
from watchbill.ledger.trusted import Shown, Trusted, judge
from watchbill.ledger.volume import Head, Opening, VolumePath, opening_of, shard_path, shards, volumes

Progress = Callable[[int, int], None]
_AHEAD = 64  # more segments than may be open at once
_PARALLEL_BYTES, _PARALLEL_RECORDS = 8 << 20, 32 << 10  # with less, starting processes costs more than it gives
_EVEN = 8  # volumes for each process: with fewer, some processes would wait long for the last


def verify_ledger(
    path: Path,
    *,
    keys: Path | None = None,
    shard: int | None = None,
    root_fingerprint: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    trusted: Trusted | None = None,
    period: tuple[int, int] | None = None,
) -> Report:
    """Check one shard or all. ``keys`` (the keys folder) allows the unsealed tail to be checked, too.

    ``progress`` is called with (bytes checked, bytes in all). ``workers`` is the number of processes (default: cores).
    ``trusted`` is what the reader of the report holds (trusted.py). ``period`` (receipt times [start, end)) checks the
    records of the volumes that touch it alone; the log is always checked whole.
    Nothing is raised for what is wrong: it is in the report's findings.
    """
    report = Report()
    root = None
    try:
        root = open_root_public(keys) if keys and (keys / "root.pub").exists() else None
    except LedgerError as error:
        report.wrong(error.place or keys, error.what)
    chosen = shards(path) if shard is None else [shard]
    if not chosen:
        report.wrong(path, "there is no ledger here")
    total = sum(volume.path.stat().st_size for number in chosen for volume in volumes(shard_path(path, number)))
    done = 0

    def step(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(done, max(done, total))

    if keys is None:
        report.open_points.append("the unsealed tail was not checked: that needs the keys folder")
    for number in chosen:
        check = _ShardCheck(shard_path(path, number), number, keys, report, trusted, period)
        found, processes = len(report.findings), workers or os.cpu_count() or 1
        stated = root
        root = check.run(stated, processes, step)
        if len(report.findings) > found and check.deleted_meanwhile():
            del report.findings[found:], report.shards[-1]
            check = _ShardCheck(shard_path(path, number), number, keys, report, trusted, period)
            root = check.run(stated, processes, step)
    judge_root(report, root, root_fingerprint, trusted)
    if period:
        report.open_points.append("records outside of the period were not checked, but for those in the same files")
    return report


def judge_root(report: Report, root: Verifier | None, expected: str | None, trusted: Trusted | None = None) -> None:
    """Compare the root key with the fingerprint that the reader of the report holds."""
    report.root = fingerprint(root.key) if root else ""
    if expected is None:
        report.open_points.append("the root key was not compared with a fingerprint that you hold (--root-fpr)")
    elif report.root != expected.lower().removeprefix("sha256:").replace(":", "").replace(" ", ""):
        report.findings.insert(0, Finding("root key", f"its fingerprint is {report.root}, not the one that you hold"))
    if trusted is None:
        report.open_points.append(
            "no witness was asked (--anchors): whoever held the log key could have shown another history to somebody else, "
            "or cut off the end since a time that nobody else remembers"
        )


@dataclass
class _VolumeTask:
    """What a process needs to check one volume by itself."""

    shard: int
    volume: VolumePath
    end: int | None  # durable bytes, None for the whole file
    following: Opening | None  # the opening of the next volume
    log: Path
    signed: int
    tail: tuple[int, dict[int, bytes]]  # the first segment that has a key, and the keys
    deletions: Deletions
    share: tuple[int, int] = (0, 1)  # (k, n): one of n tasks for this volume, see FrameCheck.share


@dataclass
class _VolumeResult:
    facts: ShardFacts
    size: int
    index: int
    position: int
    sealed: int = 0  # the segment that follows on the last seal
    finding: Finding | None = None
    reached: tuple[int, int, bool] = (0, 0, False)  # where the finding is: frame, log entry, and not in its own share

    @classmethod
    def load(cls, fields: dict[str, Any]) -> _VolumeResult:
        """Take it up from what a process said of it."""
        facts = fields["facts"]
        facts["deleted"] = {int(by): records for by, records in facts["deleted"].items()}
        facts["received"] = tuple(facts["received"]) if facts["received"] else None
        finding = Finding(*fields["finding"]) if fields["finding"] else None
        reached = tuple(fields["reached"])
        return cls(**{**fields, "facts": ShardFacts(**facts), "finding": finding, "reached": reached})

    @staticmethod
    def of_shares(results: Sequence[_VolumeResult]) -> _VolumeResult:
        """Return what one check of the whole volume would have said: the first finding counts."""
        return min((one for one in results if one.finding), key=lambda one: one.reached, default=results[0])


class _ShardCheck:
    def __init__(
        self,
        path: Path,
        shard: int,
        keys: Path | None,
        report: Report,
        trusted: Trusted | None = None,
        period: tuple[int, int] | None = None,
    ) -> None:
        self._path, self._shard, self._keys, self._report = path, shard, keys, report
        self._trusted, self._period = trusted, period
        self._named: list[bytes] = []
        self._times: list[tuple[int, int, int]] = []  # for a period: log index, first and last receipt
        self._log = TileReader(path / "log")
        self._facts = ShardFacts(shard)
        self._deletions = Deletions()

    def run(self, root: Verifier | None, workers: int, step: Callable[[int], None]) -> Verifier | None:
        """Check it all; return the root key (the log's own word for it, if none was given)."""
        self._report.shards.append(self._facts)
        try:
            tail = self._tail_key()
            # In this order a live writer cannot have signed or sealed what we do not see afterwards.
            note = self._log.checkpoint()
            head = Head.read(self._path)
            if note is None or head is None:
                self._report.wrong(
                    self._path / ("head" if note else "log/checkpoint"), "this file is missing or damaged"
                )
                return root
            root = self._check_log(note, root)
            self._judge_anchors(note)
            self._check_volumes(head, tail, workers, step)
        except LedgerError as error:
            self._report.wrong(error.place or self._path, error.what)
        except OSError as error:
            self._report.wrong(error.filename or self._path, f"cannot be read: {error.strerror}")
        return root

    def _tail_key(self) -> TailKey | None:
        """Return the tail's key; a ledger that was restored from a copy has none. Raises LedgerError if it is damaged."""
        try:
            return TailKey.of(self._keys, self._shard, create=False) if self._keys else None
        except FileNotFoundError:
            if self._keys and (self._keys / "log.key").exists():
                raise  # where a ledger is written, it has one
            point = f"the unsealed tail of shard {self._shard} was not checked: its key is not in the keys folder"
            self._report.open_points.append(point)
            return None

    def deleted_meanwhile(self) -> bool:
        """Tell whether the log now names records as deleted that it did not name when it was read."""
        try:
            size = Checkpoint.parse(self._log.checkpoint() or "").size
            return any(is_deletion(entry) for entry in self._log.entries(self._facts.log_size, size))
        except (LedgerError, ValueError):
            return False

    def _check_log(self, note: str, root: Verifier | None) -> Verifier:
        """Check the entries against the tiles and the signed checkpoint."""
        place = Place(str(self._log.path / "checkpoint"))
        try:
            signed = Checkpoint.parse(note)
        except ValueError as error:
            raise LedgerError(str(error), place=place) from error
        frontier, previous = tree.Frontier(), 0
        named: NamedKeys | None = None
        for index, entry in enumerate(self._log.entries(0, signed.size)):
            leaf = tree.leaf_hash(entry)
            frontier.append(leaf)
            if index % WIDTH == 0:
                width = min(WIDTH, signed.size - index)
                hashes = self._log.hashes(0, index // WIDTH, width)
                previous = index
            if leaf != hashes[index - previous]:
                file = self._log.path / tile_path(ENTRIES, index // WIDTH, width)
                raise LedgerError(
                    f"entry {index} of the log is not the one that its tile of hashes holds", place=Place(str(file))
                )
            if self._period and is_manifest(entry):
                self._times.append((index, *Manifest.decode(entry).received))
            if not is_manifest(entry):
                try:
                    if is_deletion(entry):
                        deletion = self._deletions.take(index, entry, self._shard)
                        if isinstance(deletion, Incident) and deletion.damage:
                            self._report.open_points.append(told_incident(index, deletion))
                        continue
                    root = root or Verifier(ROOT_NAME, unb64(decode_entry(entry)["root"]))
                    named = open_key_entry(entry, root, signed.origin, named.key if named else None)
                    self._named.append(named.key)
                except (ValueError, KeyError, TypeError) as error:
                    raise LedgerError(f"entry {index} of the log: {error}", place=Place(str(self._log.path))) from error
        if named is None or root is None:
            raise LedgerError("the log does not begin with a key entry", place=Place(str(self._log.path)))
        try:
            check_signatures(note, signed.origin, named, self._report)
        except ValueError as error:
            raise LedgerError(f"the checkpoint: {error}", place=place) from error
        if frontier.root() != signed.root:
            raise LedgerError(f"the {signed.size} entries of the log are not those that were signed", place=place)
        if self._log.root(signed.size) != signed.root:
            raise LedgerError(
                "the upper tiles of the log are not those of its entries", place=Place(str(self._log.path))
            )
        facts = self._facts
        facts.origin, facts.log_size, facts.log_root, facts.key = (
            signed.origin,
            signed.size,
            signed.root.hex(),
            fingerprint(named.key),
        )
        return root

    def _judge_anchors(self, note: str) -> None:
        """Compare the log with what others said of it, as it is kept beside it and as the reader holds it."""
        signed = Checkpoint.parse(note)
        found = [anchors.anchor(self._path, size) for size in anchors.sizes(self._path)]
        if seen := anchors.cosigned(self._path):
            try:
                found.append(anchors.Anchor(Checkpoint.parse(seen), seen, {}))
            except ValueError as error:
                raise LedgerError(str(error), place=Place(str(anchors.folder(self._path) / "cosigned"))) from error

        def root_at(size: int) -> bytes | None:
            return self._log.root(size) if size <= signed.size else None

        shown = Shown(signed, note, self._named, signed.size, found, root_at, live=True)
        judge(self._report, self._facts, shown, self._trusted)

    def _check_volumes(self, head: Head, tail: TailKey | None, workers: int, step: Callable[[int], None]) -> None:
        tasks = list(self._tasks(head, tail))
        size = sum(task.volume.path.stat().st_size for task in tasks)
        records = sum((task.following or head).position - task.volume.position for task in tasks)
        worth = size >= _PARALLEL_BYTES or records >= _PARALLEL_RECORDS
        processes = parallel.possible(workers) if worth else 1
        shares = processes if len(tasks) < _EVEN * processes else 1
        split = [replace(task, share=(at, shares)) for task in tasks for at in range(shares)]
        found = map(_VolumeResult.load, parallel.each(split, _check_in_process, processes))
        results = self._collect(map(_VolumeResult.of_shares, iter(lambda: list(islice(found, shares)), [])), step)
        if self._period or any(result.finding for result in results):
            return
        last = results[-1]
        if last.index < self._facts.log_size:
            what = f"the log was signed for {self._facts.log_size} entries; the volumes hold {last.index}"
            raise LedgerError(what, place=Place(str(tasks[-1].volume.path)))
        if last.position != head.position:
            what = f"the volumes end at position {last.position}, the head says {head.position}"
            raise LedgerError(what, place=Place(str(self._path / "head")))

    def _tasks(self, head: Head, tail: TailKey | None) -> Iterator[_VolumeTask]:
        found = [volume for volume in volumes(self._path) if volume.number <= head.volume]
        for number in range(head.volume + 1):
            if number >= len(found) or found[number].number != number:
                raise LedgerError(f"volume {number} is missing", place=Place(str(self._path / "events")))
        kept = (tail.segment, tail.ahead(_AHEAD)) if tail else (0, {})
        openings = [opening_of(volume) for volume in found]
        for volume, following in zip(found, [*openings[1:], None], strict=True):
            end = None if following else head.end
            if not self._is_wanted(volume, following):
                continue
            yield _VolumeTask(
                self._shard, volume, end, following, self._log.path, self._facts.log_size, kept, self._deletions
            )

    def _is_wanted(self, volume: VolumePath, following: Opening | None) -> bool:
        """Tell whether a volume holds records of the period. What is not sealed came just now."""
        if self._period is None:
            return True
        start, end = self._period
        low, high = opening_of(volume).log_size, following.log_size if following else 1 << 62
        times = [each for index, *each in self._times if low <= index < high]
        return any(first < end and last >= start for first, last in times)

    def _collect(self, found: Iterator[_VolumeResult], step: Callable[[int], None]) -> list[_VolumeResult]:
        results = []
        facts = self._facts
        for result in found:
            results.append(result)
            step(result.size)
            if result.finding:
                self._report.findings.append(result.finding)
            part = result.facts
            if part.received:
                low, high = facts.received or part.received
                facts.received = min(low, part.received[0]), max(high, part.received[1])
            facts.events += part.events
            facts.segments += part.segments
            facts.dropped += part.dropped
            facts.unsealed += part.unsealed
            for by, records in part.deleted.items():
                facts.deleted[by] = facts.deleted.get(by, 0) + records
            facts.end_position = max(facts.end_position, part.end_position)
        return results


def check_signatures(note: str, origin: str, named: NamedKeys, report: Report) -> None:
    """Check a checkpoint's signature by the log's key, and the one by its second key, if it has one. Raises ValueError."""
    open_note(note, Verifier(origin, named.key))
    if named.mldsa44 is None:
        return
    try:
        if not cosignatures(note, [Cosigner(origin, MLDSA44, named.mldsa44)]):
            raise ValueError("the signature by the log's second key (ML-DSA-44) is missing")
    except UncheckedError as error:
        report.open_points.append(f"the signature by the log's second key was not checked: {error}")


def is_manifest(entry: bytes) -> bool:
    """Tell a segment's manifest from the other kinds of entries, without reading it whole."""
    return b'"kind":"segment"' in entry


def is_deletion(entry: bytes) -> bool:
    """Tell whether an entry names records that were deleted."""
    return any(b'"kind":"%s"' % kind in entry for kind in (b"retention", b"erasure", b"incident"))


def told_incident(index: int, found: Incident) -> str:
    """Say in words what an entry of kind "incident" declares."""
    segments = sum(part.end - part.first for part in found.parts)
    notes = sum(count for _, count in found.positions)
    aside = f'; the damaged file was set aside as "{found.file}"' if found.file else ""
    return (
        f"shard {found.shard}: entry {index} of the log declares a loss by damage to volume {found.volume}: {segments} "
        f"segments and {notes} unsealed records{aside}"
    )


class _SignedEntries:
    """Entries of the log by index, asked for in order."""

    def __init__(self, log: Path, first: int, size: int) -> None:
        self._entries = TileReader(log).entries(first, size)
        self._size = size

    def __call__(self, index: int) -> bytes | None:
        return next(self._entries) if index < self._size else None


def check_volume(
    shard: int, volume: VolumePath, following: Opening, log: Path, signed: int, deletions: Deletions
) -> tuple[ShardFacts, Finding | None]:
    """Check a closed volume by itself: what it holds, and the first thing that is wrong with it."""
    result = _check_volume(_VolumeTask(shard, volume, None, following, log, signed, (0, {}), deletions))
    return result.facts, result.finding


def check_last(
    shard: int, volume: VolumePath, head: Head, log: Path, signed: int, tail: TailKey, deletions: Deletions
) -> str | None:
    """Check the volume that is being written, up to its head; return the first thing that is wrong with it."""
    keys = tail.segment, tail.ahead(_AHEAD)
    end = head.end if volume.number == head.volume else None
    result = _check_volume(_VolumeTask(shard, volume, end, None, log, signed, keys, deletions))
    if result.finding:
        return result.finding.what
    if result.index < signed:
        return f"the log was signed for {signed} entries; the volumes hold {result.index}"
    if result.sealed < tail.segment:
        return f"the seal of segment {result.sealed} is gone"
    return None if result.position >= head.position else f"the head says position {head.position}"


def _check_in_process(task: _VolumeTask) -> dict[str, Any]:
    result = _check_volume(task)
    return {**vars(result), "facts": {name: getattr(result.facts, name) for name in ShardFacts.__slots__}}


def _check_volume(task: _VolumeTask) -> _VolumeResult:
    """Check one volume by itself, from its opening to the opening of the next."""
    path, following = task.volume.path, task.following
    opening = opening_of(task.volume)
    first_key, keys = task.tail
    signed = _SignedEntries(task.log, opening.log_size, task.signed)

    def tail_key(segment: int) -> bytes | None:
        return keys.get(segment) if segment >= first_key else None

    upto = (following.segment, following.position) if following else (1 << 64, 1 << 64)
    named = task.deletions.within((opening.segment, upto[0]), (opening.position, upto[1]))
    check = FrameCheck(task.shard, str(path), signed, tail_key, named)
    check.position, check.segment, check.previous = opening.position, opening.segment, opening.previous
    check.sources, check.strict, check.index = opening.sources.copy(), True, opening.log_size
    check.share, number = task.share, 0
    result = _VolumeResult(check.facts, 0, 0, 0)
    try:
        _check_beginning(task, opening)
        with path.open("rb") as file:
            fd = file.fileno()  # what is packed meanwhile takes the file's name, not the file
            size = result.size = os.fstat(fd).st_size
            for number, frame in enumerate(frames.walk(fd, 0, size if task.end is None else task.end, str(path))):
                if number:
                    check.take(frame)
                if following and following.cause == "error" and check.index == following.log_size:
                    break  # the writer abandoned the rest of this volume: the next one holds it
        if following and any(0 in part.sources for _, part in named.retentions):
            known = following.sources.facts.items()  # registrations were lost, too: what the next volume says holds
            check.sources.facts |= {number: facts for number, facts in known if number in check.sources.following}
        abandoned = following is not None and following.cause == "error"
        check.finish(tail=following is None or abandoned)
        if following:
            check.facts.unsealed = 0
            _check_end(check, following, str(path), abandoned=abandoned)
    except LedgerError as error:
        result.finding = Finding(str(error.place or path), error.what)
    result.index, result.position = check.index, check.position
    result.reached = number, check.index, not check.mine
    result.sealed = check.sealed_end()[1] or 0
    return result


def _check_beginning(task: _VolumeTask, opening: Opening) -> None:
    place = Place(str(task.volume.path), offset=0)
    if opening.shard != task.shard:
        raise LedgerError(f"this volume is of shard {opening.shard}", place=place)
    start = (opening.position, opening.segment, opening.log_size, opening.previous, opening.sources.dump())
    if task.volume.number == 0 and start != (0, 0, 0, "", {"0": [1]}):
        raise LedgerError("the first volume does not begin at the beginning", place=place)


def _check_end(check: FrameCheck, following: Opening, name: str, *, abandoned: bool) -> None:
    """Compare the state at the end of a volume with what the next one says was before it."""
    stated = following.position, following.segment, following.log_size, following.previous, following.sources.dump()
    position, segment = check.sealed_end() if abandoned else (check.position, check.segment)
    found = position, segment, check.index, check.previous, check.sources.dump()
    for what, here, there in zip(
        ("position", "segment", "log size", "previous", "sources"), found, stated, strict=True
    ):
        if here != there:
            raise LedgerError(f"the volume ends at {what} {here}, the next begins at {there}", place=Place(name))
