"""Second copies: what is durable here is put elsewhere, as it grows, and can be made into a ledger again there.

    root.pub                                 the root's public key
    shard-0000/checkpoint                    the signed head, put last: everything that it covers is there before it
    shard-0000/log/tile/...                  tiles, as here
    shard-0000/anchors/...                   what witnesses and authorities said of heads, as here
    shard-0000/events/NNNNNNNN-P...P.vol     packed volumes, each checked before it is put
    shard-0000/tail/NNNNNNNN-P...P/OFFSET    what was appended to volumes that are not packed yet, part by part

A volume that was packed, or from which something was deleted, replaces its parts or its older form: so a copy honours
retention and erasure. Nothing else is ever replaced, and nothing that fails the verifier's check is put.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import anchors, durable, frames
from watchbill.ledger.deletions import Deletions
from watchbill.ledger.frames import Kind
from watchbill.ledger.keys import open_root_public
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.tiles import ENTRIES, WIDTH, TileReader, tile_path
from watchbill.ledger.verify import check_volume, is_deletion
from watchbill.ledger.volume import Head, HeadFile, Opening, VolumePath, opening_of, shard_path, shards, volumes

PART_BYTES = 16 << 20
_VOLUME = re.compile(r"\d{8}-\d{16}\.vol")
_TAIL = re.compile(r"(\d{8}-\d{16})/(\d{12})")
_ANCHOR = re.compile(r"(\d{20})\.(note|[a-z0-9-]{1,100}\.tsr)")
_TILE = re.compile(r"tile/(entries|\d{1,2})(/x?\d{3})+(\.p/\d{1,3})?")
_MEND = 'run "watchbill verify"; a copy is never overwritten with what does not verify'


class Store(Protocol):
    """A place for bytes by names like paths. Raises OSError when it cannot be reached or refuses."""

    def names(self, prefix: str) -> dict[str, int]:
        """Return the names that begin with a prefix, and their sizes."""

    def get(self, name: str) -> bytes:
        """Return what is stored. Raises FileNotFoundError if there is nothing."""

    def put(self, name: str, data: bytes) -> None:
        """Store bytes, whole or not at all, in place of older ones."""

    def delete(self, name: str) -> None:
        """Take away what is stored, if it is there."""


class FolderStore:
    """A folder, for instance of another disk or a mounted share. It must be there, so that nothing is put beside a missing mount."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self, prefix: str) -> dict[str, int]:
        base = self.path / prefix
        if not self.path.is_dir():
            raise FileNotFoundError(2, "the folder is not there", str(self.path))
        found = base.rglob("*") if base.is_dir() else ()
        return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in found if path.is_file()}

    def get(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def put(self, name: str, data: bytes) -> None:
        if not self.path.is_dir():
            raise FileNotFoundError(2, "the folder is not there", str(self.path))
        target = self.path / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.replace(target, data)

    def delete(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


class Copied(NamedTuple):
    """What one run brought over: bytes put, and the records of each shard that the copy now holds."""

    size: int
    upto: dict[int, int]


def copy(ledger: Path, keys: Path, store: Store, progress: Callable[[int], None] | None = None) -> Copied:
    """Bring a copy up to date, once. Raises as ``Copier.run`` does."""
    return Copier(ledger, keys, store).run(progress)


class Copier:
    """Brings one copy up to date again and again: what it knows of the place and of checked volumes, it does not ask twice."""

    def __init__(self, ledger: Path, keys: Path, store: Store) -> None:
        self._ledger, self._keys, self._store = ledger, keys, store
        self._shards: dict[int, _ShardCopy] = {}
        self._has_root = False

    def run(self, progress: Callable[[int], None] | None = None) -> Copied:
        """Put what is missing. ``progress`` is called with the bytes put so far.

        Raises LedgerError if the ledger is damaged, or the copy holds another history; OSError if the store refuses.
        """
        size, upto = 0, {}
        if not self._has_root and shards(self._ledger):
            self._put_root()
        for shard in shards(self._ledger):
            part = self._shards.setdefault(shard, _ShardCopy(shard_path(self._ledger, shard), shard, self._store))
            try:
                for put in part.run():
                    size += put
                    if progress:
                        progress(size)
            except BaseException:
                del self._shards[shard]  # what is there is looked up anew
                raise
            if part.upto is not None:
                upto[shard] = part.upto
        return Copied(size, upto)

    def _put_root(self) -> None:
        text = f"{open_root_public(self._keys).vkey()}\n".encode()
        there = _get(self._store, "root.pub")
        if there is None:
            self._store.put("root.pub", text)
        elif there != text:
            raise LedgerError("the copy is of another installation: its root key is another", mend="name another place")
        self._has_root = True


class _ShardCopy:
    def __init__(self, path: Path, shard: int, store: Store) -> None:
        self._path, self._shard, self._store = path, shard, store
        self._name = path.name
        self._log = TileReader(path / "log")
        self._there: dict[str, int] | None = None
        self._stated: dict[str, str] = {}  # the digests of the packed volumes that the copy holds
        self._deletions, self._scanned = Deletions(), 0
        self._openings: dict[int, Opening] = {}
        self._settled: dict[int, tuple[int, int]] = {}  # packed volumes that are there: inode and time of change
        self._cosigned = ""
        self.upto: int | None = None

    def run(self) -> Iterator[int]:
        """Put what is missing; give the bytes of each thing that was put."""
        note = self._log.checkpoint()  # before the head: what it covers is durable then
        head = Head.read(self._path)
        if note is None or head is None:
            return
        signed = _parse(note, str(self._log.path / "checkpoint"))
        self._compare(signed)
        if self._there is None:
            self._there = self._store.names(f"{self._name}/")
            self._stated = json.loads(_get(self._store, f"{self._name}/volumes.json") or b"{}")
        for index, entry in enumerate(self._log.entries(self._scanned, signed.size), self._scanned):
            if is_deletion(entry):
                self._deletions.take(index, entry, self._shard)
        self._scanned = signed.size
        found = [volume for volume in volumes(self._path) if volume.number <= head.volume]
        for volume in found:
            if volume.number not in self._openings:
                self._openings[volume.number] = opening_of(volume)
        for volume in found:
            following = self._openings.get(volume.number + 1)
            if following and following.log_size <= signed.size and self._is_packed(volume):
                yield from self._whole(volume, following, signed)
            else:
                yield from self._parts(volume, head.end if following is None else None)
        yield from self._tiles(signed.size)
        yield from self._anchors(signed.size)
        self._put("checkpoint", note.encode())
        self.upto = head.position

    def _anchors(self, size: int) -> Iterator[int]:
        """What is cosigned changes; a time stamp is put once."""
        seen = anchors.cosigned(self._path)
        if seen and _parse(seen, "cosigned").size <= size and seen != self._cosigned:
            yield self._put("anchors/cosigned", seen.encode())
            self._cosigned = seen
        held = self._held("anchors/")
        folder = anchors.folder(self._path)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            stamped = _ANCHOR.fullmatch(path.name)
            if stamped and int(stamped[1]) <= size and f"{self._name}/anchors/{path.name}" not in held:
                yield self._put(f"anchors/{path.name}", path.read_bytes())

    def _put(self, name: str, data: bytes) -> int:
        name = f"{self._name}/{name}"
        self._store.put(name, data)
        if self._there is not None:
            self._there[name] = len(data)
        return len(data)

    def _delete(self, name: str) -> None:
        self._store.delete(name)
        if self._there is not None:
            self._there.pop(name, None)

    def _held(self, prefix: str) -> dict[str, int]:
        prefix = f"{self._name}/{prefix}"
        return {name: size for name, size in (self._there or {}).items() if name.startswith(prefix)}

    def _compare(self, signed: Checkpoint) -> None:
        """Refuse to replace a head that is not the beginning of this one."""
        note = _get(self._store, f"{self._name}/checkpoint")
        if note is None:
            return
        before = _parse(note.decode("utf-8", "replace"), f"{self._name}/checkpoint of the copy")
        if before.origin != signed.origin:
            raise LedgerError(f"the copy is of another ledger ({before.origin})", mend="name another place")
        if before.size > signed.size or self._log.root(before.size) != before.root:
            what = f"the copy holds a signed head ({before.size} entries) that this ledger does not extend"
            raise LedgerError(what, place=Place(str(self._path)), mend=_MEND)

    def _is_packed(self, volume: VolumePath) -> bool:
        if volume.number in self._settled:
            return True
        with volume.path.open("rb") as file:
            kinds = (header.kind for header in frames.headers(file.fileno(), 0, os.fstat(file.fileno()).st_size))
            return next((kind for kind in kinds if kind in (Kind.GROUP, Kind.PACKED)), Kind.PACKED) == Kind.PACKED

    def _whole(self, volume: VolumePath, following: Opening, signed: Checkpoint) -> Iterator[int]:
        """Put a packed volume, if the copy does not hold it as it is, after it was checked; then its parts go."""
        found = volume.path.stat()
        changed = found.st_ino, found.st_mtime_ns
        if self._settled.get(volume.number) == changed:
            return
        name = f"events/{volume.path.name}"
        data = volume.path.read_bytes()
        digest = sha256(data).hexdigest()
        if self._stated.get(volume.path.name) != digest or self._held(name) != {f"{self._name}/{name}": len(data)}:
            with tempfile.TemporaryDirectory() as folder:  # what is checked is what is put
                aside = volume._replace(path=Path(folder) / volume.path.name)
                aside.path.write_bytes(data)
                _, finding = check_volume(self._shard, aside, following, self._log.path, signed.size, self._deletions)
            if finding:
                raise LedgerError(f"not copied: {finding.what}", place=Place(str(volume.path)), mend=_MEND)
            yield self._put(name, data)
            self._stated[volume.path.name] = digest
            self._put("volumes.json", json.dumps(self._stated, sort_keys=True).encode())
        for part in self._held(f"tail/{volume.path.stem}/"):
            self._delete(part)
        self._settled[volume.number] = changed

    def _parts(self, volume: VolumePath, end: int | None) -> Iterator[int]:
        """Put what was appended to a volume since the last time, up to its durable end."""
        held = self._held(f"tail/{volume.path.stem}/")
        done = max((int(name.rpartition("/")[2]) + size for name, size in held.items()), default=0)
        with volume.path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size if end is None else end
            while done < end:
                data = os.pread(file.fileno(), min(PART_BYTES, end - done), done)
                if not data:
                    what = "the volume is shorter than its head says"
                    raise LedgerError(what, place=Place(str(volume.path)), mend=_MEND)
                yield self._put(f"tail/{volume.path.stem}/{done:012}", data)
                done += len(data)

    def _tiles(self, size: int) -> Iterator[int]:
        held, wanted = self._held("log/"), set()
        for level, index, width in _tiles_of(size):
            name = f"log/{tile_path(level, index, width).as_posix()}"
            wanted.add(f"{self._name}/{name}")
            if f"{self._name}/{name}" not in held:
                data = self._log.tile(level, index, width)
                yield self._put(name, data[: 32 * width] if isinstance(level, int) else data)
        for name in held.keys() - wanted:
            if ".p/" in name:
                self._delete(name)


def _tiles_of(size: int) -> Iterator[tuple[int | str, int, int]]:
    """Give the tiles of a log: (level, index, width)."""
    level = 0
    while count := size >> (8 * level):
        full, rest = divmod(count, WIDTH)
        tiles = [(index, WIDTH) for index in range(full)] + ([(full, rest)] if rest else [])
        for index, width in tiles:
            yield level, index, width
            if not level:
                yield ENTRIES, index, width
        level += 1


def restore(store: Store, ledger: Path) -> dict[int, int]:
    """Make a ledger of a copy in a folder that is not there or empty; return the records of each shard.

    Names are taken from the store only if they are spelled as ours. Verify it before it is used. Raises LedgerError,
    OSError.
    """
    if ledger.exists() and any(ledger.iterdir()):
        raise LedgerError(
            "there is something here already", place=Place(str(ledger)), mend="restore into an empty folder"
        )
    ledger.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = store.names("")
    found = {}
    for shard in sorted({int(name[6:10]) for name in names if re.match(r"shard-\d{4}/checkpoint$", name)}):
        found[shard] = _restore_shard(store, ledger, shard, names)
    if not found:
        raise LedgerError("the place holds no copy of a ledger", mend="see that name, prefix and rights are right")
    return found


def _restore_shard(store: Store, ledger: Path, shard: int, names: dict[str, int]) -> int:
    path, prefix = shard_path(ledger, shard), f"shard-{shard:04}/"
    (path / "events").mkdir(mode=0o700, parents=True)
    inside = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    whole: dict[str, str] = {}
    parts: dict[str, list[tuple[int, str]]] = {}
    for short, name in inside.items():
        folder, _, rest = short.partition("/")
        if (folder == "log" and _TILE.fullmatch(rest)) or (
            folder == "anchors" and (rest == "cosigned" or _ANCHOR.fullmatch(rest))
        ):
            _write(path / PurePosixPath(short), store.get(name))
        elif folder == "events" and _VOLUME.fullmatch(rest):
            whole[rest] = name
        elif folder == "tail" and (match := _TAIL.fullmatch(rest)):
            parts.setdefault(f"{match[1]}.vol", []).append((int(match[2]), name))
    _write(path / "log" / "checkpoint", store.get(f"{prefix}checkpoint"))
    for file in sorted({*whole, *parts}):
        target = path / "events" / file
        if file in whole:
            _write(target, store.get(whole[file]))
            continue
        end = 0
        with target.open("xb") as out:
            for offset, name in sorted(parts[file]):
                if offset != end:
                    break
                end += out.write(store.get(name))
    return _make_head(path)


def _make_head(path: Path) -> int:
    """Cut the newest volume to its last whole frame and publish the head of what is there."""
    found = volumes(path)
    if not found:
        raise LedgerError("the copy has no volume", place=Place(str(path)))
    last = found[-1]
    opening = opening_of(last)
    position, sealed, end = opening.position, opening.segment, 0
    with last.path.open("r+b") as file:
        for header in frames.headers(file.fileno(), 0, os.fstat(file.fileno()).st_size):
            end = header.end
            position += header.records if header.kind in (Kind.GROUP, Kind.PACKED) else 0
            if header.kind == Kind.SEAL:
                sealed = header.segment + 1
        file.truncate(end)
        os.fsync(file.fileno())
    head = HeadFile(path)
    head.publish(Head(position, last.number, end, sealed), sync=True)
    head.close()
    durable.sync_directory(path)
    return position


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.replace(path, data)


def _get(store: Store, name: str) -> bytes | None:
    try:
        return store.get(name)
    except FileNotFoundError:
        return None


def _parse(note: str, place: str) -> Checkpoint:
    try:
        return Checkpoint.parse(note)
    except ValueError as error:
        raise LedgerError(f"the checkpoint cannot be read: {error}", place=Place(place), mend=_MEND) from error
