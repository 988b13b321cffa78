"""Search over events at rest: the table's current files are read in order of time, as few of them as the answer needs.

A page is done when no file that is left can hold anything nearer than its last row; a rare word opens only the files
that may have it; and what would take longer than ``patience`` is answered as far as it went, and says so.
"""

# ruff: noqa: S608  SQL is put together from our own words; all that people wrote is bound

from __future__ import annotations

import time as timer
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from watchbill.core.errors import LakeError, QueryError
from watchbill.lake.columns import SELECTED, Row, row
from watchbill.lake.duck import Duck, StaleFilesError
from watchbill.lake.query import Condition
from watchbill.lake.results import FACETS, Bucket, Facets, Histogram, SearchResult, Total
from watchbill.lake.table import DataFile
from watchbill.lake.words import WordLists

#: Rows that the first look reads; each further look reads more, up to the last figure.
_LOOKS = (100_000, 300_000, 700_000)
MOST = 5_000
#: Facets are taken from so many of the newest matches.
FACET_ROWS = 100_000

_T = TypeVar("_T")
Key = tuple[int, int, int]  # time, shard, position: the order of events


class Scope(NamedTuple):
    """What is asked for: a condition in a time range [start, end), UTC nanoseconds."""

    condition: Condition
    start: int
    end: int

    @property
    def where(self) -> str:
        return f"time >= ? AND time < ? AND {self.condition.sql}"

    @property
    def params(self) -> list[object]:
        return [self.start, self.end, *self.condition.params]


