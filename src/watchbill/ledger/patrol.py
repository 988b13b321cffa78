"""Watches a ledger on disk all the time: what changes is looked at at once, and every record is hashed again in a cycle.

One round takes little: the signed head is followed, the status (inode, size, times) of every closed file is compared with
what it was when the file was last found good, the volume that is being written is hashed up to where it was before, and
then closed volumes are verified one after the other, within a share of one core. A file whose status changed is verified
in the same round; so damage is found within a round, or within the cycle if the status was forged, too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import anchors, durable, tree
from watchbill.ledger.deletions import Deletions
from watchbill.ledger.keys import NamedKeys, TailKey, open_root_public
from watchbill.ledger.manifest import open_key_entry
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.prefix import Prefix
from watchbill.ledger.report import Finding, Report, ShardFacts
from watchbill.ledger.tile_watch import TileWatch
from watchbill.ledger.tiles import ENTRIES, WIDTH, TileReader, tile_path
from watchbill.ledger.trusted import Shown, judge
from watchbill.ledger.verify import check_last, check_signatures, check_volume, is_deletion, is_manifest
from watchbill.ledger.volume import Head, VolumePath, opening_of, shard_path, shards, volumes

#: The share of one core that the cycle may take, and the share that it takes when it would else come too late.
SHARE, LARGEST_SHARE = 0.05, 0.25
#: A small ledger is verified whole this often, however long the cycle may be.
_SHORTEST_CYCLE = 3600.0
#: The volume being written is verified again after so many seconds at the least, and 20 times what that took.
_LAST_EVERY = 20.0
_LAST_AT_MOST = 45.0
_TILES = 64


class Status(NamedTuple):
    """What tells that a file was touched."""

    inode: int
    size: int
    modified: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Status:
        found = path.stat()
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(slots=True)
class Cycle:
    """How far the verification of everything is. Bytes of volumes; ``events`` and ``upto`` count proven records."""

    started: float = 0.0
    total: int = 0
    done: int = 0
    events: int = 0
    findings: int = 0
    upto: dict[int, int] = field(default_factory=dict)
    complete: bool = False


class _Unit(NamedTuple):
    """A piece of the cycle's work: a volume, or some of the log's tiles."""

    shard: int
    volume: int | None
    tile: int
    size: int


class Patrol:
    """Does one round after the other. Not thread-safe. What it remembers of files may be lost: it is made again."""

    def __init__(self, ledger: Path, keys: Path, memory: Path, cycle_seconds: float) -> None:
        """``memory`` is a file for the statuses, so that what was touched while nobody watched is noticed at the start."""
        self._ledger, self._keys, self._memory = ledger, keys, memory
        self._longest = cycle_seconds
        self._shards: dict[int, _Watch] = {}
        self._known: dict[str, str] = {}
        self._good: dict[str, Status] = _remembered(memory)
        self._saved = dict(self._good)
        self._units: list[_Unit] = []
        self._began, self._spent = time.monotonic(), 0.0
        self.cycle = Cycle()

    def heads(self) -> dict[int, Checkpoint]:
        """Return the last good head of each shard's log."""
        return {number: watch.signed for number, watch in self._shards.items() if watch.signed}

    def round(self) -> list[Finding]:
        """Look at everything once; return what is wrong and was not told before."""
        found: list[Finding] = []
        for number in shards(self._ledger):
            if number not in self._shards:
                self._shards[number] = _Watch(shard_path(self._ledger, number), number, self._keys, self._good)
            found += self._shards[number].look()
        gone = [number for number in self._shards if not (shard_path(self._ledger, number) / "log").is_dir()]
        found += [Finding(str(shard_path(self._ledger, number)), "the shard is gone") for number in gone]
        found += self._go_on(wrong=bool(found))
        fresh = [one for one in found if self._known.get(one.place) != one.what]
        self._known.update((one.place, one.what) for one in found)
        self._save()
        return fresh

    def _go_on(self, *, wrong: bool) -> list[Finding]:
        """Verify what is next in the cycle, as far as the share goes. ``wrong``: this round has found something already."""
        now = time.monotonic()
        if not self._units and (
            not self.cycle.started or now - self.cycle.started >= min(_SHORTEST_CYCLE, self._longest)
        ):
            self._begin(now)
        found: list[Finding] = []
        while self._units and self._spent <= self._allowed():
            unit, before = self._units.pop(), time.thread_time()
            watch = self._shards[unit.shard]
            one, events = watch.check(unit)
            self._spent += time.thread_time() - before
            self.cycle.done += unit.size
            self.cycle.events += events
            if one:
                found.append(one)
                self.cycle.findings += 1
        if self.cycle.started and not self._units and not self.cycle.complete:
            self.cycle.complete = True
            self.cycle.findings += wrong
            self.cycle.upto = {number: watch.proven for number, watch in self._shards.items()}
        return found

    def _begin(self, now: float) -> None:
        self._units = [unit for watch in self._shards.values() for unit in watch.units()][::-1]
        self.cycle = Cycle(started=now, total=sum(unit.size for unit in self._units))
        self._began, self._spent = now, 0.0

    def _allowed(self) -> float:
        """Return the seconds of processor time that the cycle may have taken by now."""
        elapsed = time.monotonic() - self._began
        share = SHARE
        if self.cycle.done and self._spent:
            left = (self.cycle.total - self.cycle.done) * self._spent / self.cycle.done
            share = left / max(self._longest - elapsed, 1.0)
        return 2.0 + elapsed * min(max(share, SHARE), LARGEST_SHARE)

    def _save(self) -> None:
        """Remember volumes and anchors; of tiles there may be very many, and the cycle begins with them."""
        known = dict(self._good)
        if known != self._saved:
            body = {place: list(status) for place, status in known.items()}
            with suppress(OSError):  # a full disk: it is made again at the next start
                durable.replace(self._memory, json.dumps(body).encode(), lasting=False)
                self._saved = known


