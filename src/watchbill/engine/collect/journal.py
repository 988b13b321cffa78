"""Following systemd's journal through journalctl, from a cursor (https://systemd.io/JOURNAL_EXPORT_FORMATS/)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect.framing import LINE_LIMIT, Framer
from watchbill.engine.collect.origin import Origin
from watchbill.engine.collect.positions import Positions
from watchbill.engine.collect.sink import Sink

log = logging.getLogger(__name__)

KEY = "journald"
#: How far back the first start reads, in journalctl's words.
FIRST_SINCE = "-24h"
COMMAND = ("journalctl", "--follow", "--output=json", "--all", "--no-pager", "--quiet")

_CHUNK = 256 << 10
_CURSOR = re.compile(rb'"__CURSOR"\s*:\s*"([^"\\]+)"')


class Journal:
    """Runs journalctl and takes its lines, one JSON object an entry. ``stored``: see positions.py."""

    def __init__(
        self,
        origin: Origin,
        sink: Sink,
        positions: Positions,
        stored: Counter[bytes],
        *,
        command: Sequence[str] = COMMAND,
        limit: int = LINE_LIMIT,
    ) -> None:
        self.origin = origin
        self._sink = sink
        self._positions = positions
        self._command = command
        self._limit = limit
        #: Batches that are not durable yet.
        self.flying = 0
        #: Cursors of the entries that the ledger has beyond the saved cursor.
        self._stored = {cursor for raw in stored if (cursor := _cursor([raw]))}

    async def run(self) -> None:
        """Follow until cancelled. Raises WatchbillError when journalctl ends."""
        entry = self._positions.get(KEY)
        cursor = entry.get("cursor")
        where = [f"--after-cursor={cursor}"] if cursor else ["--lines=all", f"--since={FIRST_SINCE}"]
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *where,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_CHUNK,
        )
        try:
            self.origin.state, self.origin.reason = "following", ""
            await self._read(process)
            said = await process.stderr.read(2_000) if process.stderr else b""
            code = await process.wait()
            raise WatchbillError(
                f"journalctl ended with code {code}: {said.decode(errors='replace').strip() or 'it said nothing'}",
                mend="look at what journalctl itself says; it is started again",
                retry=True,
            )
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        framer = Framer(self._limit, counted=False)
        quiet = asyncio.create_task(self._account_while_quiet())
        try:
            while data := await process.stdout.read(_CHUNK):
                entries = framer.feed(data)
                cuts, framer.cuts = framer.cuts, []
                cursor = _cursor(reversed(entries))
                if fresh := self._unstored(entries):
                    self.flying += 1
                    await self._sink.put(self.origin, fresh, partial(self._durable, cursor), cuts)
        finally:
            quiet.cancel()

    async def _account_while_quiet(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if not self.flying and not self._stored:
                self._positions.accounted(KEY, self._sink.head)

    def _durable(self, cursor: str | None, head: int) -> None:
        self.flying -= 1
        if cursor:
            self._positions.set(KEY, {"cursor": cursor}, head)

    def _unstored(self, entries: list[bytes]) -> list[bytes]:
        """Leave out what the ledger has already; the first entry that it has not ends the looking."""
        if not self._stored:
            return entries
        for index, raw in enumerate(entries):
            if _cursor([raw]) not in self._stored:
                self._stored = set()
                return entries[index:]
        return []


def _cursor(entries: Iterable[bytes]) -> str | None:
    """The cursor of the first of these entries that has one."""
    for raw in entries:
        if match := _CURSOR.search(raw):
            return match[1].decode()
    return None
