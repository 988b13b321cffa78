"""Following log files through rotation, by looking at them: no inotify, so it works on every file system.

Rename rotation: the old file is read to its end while the new one is opened. Copy-and-truncate: what the copy still
holds is read there, what no copy holds is declared. What was rotated while nobody watched is found by its anchor
among the file's siblings; compressed ones are left alone.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect.framing import LINE_LIMIT, Cut
from watchbill.engine.collect.origin import Origin
from watchbill.engine.collect.positions import Positions
from watchbill.engine.collect.sink import Sink
from watchbill.engine.collect.tail import Position, ReplacedError, Tail

log = logging.getLogger(__name__)

#: Seconds between looks at a file that is quiet.
POLL = 0.2
#: Seconds a file that was renamed is still read for late writers, after its last growth.
GRACE = 5.0
COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip")
_PAST = 8


class Found(NamedTuple):
    """What one look brought."""

    raws: list[bytes]
    cuts: list[Cut]
    losses: list[tuple[str, dict[str, str | int]]]
    entry: dict[str, Any] | None
    more: bool


class Follower:
    """Follows one path. ``stored``: records that the ledger has beyond the saved position (see positions.py)."""

    def __init__(
        self,
        path: Path,
        origin: Origin,
        sink: Sink,
        positions: Positions,
        stored: Counter[bytes],
        *,
        limit: int = LINE_LIMIT,
        grace: float = GRACE,
    ) -> None:
        self.path = path
        self.origin = origin
        self._sink = sink
        self._positions = positions
        self._stored = stored
        self._limit = limit
        self._grace = grace
        self._tails: list[Tail] = []
        entry = positions.get(str(path))
        self._past = [Position.from_json(value) for value in entry.get("tails", [])]
        self._seen = float(entry.get("seen", 0.0))
        self._recovered = not self._past
        self._recent: Tail | None = None
        #: Batches that are not durable yet.
        self.flying = 0

    async def run(self) -> None:
        """Follow until cancelled. Errors of this file are this file's: they are shown, and it is tried again."""
        try:
            while True:
                found = await self._look_aside()
                for reason, detail in found.losses:
                    log.warning("%s: %s", self.path, reason)
                    self._sink.gap(self.origin, reason, **detail)
                if found.raws or found.entry is not None:
                    self.flying += 1
                    await self._sink.put(self.origin, found.raws, partial(self._durable, found.entry), found.cuts)
                elif not self.flying and not self._catching_up:
                    self._positions.accounted(str(self.path), self._sink.head)
                await asyncio.sleep(0 if found.more else POLL)
        finally:
            for tail in self._tails:
                tail.close()
            self._tails.clear()

    async def _look_aside(self) -> Found:
        """Look in a worker thread, so that a slow disk holds up nobody else; a cancelled look is seen to its end."""
        look = asyncio.ensure_future(asyncio.to_thread(self._look))
        try:
            return await asyncio.shield(look)
        except asyncio.CancelledError:
            await asyncio.wait([look], timeout=5)
            raise

    def _durable(self, entry: dict[str, Any] | None, head: int) -> None:
        self.flying -= 1
        if entry is not None:
            self._positions.set(str(self.path), entry, head)

    @property
    def _catching_up(self) -> bool:
        return any(tail.catching_up for tail in self._tails)

    # From here on in a worker thread, one look at a time.

    def _look(self) -> Found:
        losses: list[tuple[str, dict[str, str | int]]] = []
        before = [tail.position for tail in self._tails]
        self._open_current(losses)
        raws: list[bytes] = []
        cuts: list[Cut] = []
        more = False
        for tail in list(self._tails):
            try:
                lines = tail.read()
                if tail.retired and not lines.more and time.monotonic() - max(tail.retired, tail.grown) > self._grace:
                    last = tail.read(final=True)
                    lines = lines._replace(raws=lines.raws + last.raws, cuts=lines.cuts + last.cuts)
                    self._close(tail)
            except ReplacedError as error:
                self._replaced(tail, error.lost, losses)
                more = True
                break
            except OSError as error:
                self._tell("failed", str(error))
                continue
            if fresh := self._unstored(tail, lines.raws):
                raws += fresh
                cuts += lines.cuts
            if more := lines.more:
                break  # the older file first, so that its lines come first
        changed = before != [tail.position for tail in self._tails]
        entry = self._entry() if changed and not self._catching_up else None
        return Found(raws, cuts, losses, entry, more)

    def _open_current(self, losses: list[tuple[str, dict[str, str | int]]]) -> None:
        """See that the last tail is the file that has the name now."""
        current = self._tails[-1] if self._tails and not self._tails[-1].retired else None
        try:
            facts = self.path.stat()
            if current is not None and (facts.st_dev, facts.st_ino) == (current.device, current.inode):
                self._tell("following", "")
                return
            tail = Tail(self.path, limit=self._limit)
        except FileNotFoundError:
            self._retire(current)
            self._tell("waiting", "the file is not there; it is followed once it is")
            return
        except PermissionError:
            self._tell("unreadable", f"no permission to read it: {mend_for(self.path)}")
            return
        except (OSError, WatchbillError) as error:
            self._tell("unreadable", str(error))
            return
        self._retire(current)
        self._tell("following", "")
        if returned := next((old for old in self._tails if _same_file(old, tail)), None):
            tail.close()
            returned.retired = 0.0
            self._tails.remove(returned)
            self._tails.append(returned)
            return
        known = self._resume_past(tail)
        if not self._recovered:
            self._recovered = True
            self._recover_unfinished(tail)
            if not known:
                self._recover(tail, losses)
        elif self._recent is not None and not known:
            self._take_missed(self._recent.changed, self._recent.position, tail, losses)
        self._recent = tail
        self._begin(tail)

    def _resume_past(self, tail: Tail) -> bool:
        for position in reversed(self._past):
            if (position.device, position.inode) == (tail.device, tail.inode) and tail.resume(position):
                return True
        return False

    def _begin(self, tail: Tail) -> None:
        tail.catching_up = bool(self._stored)
        self._tails.append(tail)

    def _retire(self, tail: Tail | None) -> None:
        if tail is not None:
            tail.retired = time.monotonic()

    def _close(self, tail: Tail) -> None:
        self._past = [*self._past, tail.position][-_PAST:]
        self._tails.remove(tail)
        tail.close()

    def _recover_unfinished(self, current: Tail) -> None:
        """Files that were rotated before the restart and not yet read to their end."""
        for position in self._past[:-1]:
            for _, path in self._siblings(current):
                if _inode(path) == position.inode and path.stat().st_size > position.offset:
                    tail = Tail(path, limit=self._limit)
                    if not tail.resume(position):
                        tail.close()
                        continue
                    self._retire(tail)
                    self._begin(tail)

    def _recover(self, current: Tail, losses: list[tuple[str, dict[str, str | int]]]) -> None:
        """The file was replaced while nobody watched: read on in the renamed one, then those rotated after it."""
        last = self._past[-1]
        old, when = self._sibling(last, current)
        if old is None:
            losses.append(("it was replaced while nobody watched, and the old file is gone", {"read": last.offset}))
        else:
            self._retire(old)
            self._begin(old)
        self._take_missed(when if old else self._seen, last, current, losses)

    def _take_missed(
        self, since: float, last: Position, current: Tail, losses: list[tuple[str, dict[str, str | int]]]
    ) -> None:
        """Files that had the name between the last one that was read and the current one: changed since, not known,
        and no copies of the last one.
        """
        known = {tail.inode for tail in self._tails} | {position.inode for position in self._past}
        for changed, path in self._siblings(current):
            if changed < since or _inode(path) in known:
                continue
            try:
                tail = Tail(path, limit=self._limit)
            except (OSError, WatchbillError) as error:
                losses.append((f"the rotated file {path} cannot be read: {error}", {}))
                continue
            if last.anchor and tail.resume(last):
                tail.close()
                continue
            self._retire(tail)
            self._begin(tail)

    def _replaced(self, tail: Tail, lost: int, losses: list[tuple[str, dict[str, str | int]]]) -> None:
        """The file was truncated under us: read on in the copy that copy-and-truncate made, else declare the loss."""
        copy, _ = self._sibling(tail.position, tail)
        offset = tail.offset
        tail.restart()
        if copy is None:
            reason = "it was truncated; lines written since the last look are lost"
            losses.append((reason, {"bytes_at_least": lost}))
            return
        if (missing := offset + lost - copy.size) > 0:
            reason = "it was copied and truncated; lines written between the two are lost"
            losses.append((reason, {"bytes_at_least": missing}))
        self._retire(copy)
        self._tails.insert(self._tails.index(tail), copy)

    def _sibling(self, position: Position, current: Tail) -> tuple[Tail | None, float]:
        """Another file beside this one that has what was read before the position: the same inode, else a copy."""
        candidates = self._siblings(current)
        candidates.sort(key=lambda item: (_inode(item[1]) != position.inode, -item[0]))
        for changed, path in candidates if position.anchor else ():
            try:
                tail = Tail(path, limit=self._limit)
            except (OSError, WatchbillError):
                continue
            if tail.resume(position):
                return tail, changed
            tail.close()
        return None, 0.0

    def _siblings(self, current: Tail) -> list[tuple[float, Path]]:
        """Rotated forms of the path (auth.log.1, auth.log-20260304) with their times of change, oldest first."""
        name, stem, suffix = (re.escape(part) for part in (self.path.name, self.path.stem, self.path.suffix))
        rotated = re.compile(rf"{name}[.-](?:\d[\dT:._-]*|old|prev|copy)|{stem}[._-]\d[\dT:._-]*{suffix}")
        found = []
        try:
            with os.scandir(self.path.parent) as entries:
                for entry in entries:
                    if entry.name == self.path.name or not rotated.fullmatch(entry.name):
                        continue
                    if entry.is_file(follow_symlinks=False) and entry.inode() != current.inode:
                        found.append((entry.stat().st_mtime, Path(entry.path)))
        except OSError:
            return []
        return sorted(found)

    def _unstored(self, tail: Tail, raws: list[bytes]) -> list[bytes]:
        """Leave out what the ledger has already; the first line that it has not ends the catching up."""
        if not tail.catching_up:
            return raws
        for index, raw in enumerate(raws):
            if not self._stored[raw]:
                tail.catching_up = False
                if not self._catching_up:
                    self._stored = Counter()
                return raws[index:]
            self._stored[raw] -= 1
        tail.catching_up = self._stored.total() > 0
        return []

    def _entry(self) -> dict[str, Any]:
        tails = [*self._past, *(tail.position for tail in self._tails)]
        return {"tails": [position.to_json() for position in tails[-_PAST:]], "seen": time.time()}

    def _tell(self, state: str, reason: str) -> None:
        origin = self.origin
        if (origin.state, origin.reason) != (state, reason):
            if reason:
                log.warning("%s: %s", self.path, reason)
                origin.error = reason
            origin.state, origin.reason = state, reason


def expand(pattern: str) -> list[Path]:
    """The paths that a pattern names, without rotated compressed ones; a path without wildcards names itself."""
    if not any(mark in pattern for mark in "*?["):
        return [Path(pattern)]
    path = Path(pattern).absolute()
    fixed = Path(*itertools.takewhile(lambda part: not any(mark in part for mark in "*?["), path.parts))
    try:
        return sorted(p for p in fixed.glob(str(path.relative_to(fixed))) if p.suffix not in COMPRESSED)
    except OSError:
        return []


def mend_for(path: Path) -> str:
    """How to let this user read a file: the group that may, else an access list."""
    import grp

    user = os.environ.get("USER") or f"#{os.getuid()}"
    try:
        facts = path.stat()
        group = grp.getgrgid(facts.st_gid).gr_name
    except (OSError, KeyError):
        return f"setfacl -m u:{user}:rx {path.parent} (and read permission for the file)"
    if facts.st_mode & 0o040 and group != "root":
        return f"usermod -aG {group} {user}, then sign in again"
    return f"setfacl -m u:{user}:r {path}"


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _same_file(one: Tail, other: Tail) -> bool:
    return (one.device, one.inode) == (other.device, other.inode)