def _remembered(memory: Path) -> dict[str, Status]:
    try:
        return {str(place): Status(*map(int, status)) for place, status in json.loads(memory.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


class _Watch:
    """Watches one shard. Statuses of files that were found good are kept in ``good`` by path."""

    def __init__(self, path: Path, number: int, keys: Path, good: dict[str, Status]) -> None:
        self._path, self._number, self._keys, self._good = path, number, keys, good
        self._log = TileReader(path / "log")
        self._tiles = TileWatch(self._log.path)
        self._frontier = tree.Frontier()
        self._named: list[NamedKeys] = []
        self._deletions = Deletions()
        self.signed: Checkpoint | None = None
        self.proven = 0
        self._prefix = Prefix()
        self._suspect: dict[str, Status] = {}
        # What was there before anybody watched, and is left to the cycle: else a start would verify everything at once.
        self._later: dict[str, Status] = {}
        self._begun = False
        self._last_due = 0.0

    def look(self) -> list[Finding]:
        """Follow the head, and look at what has changed."""
        if not self._begun:
            self._begun = True
            self._leave_to_cycle()
        found: list[Finding] = []
        for step in (self._follow, self._look_at_anchors, self._look_at_tiles, self._look_at_volumes):
            try:
                found += step()
            except LedgerError as error:
                found.append(Finding(str(error.place or self._path), error.what))
            except OSError as error:
                found.append(Finding(str(error.filename or self._path), f"cannot be read: {error.strerror}"))
        return found

    def _leave_to_cycle(self) -> None:
        for path in (self._path / "events").rglob("*"):
            if str(path) not in self._good and path.is_file():
                self._later[str(path)] = Status.of(path)
        with suppress(LedgerError, ValueError):
            self._tiles.begin(Checkpoint.parse(self._log.checkpoint() or "").size)

    def units(self) -> Iterator[_Unit]:
        """Give the work of a cycle: all of the log, then the closed volumes, the oldest first."""
        tiles = -(-self._frontier.size // WIDTH)
        for tile in range(0, tiles, _TILES):
            yield _Unit(self._number, None, tile, 0)
        for volume in volumes(self._path):
            yield _Unit(self._number, volume.number, 0, volume.path.stat().st_size)

    def check(self, unit: _Unit) -> tuple[Finding | None, int]:
        """Do a piece of the cycle's work; return what is wrong, and the number of records that were proven."""
        try:
            if unit.volume is None:
                self._check_tiles(unit.tile)
                return None, 0
            found = {volume.number: volume for volume in volumes(self._path)}
            if unit.volume not in found:
                return Finding(str(self._path / "events"), f"volume {unit.volume} is missing"), 0
            return self._check_volume(found[unit.volume], found.get(unit.volume + 1))
        except LedgerError as error:
            return Finding(str(error.place or self._path), error.what), 0
        except OSError as error:
            return Finding(str(error.filename or self._path), f"cannot be read: {error.strerror}"), 0

    # -- the log -----------------------------------------------------------------------------------------------------

    def _follow(self) -> list[Finding]:
        """Take up what the log has grown by: each head must extend the last one. Raises LedgerError."""
        note = self._log.checkpoint()
        place = Place(str(self._log.path / "checkpoint"))
        if note is None:
            if self.signed:
                raise LedgerError("this file is missing", place=place)
            return []
        try:
            signed = Checkpoint.parse(note)
        except ValueError as error:
            raise LedgerError(str(error), place=place) from error
        if signed.size < self._frontier.size:
            raise LedgerError(
                f"the log had {self._frontier.size} entries and has {signed.size}: it was cut back", place=place
            )
        self._take(signed, place)
        if self._frontier.root() != signed.root:
            raise LedgerError(f"the {signed.size} entries of the log are not those that were signed", place=place)
        report = Report()
        try:
            check_signatures(note, signed.origin, self._named[-1], report)
        except (ValueError, IndexError) as error:
            raise LedgerError(f"the checkpoint: {error}", place=place) from error
        self.signed = signed
        return []

    def _take(self, signed: Checkpoint, place: Place) -> None:
        root = open_root_public(self._keys)
        if signed.size == self._frontier.size:
            return
        start = self._frontier.size
        frontier = tree.Frontier()
        if start:
            frontier.load(start, self._log.subtree)
        if start and frontier.root() != self._frontier.root():
            raise LedgerError(f"the first {start} entries of the log are not what they were", place=place)
        named: list[NamedKeys] = []
        deleted: list[tuple[int, bytes]] = []
        for index, entry in enumerate(self._log.entries(start, signed.size), start):
            frontier.append(tree.leaf_hash(entry))
            if is_manifest(entry):
                continue
            if is_deletion(entry):
                deleted.append((index, entry))
                continue
            before = (self._named + named)[-1].key if self._named or named else None
            try:
                named.append(open_key_entry(entry, root, signed.origin, before))
            except ValueError as error:
                raise LedgerError(f"entry {index} of the log: {error}", place=Place(str(self._log.path))) from error
        if frontier.root() != signed.root:
            raise LedgerError(f"the {signed.size} entries of the log are not those that were signed", place=place)
        for index, entry in deleted:
            self._deletions.take(index, entry, self._number)
        self._named += named
        self._frontier = frontier

    def _look_at_anchors(self) -> list[Finding]:
        """What witnesses and authorities saw must be what the log holds; what was kept must stay."""
        if self.signed is None:
            return []
        seen = anchors.cosigned(self._path)
        kept = [] if seen is None else [anchors.Anchor(Checkpoint.parse(seen), seen, {})]
        folder = anchors.folder(self._path)
        for size in anchors.sizes(self._path):
            kept += [anchors.anchor(self._path, size)] if self._has_changed(folder / f"{size:020}.note") else []
        report = Report()
        note, size = self._log.checkpoint() or "", self.signed.size
        keys = [named.key for named in self._named]

        def root_at(upto: int) -> bytes | None:
            return self._log.root(upto) if upto <= size else None

        judge(report, ShardFacts(self._number), Shown(self.signed, note, keys, size, kept, root_at, live=True), None)
        if not report.findings:
            files = folder.iterdir() if folder.is_dir() else ()
            self._note_good([path for path in files if path.suffix in {".note", ".tsr"}])
        return [*report.findings, *self._gone(folder, "what an authority or a witness said of the log was deleted")]

    def _look_at_tiles(self) -> list[Finding]:
        """Tiles that are full never change."""
        if self.signed is None:
            return []
        found = []
        for level, number in self._tiles.changed(self.signed.size):
            status = self._tiles.status(level, number)
            try:
                self._check_tile(number) if level == 0 else self._check_upper(level, number)
            except LedgerError as error:
                found.append(Finding(str(error.place), error.what))
            self._tiles.note(level, number, status)
        return found

    def _check_tiles(self, first: int) -> None:
        size = self.signed.size if self.signed else 0
        for number in range(first, min(first + _TILES, -(-size // WIDTH))):
            status = self._tiles.status(0, number)
            self._check_tile(number)
            if (number + 1) * WIDTH <= size:
                self._tiles.note(0, number, status)
            for level in range(2, 8):
                if (number + 1) % WIDTH**level == 0:
                    self._check_upper(level, number // WIDTH**level)
        if self.signed and self._log.root(size) != self.signed.root:
            raise LedgerError(
                "the upper tiles of the log are not those of its entries", place=Place(str(self._log.path))
            )

    def _check_tile(self, number: int) -> None:
        """Hash the entries of one bundle again, and compare with the tiles above. Raises LedgerError."""
        size = self.signed.size if self.signed else 0
        end = min((number + 1) * WIDTH, size)
        width = end - number * WIDTH
        hashes = self._log.hashes(0, number, width)
        found = [tree.leaf_hash(entry) for entry in self._log.entries(number * WIDTH, end)]
        if found != hashes:
            path = self._log.path / tile_path(ENTRIES, number, width)
            at = number * WIDTH + next(
                at for at, pair in enumerate(zip(found, hashes, strict=True)) if pair[0] != pair[1]
            )
            raise LedgerError(
                f"entry {at} of the log is not the one that its tile of hashes holds", place=Place(str(path))
            )
        if width == WIDTH and self._log.hashes(1, number // WIDTH, number % WIDTH + 1)[-1] != tree.root(hashes):
            path = self._log.path / tile_path(0, number)
            raise LedgerError("this tile is not the one that the log's tree holds", place=Place(str(path)))

    def _check_upper(self, level: int, number: int) -> None:
        """Compare a full tile above level 0 with the tiles that it is made of. Raises LedgerError."""
        made = [tree.root(self._log.hashes(level - 1, number * WIDTH + at, WIDTH)) for at in range(WIDTH)]
        if made != self._log.hashes(level, number, WIDTH):
            path = self._log.path / tile_path(level, number)
            raise LedgerError("this tile is not the one that the log's tree holds", place=Place(str(path)))

    # -- the volumes -------------------------------------------------------------------------------------------------

    def _look_at_volumes(self) -> list[Finding]:
        head = Head.read(self._path)
        if head is None:
            if self.signed is None:
                return []
            raise LedgerError("this file is missing or damaged", place=Place(str(self._path / "head")))
        found = [volume for volume in volumes(self._path) if volume.number <= head.volume]
        missing = sorted(set(range(head.volume + 1)) - {volume.number for volume in found})
        if missing:
            raise LedgerError(f"volume {missing[0]} is missing", place=Place(str(self._path / "events")))
        wrong = []
        for volume, following in pairwise(found):
            if self._has_changed(volume.path):
                one, _ = self._check_volume(volume, following)
                wrong += [one] if one else []
        return wrong + self._look_at_last(found[-1], head)

    def _check_volume(self, volume: VolumePath, following: VolumePath | None) -> tuple[Finding | None, int]:
        """Verify one volume whole; what was deleted or packed meanwhile is looked at again."""
        if following is None:
            head = Head.read(self._path)
            return (self._check_last(volume, head), 0) if head else (None, 0)
        finding, events = None, 0
        for again in (True, False):
            before = Status.of(volume.path)
            size = self.signed.size if self.signed else 0
            facts, finding = check_volume(
                self._number, volume, opening_of(following), self._log.path, size, self._deletions
            )
            events = facts.events
            if finding is None and Status.of(volume.path) == before:
                self._good[str(volume.path)] = before
                self._forget(volume.path)
                self.proven = max(self.proven, facts.end_position)
                return None, events
            if again:
                time.sleep(0.5)
                self._follow()
        if finding:
            self._note_suspect([volume.path])
        return finding, events

    def _look_at_last(self, volume: VolumePath, head: Head) -> list[Finding]:
        """The volume that is being written: what was there must still be there; what came is verified soon."""
        now = time.monotonic()
        same = self._prefix.is_same(volume, head)
        if same and now < self._last_due:
            return []
        before = time.thread_time()
        one = self._check_last(volume, head)
        self._last_due = now + min(_LAST_AT_MOST, max(_LAST_EVERY, 20 * (time.thread_time() - before)))
        return [one] if one else []

    def _check_last(self, volume: VolumePath, head: Head) -> Finding | None:
        what: str | None = None
        for again in (True, False):
            try:
                self._follow()
                tail = TailKey.of(self._keys, self._number, create=False)
                size = self.signed.size if self.signed else 0
                what = check_last(self._number, volume, head, self._log.path, size, tail, self._deletions)
            except (LedgerError, OSError) as error:
                what = getattr(error, "what", str(error))
            if what is None:
                self.proven = max(self.proven, head.position)
                return None
            if again:  # a writer that goes on meanwhile: its files are read one after the other
                time.sleep(0.3)
                newer = Head.read(self._path)
                if newer is None or newer.volume != volume.number:
                    return None
                head = newer
        self._prefix = Prefix()
        return Finding(str(volume.path), what or "")

    # -- statuses ----------------------------------------------------------------------------------------------------

    def _has_changed(self, path: Path) -> bool:
        """Tell whether a file is not as it was when it was found good, or when it was found wrong."""
        try:
            status = Status.of(path)
        except FileNotFoundError:
            return True
        known = (self._good.get(str(path)), self._suspect.get(str(path)), self._later.get(str(path)))
        return status not in known

    def _note_good(self, paths: list[Path]) -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                self._good[str(path)] = Status.of(path)
                self._forget(path)

    def _forget(self, path: Path) -> None:
        """A file was found good: it is neither suspect nor waiting for the cycle."""
        self._suspect.pop(str(path), None)
        self._later.pop(str(path), None)

    def _note_suspect(self, paths: list[Path]) -> None:
        for path in paths:
            self._good.pop(str(path), None)
            self._later.pop(str(path), None)
            with suppress(FileNotFoundError):
                self._suspect[str(path)] = Status.of(path)

    def _gone(self, folder: Path, what: str) -> list[Finding]:
        """Return the files of a folder that were good and are not there any more."""
        known = [place for place in self._good if place.startswith(f"{folder}/")]
        return [Finding(place, what) for place in known if not Path(place).exists()]
