"""A log on disk as https://c2sp.org/tlog-tiles lays it out: tiles of hashes, bundles of entries, a checkpoint.

Full tiles are synced. The partial ones at the right edge are extended and renamed, and not
synced: everything in them also stands in the volume being written, from which recovery writes them again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable, tree

WIDTH = 256
ENTRIES = "entries"


@lru_cache(1024)
def tile_path(level: int | str, index: int, width: int = WIDTH) -> Path:
    """Return the path of a tile inside the log: tile/0/x001/x234/067 or, partial, tile/0/x001/x234/067.p/8."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    path = Path("tile", str(level), *groups)
    return path if width == WIDTH else path.with_name(f"{path.name}.p") / str(width)


class TileReader:
    """Reads a log that another process may be extending."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoint(self) -> str | None:
        """Return the signed checkpoint, None if none was signed yet."""
        try:
            return (self.path / "checkpoint").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise LedgerError("the checkpoint is no text", place=Place(str(self.path / "checkpoint"))) from None

    def tile(self, level: int | str, index: int, width: int) -> bytes:
        """Return a tile of at least ``width``. Raises LedgerError if there is none."""
        for _ in range(3):  # a partial tile may be renamed while it is looked for
            for path in self._candidates(level, index, width):
                try:
                    return path.read_bytes()
                except FileNotFoundError:
                    continue
        missing = self.path / tile_path(level, index, width)
        raise LedgerError("this part of the log is missing", place=Place(str(missing)))

    def _candidates(self, level: int | str, index: int, width: int) -> Iterator[Path]:
        full = self.path / tile_path(level, index)
        yield full
        partial = full.with_name(f"{full.name}.p")
        try:
            widths = sorted(int(path.name) for path in partial.iterdir() if path.name.isdigit())
        except FileNotFoundError:
            widths = []
        yield from (partial / str(found) for found in widths if found >= width)

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """Return the first ``width`` hashes of a tile. Raises LedgerError."""
        data = self.tile(level, index, width)
        if len(data) < 32 * width:
            raise LedgerError("this tile is too short", place=Place(str(self.path / tile_path(level, index, width))))
        return [data[at : at + 32] for at in range(0, 32 * width, 32)]

    def entries(self, first: int, end: int) -> Iterator[bytes]:
        """Give the entries [first, end). Raises LedgerError."""
        while first < end:
            index, skip = divmod(first, WIDTH)
            width = min(WIDTH, end - index * WIDTH)
            place = Place(str(self.path / tile_path(ENTRIES, index, width)))
            try:
                bundle = split_bundle(self.tile(ENTRIES, index, width), width)
            except ValueError as error:
                raise LedgerError(str(error), place=place) from error
            yield from bundle[skip:]
            first = index * WIDTH + width

    def subtree(self, low: int, high: int) -> bytes:
        """Return the head of the tree of the leaves [low, high), which is a node of the log's tree. Raises LedgerError."""
        size = high - low
        if size & (size - 1):
            middle = low + tree.split(size)
            return tree.node_hash(self.subtree(low, middle), self.subtree(middle, high))
        level, rest = divmod(size.bit_length() - 1, 8)
        first = low >> (8 * level)
        index, at = divmod(first, WIDTH)
        return tree.root(self.hashes(level, index, at + (1 << rest))[at:])

    def root(self, size: int) -> bytes:
        """Return the head of the tree at a size, from its tiles. Raises LedgerError."""
        return self.subtree(0, size) if size else tree.EMPTY


def pack_entry(entry: bytes) -> bytes:
    """Spell an entry as a bundle does: two bytes of length, then the entry."""
    return len(entry).to_bytes(2, "big") + entry


def split_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the first ``width`` entries of a bundle. Raises ValueError."""
    entries = []
    at = 0
    for _ in range(width):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise ValueError("this bundle of entries is too short")
        entries.append(data[at + 2 : end])
        at = end
    return entries


class _Edge:
    """The tile at the right edge of one level: what it holds, and how much of that is on disk."""

    def __init__(self, index: int = 0, width: int = 0, data: bytes = b"") -> None:
        self.index = index
        self.width = width
        self.data = bytearray(data)
        self.stored = 0  # width of the file on disk that ours extends; 0 if it is to be written anew
        self.stored_size = 0


class Log:
    """The writer's side of a log."""

    def __init__(self, path: Path, size: int = 0) -> None:
        """Open a log at a size it once had; what stands behind it is written again. Raises LedgerError."""
        self.path = path
        self.frontier = tree.Frontier()
        self._edges: dict[int | str, _Edge] = {}
        self._full: list[tuple[int | str, _Edge]] = []
        durable.make_folder(path)
        if size:
            self._load(TileReader(path), size)

    @property
    def size(self) -> int:
        return self.frontier.size

    def root(self) -> bytes:
        return self.frontier.root()

    def append(self, entry: bytes) -> None:
        """Add an entry, in memory; ``flush`` writes it."""
        leaf = tree.leaf_hash(entry)
        self.frontier.append(leaf)
        self._add(ENTRIES, pack_entry(entry))
        self._add(0, leaf)

    def flush(self, *, sync: bool = False) -> None:
        """Write what was added; ``sync`` makes the partial tiles durable, too. Raises OSError; then it can be called again."""
        while self._full:
            level, edge = self._full[0]
            self._store(level, edge, sync=True)
            del self._full[0]
        for level, edge in self._edges.items():
            if edge.width:
                self._store(level, edge, sync=sync)

    def _add(self, level: int | str, data: bytes) -> None:
        edge = self._edges.setdefault(level, _Edge())
        edge.data += data
        edge.width += 1
        if edge.width < WIDTH:
            return
        self._full.append((level, edge))
        self._edges[level] = _Edge(edge.index + 1)
        if isinstance(level, int):
            hashes = [bytes(edge.data[at : at + 32]) for at in range(0, len(edge.data), 32)]
            self._add(level + 1, tree.root(hashes))

    def _store(self, level: int | str, edge: _Edge, *, sync: bool) -> None:
        target = self.path / tile_path(level, edge.index, edge.width)
        if edge.stored != edge.width:
            durable.make_folder(target.parent)
            if edge.stored:
                shorter = self.path / tile_path(level, edge.index, edge.stored)
                with shorter.open("r+b") as file:
                    file.seek(edge.stored_size)
                    file.write(edge.data[edge.stored_size :])
                shorter.rename(target)
            else:
                durable.replace(target, bytes(edge.data), lasting=True)
                _remove_others(target)
            edge.stored, edge.stored_size = edge.width, len(edge.data)
        if sync:
            with target.open("rb") as file:
                os.fsync(file.fileno())
            durable.sync_directory(target.parent)
        if edge.width == WIDTH:
            shutil.rmtree(target.with_name(f"{target.name}.p"), ignore_errors=True)

    def _load(self, reader: TileReader, size: int) -> None:
        """Take up the right edge at a size."""
        level = 0
        while count := size >> (8 * level):
            index, width = divmod(count, WIDTH)
            data = b"".join(reader.hashes(level, index, width)) if width else b""
            self._edges[level] = _Edge(index, width, data)
            level += 1
        index, width = divmod(size, WIDTH)
        bundle = b"".join(map(pack_entry, reader.entries(size - width, size)))
        self._edges[ENTRIES] = _Edge(index, width, bundle)
        self.frontier.load(size, reader.subtree)


def _remove_others(tile: Path) -> None:
    """Remove what a crash left beside a tile that was written anew: partial tiles that are torn or too wide."""
    for path in tile.parent.iterdir() if tile.parent.name.endswith(".p") else ():
        if path != tile:
            path.unlink()
