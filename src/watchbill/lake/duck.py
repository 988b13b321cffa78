"""The DuckDB connection that reads the table's Parquet files: small, read-only, and shut in to the lake's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from watchbill.core.errors import LakeError
from watchbill.lake.table import DataFile

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY = "256MB"


class StaleFilesError(Exception):
    """A file went while it was about to be read: compaction and vacuum replaced it. List the files anew."""


class Duck:
    """Connects on first use (DuckDB costs some 40 MB); safe to use from many threads."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        self.folder = folder
        self.threads = threads
        self._lock = Lock()
        self._connection: DuckDBPyConnection | None = None

    def run(self, files: Sequence[DataFile], sql: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        """Run a query whose rows come from ``events``: these files. Raises LakeError and StaleFilesError."""
        import duckdb

        head = "WITH events AS NOT MATERIALIZED (FROM read_parquet(?, hive_partitioning = false)) "
        cursor = self._connected().cursor()
        try:
            return cursor.execute(head + sql, [[file.path for file in files], *params]).fetchall()
        except duckdb.IOException as error:
            raise StaleFilesError(str(error)) from error
        except duckdb.Error as error:
            raise LakeError(
                f"the search failed: {error}",
                mend="narrow the time range or the words, and report it if that does not help",
            ) from error
        finally:
            cursor.close()

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connected(self) -> DuckDBPyConnection:
        import duckdb

        with self._lock:
            if self._connection is None:
                connection = duckdb.connect(
                    config={"threads": self.threads, "memory_limit": MEMORY, "autoload_known_extensions": False,
                            "autoinstall_known_extensions": False, "temp_directory": ""},
                )  # fmt: skip
                connection.execute("SET allowed_directories = [?]", [f"{self.folder}/"])
                for setting in ("enable_external_access = false", "enable_external_file_cache = false",
                                "python_enable_replacements = false", "preserve_insertion_order = false",
                                "TimeZone = 'UTC'", "lock_configuration = true"):  # fmt: skip
                    connection.execute(f"SET {setting}")
                self._connection = connection
            return self._connection
