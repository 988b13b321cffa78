"""The Delta table of events: idempotent appends, positions, the list of files, compaction and vacuum.

A reader's position is stored inside the table's own commit as a Delta application transaction (Delta protocol,
"Transaction Identifiers"), so rows and position become durable together or not at all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from watchbill.core.errors import LakeError
from watchbill.lake import columns

if TYPE_CHECKING:
    from arro3.core import RecordBatch
    from deltalake import CommitProperties, DeltaTable, WriterProperties

#: Files of at least this size are left alone by compaction (some 400,000 events): small enough
#: that a rare word opens little, large enough that a hundred million events are a few hundred files.
TARGET_SIZE = 16 << 20
#: Rows of a row group: what a search skips or decodes at once, and what its threads share out.
GROUP_ROWS = 65_536
_CONFIGURATION = {
    "delta.checkpointInterval": "100",
    # Each commit leaves a log file; a commit a second would leave 86,400 a day.
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    "delta.enableExpiredLogCleanup": "true",
    "delta.dataSkippingStatsColumns": "shard,position,time,received",
}


class DataFile(NamedTuple):
    """One Parquet file of the table's present version. Times are the first and last event's, UTC nanoseconds."""

    path: str
    size: int
    rows: int
    day: str
    first: int
    last: int
    shards: tuple[int, int]
    positions: tuple[int, int]


class EventTable:
    """The table in a folder, made when it is not there. One process appends; any number may read and compact."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table: DeltaTable | None = None
        self._files: tuple[int, list[DataFile]] = (-1, [])

    def position(self, shard: int) -> int:
        """The ledger position up to which this shard's events are in the table (exclusive)."""
        return int(self._fresh().transaction_version(_reader(shard)) or 0)

    def append(self, shard: int, rows: Sequence[RecordBatch], upto: int) -> int:
        """Add rows of one shard (of ``columns.batch``, in order of position) and move its position to ``upto``, in one
        commit; returns how many were new.

        What the table has already is left out, so calling this again after a crash changes nothing.
        Raises LakeError (``retry`` true) when the storage refuses.
        """
        from arro3.core import RecordBatchReader
        from deltalake import write_deltalake
        from deltalake.exceptions import DeltaError

        table = self._fresh()
        known = int(table.transaction_version(_reader(shard)) or 0)
        if upto <= known:
            return 0
        new = [part for batch in rows if (part := _from(batch, known)).num_rows]
        try:
            write_deltalake(
                table,
                RecordBatchReader.from_batches(columns.schema(), new),
                mode="append",
                # Recent files live for minutes until they are compacted: LZ4 writes five times as fast as ZSTD.
                writer_properties=_writing("LZ4_RAW"),
                commit_properties=_commit(_reader(shard), upto),
            )
        except (DeltaError, OSError) as error:
            self._table = None
            raise LakeError(
                f"events up to {shard}-{upto} could not be written to the lake {self.path}: {error}",
                mend="see that the disk has room and the folder can be written",
                retry=True,
            ) from error
        return sum(batch.num_rows for batch in new)

    def files(self) -> list[DataFile]:
        """The files of the newest version, those with the newest events first."""
        table = self._fresh()
        version = table.version()
        if self._files[0] != version:
            self._files = version, sorted(_listed(table, self.path), key=lambda file: file.last, reverse=True)
        return self._files[1]

    def delete(self, shard: int, terms: Sequence[tuple[int, int, tuple[str, ...]]]) -> int:
        """Delete events of a shard: those with positions in [first, end), of the sources named (none: of whatever source).

        Returns how many rows went. Files that no longer count stay until ``vacuum``. Raises LakeError (``retry`` true).
        """
        from deltalake.exceptions import DeltaError

        said = " OR ".join(_term(*term) for term in terms)
        try:
            done = self._fresh().delete(f"shard = {int(shard)} AND ({said})", writer_properties=_writing("ZSTD", 1))
        except (DeltaError, OSError) as error:
            self._table = None
            raise LakeError(
                f"events could not be deleted from the lake {self.path}: {error}",
                mend="see that the disk has room; it is tried again",
                retry=True,
            ) from error
        return int(done["num_deleted_rows"] or 0)

    def compact(self, target_size: int = TARGET_SIZE) -> int:
        """Merge each day's small files; returns how many files went. Appends by another process may go on."""
        table = self._fresh()
        done = table.optimize.compact(
            target_size=target_size, max_concurrent_tasks=1, writer_properties=_writing("ZSTD", 1)
        )
        return int(done["numFilesRemoved"]) - int(done["numFilesAdded"])

    def vacuum(self, retention_hours: int = 1) -> list[str]:
        """Delete files that no version of the last hours needs, and log entries that a checkpoint covers."""
        table = self._fresh()
        table.create_checkpoint()
        table.cleanup_metadata()
        return table.vacuum(retention_hours=retention_hours, dry_run=False, enforce_retention_duration=False)

    def _fresh(self) -> DeltaTable:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            if self._table is None:
                self._table = DeltaTable.create(
                    self.path,
                    columns.schema(),
                    mode="ignore",
                    partition_by=["day"],
                    name="events",
                    configuration=_CONFIGURATION,
                )
            self._table.update_incremental()
        except (DeltaError, OSError) as error:
            self._table = None
            raise LakeError(
                f"the lake {self.path} cannot be opened: {error}",
                mend="move the folder away and let it be rebuilt from the ledger, or restore it",
            ) from error
        return self._table


def _from(rows: RecordBatch, position: int) -> RecordBatch:
    """The rows from a position on."""
    places = rows.column("position")
    if not position or not rows.num_rows or places[0].as_py() >= position:
        return rows
    return rows.slice(bisect_left(range(rows.num_rows), position, key=lambda at: places[at].as_py()))


def _term(first: int, end: int, sources: tuple[str, ...]) -> str:
    """Spell a condition; names are quoted as SQL asks."""
    said = f"position >= {int(first)} AND position < {int(end)}"
    if sources:
        names = ", ".join("'" + name.replace("'", "''") + "'" for name in sources)
        said += f" AND source IN ({names})"
    return f"({said})"


def _reader(shard: int) -> str:
    return f"watchbill-shard-{shard}"


def _commit(reader: str, upto: int) -> CommitProperties:
    from deltalake import CommitProperties, Transaction

    return CommitProperties(app_transactions=[Transaction(reader, upto)])


def _writing(compression: Literal["LZ4_RAW", "ZSTD"], level: int | None = None) -> WriterProperties:
    from deltalake import WriterProperties

    return WriterProperties(compression=compression, compression_level=level, max_row_group_size=GROUP_ROWS)


def _listed(table: DeltaTable, root: Path) -> list[DataFile]:
    adds = table.get_add_actions(flatten=True)
    names = (
        "path", "size_bytes", "num_records", "partition.day", "min.time", "max.time", "min.shard", "max.shard",
        "min.position", "max.position",
    )  # fmt: skip
    if not {"min.time", "min.position"} <= set(adds.schema.names):  # no file yet
        return []
    listed = zip(*(adds.column(name).to_pylist() for name in names), strict=True)
    return [
        DataFile(str(root / path), size, rows, day, first, last, (low, high), (start, end))
        for path, size, rows, day, first, last, low, high, start, end in listed
    ]
