"""The lake: events at rest, written by one process and searched by any number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from watchbill.core.errors import QueryError
from watchbill.core.times import rfc3339
from watchbill.lake.columns import HOT, Event, Row, batch
from watchbill.lake.duck import Duck
from watchbill.lake.query import parse
from watchbill.lake.results import Facets, Histogram, SearchResult
from watchbill.lake.search import Scope, Searcher
from watchbill.lake.table import TARGET_SIZE, EventTable
from watchbill.lake.words import WordLists

if TYPE_CHECKING:
    from arro3.core import RecordBatch

#: Seconds that a search may take before it answers with what it has; twice as many are the most it takes.
PATIENCE = 0.5
#: Files with fewer rows are read rather than listed word by word.
LISTED_ROWS = 50_000
_CSV = ("time", "received", "host", "source", "parser", "class_uid", *HOT, "message", "flaw", "rules", "id")


class Lake:
    """All that is done with events at rest. Nothing is opened, and no large library imported, before it is needed."""

    def __init__(self, path: str | PathLike[str], *, threads: int = 2) -> None:
        self.path = Path(path).resolve()
        self._table = EventTable(self.path / "events")
        self._words = WordLists(self.path / "words")
        self._duck = Duck(self._table.path, threads=threads)
        self._searcher = Searcher(self._duck, self._words, self._table.files)

    def position(self, shard: int) -> int:
        """The ledger position up to which this shard's events are at rest (exclusive)."""
        return self._table.position(shard)

    def append(self, shard: int, events: Sequence[Event], rules: Sequence[tuple[str, ...]], upto: int) -> int:
        """Add a shard's events, each with the names of the rules it met, and move the position to ``upto``.

        One commit; what is there already is left out, so it may be repeated after a crash. Returns the new rows.
        Commit at most once a second: each leaves a file until compaction. Raises LakeError.
        """
        return self.write(shard, [batch(events, rules)], upto)

    def write(self, shard: int, rows: Sequence[RecordBatch], upto: int) -> int:
        """The same for rows that were made (by ``columns.batch``) when their events were at hand."""
        return self._table.append(shard, rows, upto)

    def compact(self, target_size: int = TARGET_SIZE, *, list_words_from: int = LISTED_ROWS) -> int:
        """Merge small files and list the words of those with enough rows; returns how many files went.

        May run beside appends and searches, in this or another process.
        """
        gone = self._table.compact(target_size)
        for file in self._table.files():
            if file.rows >= list_words_from and not self._words.path(file.path).exists():
                groups = self._duck.run(
                    [file], "SELECT encode(string_agg(message, chr(10))) FROM events GROUP BY position // 20000", []
                )
                self._words.write(file.path, (group[0] for group in groups))
        return gone

    def delete(self, shard: int, terms: Sequence[tuple[int, int, tuple[str, ...]]]) -> int:
        """Delete what the ledger no longer holds: (first position, end position, source names; none: whatever source).

        Returns how many events went; ``vacuum(0)`` then takes them off the disk. Raises LakeError.
        """
        return self._table.delete(shard, terms)

    def vacuum(self, retention_hours: int = 1) -> int:
        """Delete what no search can still be reading; returns how many files went."""
        gone = self._table.vacuum(retention_hours)
        self._words.keep(file.path for file in self._table.files())
        return len(gone)

    def search(
        self,
        query: str,
        start: int,
        end: int,
        *,
        limit: int = 100,
        cursor: str = "",
        oldest_first: bool = False,
        patience: float = PATIENCE,
    ) -> SearchResult:
        """A page of the events that match in [start, end), UTC nanoseconds. Raises QueryError."""
        scope = Scope(parse(query), start, end)
        return self._searcher.page(scope, limit=limit, cursor=cursor, oldest_first=oldest_first, patience=patience)

    def histogram(
        self, query: str, start: int, end: int, buckets: int = 60, *, patience: float = PATIENCE
    ) -> Histogram:
        """Matches over time, in equal buckets of the part of the range that has events. Raises QueryError."""
        return self._searcher.histogram(Scope(parse(query), start, end), buckets, patience)

    def facets(self, query: str, start: int, end: int, *, top: int = 10, patience: float = PATIENCE) -> Facets:
        """The most frequent hosts, users, source addresses, classes and rules of the matches. Raises QueryError."""
        return self._searcher.facets(Scope(parse(query), start, end), top, patience)

    def get(self, shard: int, position: int) -> Row | None:
        """One event by its id, or None."""
        return self._searcher.get(shard, position)

    def rows(self, query: str, start: int, end: int) -> Iterator[Row]:
        """Every match, newest first, however many. Raises QueryError at once."""
        return self._searcher.all(Scope(parse(query), start, end))

    def export(self, query: str, start: int, end: int, form: str) -> Iterator[bytes]:
        """Every match as lines of ``csv`` (RFC 4180, with a header) or ``json`` (one object a line), UTF-8."""
        forms = {"csv": _csv_lines, "json": _json_lines}
        if form not in forms:
            raise QueryError(f"events are not exported as {form!r}", mend="ask for csv or json")
        return forms[form](self.rows(query, start, end))

    def close(self) -> None:
        self._duck.close()


def _json_lines(rows: Iterator[Row]) -> Iterator[bytes]:
    for row in rows:
        facts = {"id": row.id, "received": rfc3339(row.received), "source": row.source, "parser": row.parser}
        yield (
            orjson.dumps(facts | {"flaw": row.flaw, "rules": row.rules, **row.ocsf, "time": rfc3339(row.time)}) + b"\n"
        )


def _csv_lines(rows: Iterator[Row]) -> Iterator[bytes]:
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(_CSV)
    for row in rows:
        if line.tell() > 1 << 16:
            yield _taken(line)
        hot = (row.ocsf.get(path, "") for path in HOT.values())
        values = (
            rfc3339(row.time),
            rfc3339(row.received),
            row.host,
            row.source,
            row.parser,
            row.class_uid,
            *hot,
            row.message,
            row.flaw,
            " ".join(row.rules),
            row.id,
        )
        writer.writerow([_harmless(value) for value in values])
    yield _taken(line)


def _harmless(value: object) -> object:
    """Keep a spreadsheet from running what a log line says (OWASP, CSV injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _taken(line: io.StringIO) -> bytes:
    text = line.getvalue()
    line.seek(0)
    line.truncate()
    return text.encode()
