"""How far files and the journal have been read, kept in one small file beside the ledger.

It is written after the ledger's commit, so after a crash it may be behind: then the records that came after it are
looked up in the ledger and skipped when they are read again. Nothing is lost and nothing stored twice.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from watchbill.ledger import Reader

log = logging.getLogger(__name__)


class Positions:
    """Entries by key; each holds ``ledger``, the durable head up to which it accounts for the source's records."""

    def __init__(self, path: Path) -> None:
        """Read the file. One that is damaged counts as none: sources are then read again from their start."""
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}
        self._dirty = False
        try:
            entries = orjson.loads(path.read_bytes())
            self._entries = {key: dict(entry) for key, entry in entries.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.warning("%s cannot be read, followed sources start anew: %s", path, error)

    def get(self, key: str) -> dict[str, Any]:
        return self._entries.get(key, {})

    def set(self, key: str, entry: dict[str, Any], head: int) -> None:
        self._entries[key] = {**entry, "ledger": head}
        self._dirty = True

    def accounted(self, key: str, head: int) -> None:
        """Nothing of this source is under way: its entry holds up to the present head."""
        entry = self._entries.get(key)
        if entry is not None and entry["ledger"] != head:
            entry["ledger"] = head
            self._dirty = True

    def changed(self) -> None:
        """The last snapshot was not written: take another."""
        self._dirty = True

    def snapshot(self) -> bytes | None:
        """The file's new content, None when nothing has changed. Called in the event loop's thread."""
        if not self._dirty:
            return None
        self._dirty = False
        return orjson.dumps(self._entries)

    def write(self, content: bytes) -> None:
        """Replace the file, durably. May be called in another thread. Raises OSError."""
        replace(self._path, content, durable=True)

    def stored_since(
        self, reader: Reader, sources: Iterable[tuple[str, str, str]]
    ) -> dict[tuple[str, str], Counter[bytes]]:
        """For the sources (key, name, transport): records that the ledger has beyond their entries, by name and
        transport. Sources that share a name share a counter.
        """
        starts: dict[tuple[str, str], int] = {}
        for key, name, transport in sources:
            start = int(self.get(key)["ledger"])
            starts[name, transport] = min(start, starts.get((name, transport), start))
        found: dict[tuple[str, str], Counter[bytes]] = {named: Counter() for named in starts}
        head = reader.head()
        at = min(starts.values(), default=head)
        numbers: dict[int, tuple[str, str] | None] = {0: None}
        while at < head:
            records = reader.read(at, 10_000)
            for record in records:
                if record.source not in numbers:
                    facts = reader.source(record.source)
                    named = facts.name, facts.transport
                    numbers[record.source] = named if named in starts else None
                if (known := numbers[record.source]) and record.position >= starts[known]:
                    found[known][record.raw] += 1
            at = records[-1].position + 1 if records else at + 10_000  # these were deleted
        return found


def replace(path: Path, content: bytes, *, durable: bool) -> None:
    """Put a file in place of an older one; readers see the old or the new one whole."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    aside.replace(path)
