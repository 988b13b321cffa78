"""Groups that memory has no room for: a file of our own, which may be lost.

What is durable is what the caller stores; this only takes the place of memory. So it knows no syncs and no journal, it
is deleted while it is open, and after a crash it is filled again from what is restored.
"""

from __future__ import annotations

import sqlite3
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from watchbill.engine.detect.journal import Key, packed

_AT_ONCE = 400
_SCHEMA = """
CREATE TABLE away (rule INTEGER, where_ BLOB, due INTEGER, blob BLOB, PRIMARY KEY (rule, where_)) WITHOUT ROWID;
CREATE INDEX away_due ON away (rule, due);
"""


class Spill:
    """Blobs by (rule, where), with the time at which they are to be looked at again. Opened when it is first needed.

    ``folder`` is where the file is made; without one the system's folder for temporary files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._database: sqlite3.Connection | None = None
        self._known: set[int] = set()

    def __len__(self) -> int:
        return len(self._known)

    def put(self, rule: int, rows: Iterable[tuple[Key, int, bytes]]) -> None:
        """Take groups: (where, when they are due, what they hold)."""
        made = []
        for where, due, blob in rows:
            self._known.add(hash((rule, where)))
            made.append((rule, packed(where), due, blob))
        self._all("INSERT OR REPLACE INTO away VALUES (?, ?, ?, ?)", made)

    def take(self, rule: int, wheres: Iterable[Key]) -> Iterator[tuple[Key, bytes]]:
        """Give those of these groups back that are here; they are here no more."""
        if not self._known:
            return
        keys = [packed(where) for where in wheres if hash((rule, where)) in self._known]
        for start in range(0, len(keys), _AT_ONCE):
            part = keys[start : start + _AT_ONCE]
            query = f"SELECT where_, blob FROM away WHERE rule = ? AND where_ IN ({','.join('?' * len(part))})"  # noqa: S608 - marks
            yield from self._taken(rule, self._open().execute(query, (rule, *part)).fetchall())

    def due(self, rule: int, now: int, most: int) -> Iterator[tuple[Key, bytes]]:
        """Give back at most so many groups that were due before ``now``."""
        if self._database is None:
            return
        query = "SELECT where_, blob FROM away WHERE rule = ? AND due < ? LIMIT ?"
        yield from self._taken(rule, self._database.execute(query, (rule, now, most)).fetchall())

    def _taken(self, rule: int, rows: Sequence[tuple[bytes, bytes]]) -> Iterator[tuple[Key, bytes]]:
        self._all("DELETE FROM away WHERE rule = ? AND where_ = ?", [(rule, key) for key, _ in rows])
        for key, blob in rows:
            where = msgspec.msgpack.decode(key, type=Key)
            self._known.discard(hash((rule, where)))
            yield where, blob

    def _all(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        database = self._open()
        database.execute("BEGIN")
        database.executemany(statement, rows)
        database.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            with tempfile.NamedTemporaryFile(prefix="groups-", suffix=".spill", dir=self.folder) as file:
                self._database = sqlite3.connect(file.name, isolation_level=None, check_same_thread=False)
                for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-32000"):
                    self._database.execute(f"PRAGMA {pragma}")
                self._database.executescript(_SCHEMA)
                weakref.finalize(self, self._database.close)
        return self._database