class Searcher:
    """Searches one table; safe to use from many threads."""

    def __init__(self, duck: Duck, words: WordLists, files: Callable[[], list[DataFile]]) -> None:
        self._duck = duck
        self._words = words
        self._files = files

    def page(self, scope: Scope, *, limit: int, cursor: str, oldest_first: bool, patience: float) -> SearchResult:
        """One page in order of time, with the total. Raises QueryError for a limit or cursor that makes no sense."""
        if not 1 <= limit <= MOST:
            raise QueryError(f"there are no pages of {limit} events", mend=f"ask for 1 to {MOST}")
        return self._steady(partial(self._page, scope, _Order(oldest_first), limit, _key(cursor), patience))

    def histogram(self, scope: Scope, buckets: int, patience: float) -> Histogram:
        """Count matches in equal buckets; a range wider than the data is narrowed to the data."""
        if not 1 <= buckets <= MOST:
            raise QueryError(f"there is no histogram of {buckets} buckets", mend=f"ask for 1 to {MOST}")
        return self._steady(partial(self._histogram, scope, buckets, patience))

    def facets(self, scope: Scope, top: int, patience: float) -> Facets:
        """The most frequent values of a few fields in the newest matches."""
        return self._steady(partial(self._facets, scope, top, patience))

    def all(self, scope: Scope) -> Iterator[Row]:
        """Every match, newest first, read a page at a time, however long it takes."""
        after: Key | None = None
        while True:
            rows, after, _ = self._steady(partial(self._find, scope, _Order(False), MOST, after, float("inf")))
            yield from rows
            if after is None:
                return

    def get(self, shard: int, position: int) -> Row | None:
        """One event by its id."""

        def read() -> Row | None:
            files = [f for f in self._files() if _within(shard, f.shards) and _within(position, f.positions)]
            sql = f"SELECT {', '.join(SELECTED)} FROM events WHERE shard = ? AND position = ? LIMIT 1"
            found = self._duck.run(files, sql, [shard, position]) if files else []
            return row(found[0]) if found else None

        return self._steady(read)

    def _page(self, scope: Scope, order: _Order, limit: int, after: Key | None, patience: float) -> SearchResult:
        began = timer.monotonic()
        rows, next_, reached = self._find(scope, order, limit, after, patience)
        total = self._total(scope, max(patience - (timer.monotonic() - began), patience / 4))
        cursor = "_".join(map(str, next_)) if next_ else ""
        return SearchResult(tuple(rows), cursor, total, timer.monotonic() - began, reached)

    def _find(
        self, scope: Scope, order: _Order, limit: int, after: Key | None, patience: float
    ) -> tuple[list[Row], Key | None, int | None]:
        """Rows, the key after which the next page begins (None at the end), and how far patience went (None: enough)."""
        began = timer.monotonic()
        left = [file for file in order.sorted(self._candidates(scope)) if order.may_follow(file, after)]
        keys: list[Key] = []
        used: list[DataFile] = []
        where, params = scope.where, scope.params
        if after:
            where, params = f"{where} AND {order.follows}", [*params, *after]
        sql = f"SELECT time, shard, position FROM events WHERE {where} ORDER BY {order.by} LIMIT {limit}"
        looks = 0
        while left:
            edge = order.edge(left[0])
            if len(keys) == limit and order.before(keys[-1][0], edge):
                break
            if looks and timer.monotonic() - began > patience and (after is None or order.before(after[0], edge)):
                settled = [key for key in keys if order.before(key[0], edge)]
                return self._rows(settled, used), order.just_before(edge), edge
            group, left = _taken(left, looks)
            looks += 1
            used += group
            keys = order.first(limit, keys + self._duck.run(group, sql, params))
        return self._rows(keys, used), keys[-1] if len(keys) == limit else None, None

    def _rows(self, keys: list[Key], files: list[DataFile]) -> list[Row]:
        """Fetch whole rows; their times and positions let DuckDB skip nearly all else."""
        if not keys:
            return []
        times = [key[0] for key in keys]
        low, high = min(times), max(times)
        positions = [key[2] for key in keys]
        near = [file for file in files if file.first <= high and file.last >= low]
        sql = f"SELECT {', '.join(SELECTED)} FROM events WHERE time BETWEEN ? AND ? AND position BETWEEN ? AND ? AND position IN (SELECT unnest(?))"
        found = self._duck.run(near, sql, [low, high, min(positions), max(positions), positions])
        whole = {(values[2], values[0], values[1]): values for values in found}
        return [row(whole[key]) for key in keys]

    def _total(self, scope: Scope, patience: float) -> Total:
        began = timer.monotonic()
        files = self._candidates(scope)
        count = 0
        if scope.condition.sql == "true":
            whole = [file for file in files if file.first >= scope.start and file.last < scope.end]
            count = sum(file.rows for file in whole)
            files = [file for file in files if file not in whole]
        looks = 1
        while files:
            if looks > 1 and timer.monotonic() - began > patience:
                return Total(count, exact=False)
            group, files = _taken(files, looks)
            looks += 1
            count += self._duck.run(group, f"SELECT count(*) FROM events WHERE {scope.where}", scope.params)[0][0]
        return Total(count, exact=True)

    def _histogram(self, scope: Scope, buckets: int, patience: float) -> Histogram:
        began = timer.monotonic()
        files = self._candidates(scope)
        start = max(scope.start, min((file.first for file in files), default=scope.start))
        end = max(min(scope.end, max((file.last for file in files), default=start) + 1), start + 1)
        width = -(-(end - start) // buckets)
        counts, seen_from, looks = [0] * buckets, start, 1
        sql = f"SELECT (time - ?) // ? AS bucket, count(*) FROM events WHERE {scope.where} GROUP BY bucket"
        while files:
            if looks > 1 and timer.monotonic() - began > patience:
                seen_from = min(files[0].last + 1, end)
                break
            group, files = _taken(files, looks)
            looks += 1
            for bucket, count in self._duck.run(group, sql, [start, width, *scope.params]):
                counts[bucket] += count
        edges = range(start, start + buckets * width, width)
        found = tuple(Bucket(edge, edge + width, count) for edge, count in zip(edges, counts, strict=True))
        return Histogram(found, seen_from, timer.monotonic() - began)

    def _facets(self, scope: Scope, top: int, patience: float) -> Facets:
        began = timer.monotonic()
        files = self._candidates(scope)
        sums: dict[str, dict[str, int]] = {name: {} for name in FACETS}
        seen = looks = 0
        sql = _FACETS.format(where=scope.where)
        while files and seen < FACET_ROWS and not (looks and timer.monotonic() - began > patience):
            group, files = _taken(files, looks)
            looks += 1
            for field, value, count in self._duck.run(group, sql, [*scope.params, FACET_ROWS - seen]):
                if field == "":
                    seen += count
                    continue
                for name in value.split() if field == "rule" else (value,):
                    sums[field][name] = sums[field].get(name, 0) + count
        fields = {
            field: tuple(sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))[:top])
            for field, values in sums.items()
        }
        return Facets(fields, seen, not files and seen < FACET_ROWS, timer.monotonic() - began)

    def _candidates(self, scope: Scope) -> list[DataFile]:
        """Files that may hold a match, those with the newest events first."""
        near = [file for file in self._files() if file.last >= scope.start and file.first < scope.end]
        return [file for file in near if self._words.admits(file.path, scope.condition.may)]

    def _steady(self, read: Callable[[], _T]) -> _T:
        """Read again when compaction and vacuum took a file away in between."""
        for _ in range(3):
            try:
                return read()
            except StaleFilesError as error:
                last = error
        raise LakeError(
            f"files of the lake cannot be read: {last}", mend="see that the folder is whole and readable", retry=True
        )


_FACETS = """, found AS MATERIALIZED (
 SELECT host, user, src_ip, CAST(class_uid AS VARCHAR) AS class, rules FROM events WHERE {where} LIMIT ?)
 SELECT '', '', count(*) FROM found
 UNION ALL SELECT 'host', host, count(*) FROM found WHERE host <> '' GROUP BY host
 UNION ALL SELECT 'user', user, count(*) FROM found WHERE user IS NOT NULL GROUP BY user
 UNION ALL SELECT 'src_ip', src_ip, count(*) FROM found WHERE src_ip IS NOT NULL GROUP BY src_ip
 UNION ALL SELECT 'class', class, count(*) FROM found GROUP BY class
 UNION ALL SELECT 'rule', rules, count(*) FROM found WHERE rules IS NOT NULL GROUP BY rules"""


class _Order:
    """Newest first or oldest first: which file comes next, and what is before what."""

    def __init__(self, oldest_first: bool) -> None:
        self.oldest_first = oldest_first
        way, comparison = ("ASC", ">") if oldest_first else ("DESC", "<")
        self.by = f"time {way}, shard {way}, position {way}"
        self.follows = f"(time, shard, position) {comparison} (?, ?, ?)"

    def edge(self, file: DataFile) -> int:
        """The time of the file's first row in this order."""
        return file.first if self.oldest_first else file.last

    def before(self, one: int, other: int) -> bool:
        return one < other if self.oldest_first else one > other

    def sorted(self, files: list[DataFile]) -> list[DataFile]:
        return sorted(files, key=self.edge, reverse=not self.oldest_first)

    def may_follow(self, file: DataFile, after: Key | None) -> bool:
        if after is None:
            return True
        return file.last >= after[0] if self.oldest_first else file.first <= after[0]

    def first(self, limit: int, keys: list[Key]) -> list[Key]:
        return sorted(keys, reverse=not self.oldest_first)[:limit]

    def just_before(self, time: int) -> Key:
        """A key that all rows of this time still follow."""
        return (time, -1, -1) if self.oldest_first else (time, 1 << 30, 1 << 62)


def _taken(files: list[DataFile], looks: int) -> tuple[list[DataFile], list[DataFile]]:
    """Split off the files of one look."""
    wanted, rows, count = _LOOKS[min(looks, len(_LOOKS) - 1)], 0, 0
    while count < len(files) and (not count or rows + files[count].rows <= wanted):
        rows += files[count].rows
        count += 1
    return files[:count], files[count:]


def _within(value: int, span: tuple[int, int]) -> bool:
    return span[0] <= value <= span[1]


def _key(cursor: str) -> Key | None:
    if not cursor:
        return None
    try:
        time, shard, position = map(int, cursor.split("_"))
    except ValueError:
        raise QueryError(f"{cursor!r} is no cursor", mend="take it from the page before") from None
    return time, shard, position
