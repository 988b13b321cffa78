"""The sender's side of numbered streams: a file goes to another installation exactly once, and a rollback is noticed.

What was acknowledged stands in a small state file: the number that comes next, where in the file that is, and the
ledger's last checkpoint. After a crash of either side the receiver is asked for its number, and what it has already
is passed over. Knows no database, so that it runs on machines that have nothing else of Watchbill.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import orjson

from watchbill.core.errors import ConfigError, NotFoundError, Place, WatchbillError
from watchbill.engine.collect.positions import replace
from watchbill.engine.collect.push.ndjson import split_lines
from watchbill.ledger import consistency
from watchbill.ledger.note import Checkpoint, Verifier, unb64

#: Bytes of a batch; a line that is longer is sent alone, up to the longest that a receiver may take.
BATCH = 256 << 10
_LONGEST_LINE = 32 << 20
_TIMEOUT = 60.0
_LONGEST_PAUSE = 60.0
_LOOK_AGAIN = 0.5
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class Progress(NamedTuple):
    """How far a file was sent: numbers and bytes that are acknowledged, and why it waits ("" when it does not)."""

    next: int
    offset: int
    waiting: str


class State:
    """The sender's memory of one stream."""

    def __init__(self, path: Path) -> None:
        """Read it. Raises ConfigError when it is damaged: starting anew would ask for what nobody can tell."""
        self.path = path
        self.next, self.offset, self.inode, self.checkpoint = 1, 0, 0, ""
        try:
            found = orjson.loads(path.read_bytes())
            self.next, self.offset = int(found["next"]), int(found["offset"])
            self.inode, self.checkpoint = int(found["inode"]), str(found["checkpoint"])
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, ValueError, KeyError, TypeError) as error:
            mend = "restore it, or move it away and name another --stream"
            raise ConfigError(f"the state cannot be read: {error}", place=Place(str(path)), mend=mend) from None

    def save(self) -> None:
        """Write it, durably. Raises OSError."""
        kept = {"next": self.next, "offset": self.offset, "inode": self.inode, "checkpoint": self.checkpoint}
        replace(self.path, orjson.dumps(kept), durable=True)


class Sender:
    """One stream to one receiver."""

    def __init__(
        self, client: httpx.Client, stream: str, state: State, *, form: str = "", key: Verifier | None = None,
        tell: Callable[[Progress], None] = lambda _: None, stop: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._client, self._stream, self._state = client, stream, state
        self._form = {"format": form} if form else {}
        self._key = key
        self._tell, self._stop = tell, stop

    def send(self, path: Path, *, follow: bool = False) -> int:
        """Send a file from where it was left; with ``follow`` what is written to it later, too, until told to stop.

        Returns the number of records that were sent and acknowledged now. Raises WatchbillError for what trying again
        does not mend, and RollbackError when the receiver's ledger is not an extension of what it was.
        """
        ahead = self._meet()
        done = 0
        for opened in self._files(path, follow=follow):
            with opened:
                left = opened.pass_over(ahead)
                self._state.next, ahead = self._state.next + ahead - left, left
                for body, records in opened.batches():
                    self._deliver(body)
                    self._state.next += records
                    self._state.offset, self._state.inode = opened.offset, opened.inode
                    self._state.save()
                    done += records
                    self._tell(Progress(self._state.next, self._state.offset, ""))
        return done

    def _meet(self) -> int:
        """Ask how far the receiver is; returns how many records it has that this side thinks unsent."""
        answer = self._ask("GET", "/ingest", {"stream": self._stream, **self._form})
        self._check(answer["checkpoint"])
        ahead = int(answer["next"]) - self._state.next
        if ahead < 0:
            what = f"the receiver's stream {self._stream!r} is at {answer['next']}, this side at {self._state.next}"
            mend = "its ledger lost records or is another one: compare the checkpoints, or begin another --stream"
            raise consistency.RollbackError(what, mend=mend)
        if ahead and self._state.next == 1 and not self._state.inode:
            mend = "name another --stream, or the state file that belongs to it with --state"
            raise ConfigError(
                f"the stream {self._stream!r} has {ahead} records that this side knows nothing of", mend=mend
            )
        return ahead

    def _deliver(self, body: bytes) -> None:
        query = {"stream": self._stream, "sequence": str(self._state.next), **self._form}
        packed = gzip.compress(body, 1)
        self._check(self._ask("POST", "/ingest", query, packed, {"Content-Encoding": "gzip"})["checkpoint"])

    def _check(self, note: str) -> None:
        """Hold the receiver to what it showed before. Raises RollbackError."""
        if not note or note == self._state.checkpoint:
            return
        held = Checkpoint.parse(self._state.checkpoint) if self._state.checkpoint else None
        seen = Checkpoint.parse(note)
        proof: list[bytes] = []
        if held and seen.size > held.size:
            answer = self._ask("GET", "/consistency", {"from": str(held.size)})
            note, proof = str(answer["checkpoint"]), [unb64(node) for node in answer["proof"]]
        if self._key is not None:
            consistency.follow(held, note, proof, self._key)
        elif held:
            seen = Checkpoint.parse(note)
            try:
                _extends(held, seen, proof)
            except ValueError as error:
                what = f"the receiver's ledger went back or is another one: {error}"
                mend = f"keep {self._state.path}: with the receiver's present checkpoint it proves that"
                raise consistency.RollbackError(what, mend=mend) from None
        self._state.checkpoint = note

    def _ask(
        self, method: str, path: str, query: dict[str, str], body: bytes = b"", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Ask until there is an answer. Raises WatchbillError for a refusal that stays one."""
        pause = 0.5
        while True:
            try:
                answer = self._client.request(
                    method, path, params=query, content=body, headers=headers, timeout=_TIMEOUT
                )
            except httpx.TransportError as error:
                if "CERTIFICATE_VERIFY_FAILED" in str(error):
                    mend = "name the receiver's ca.pem with --ca, and call it by a name that its certificate has"
                    raise WatchbillError(f"the receiver's certificate is not trusted: {error}", mend=mend) from None
                why, wait = str(error) or type(error).__name__, 0.0
            else:
                if answer.status_code == 200:
                    found: dict[str, Any] = answer.json()
                    return found
                why = answer.text[:300]
                if answer.status_code not in _RETRIED:
                    raise self._refusal(answer.status_code, why)
                wait = float(answer.headers.get("Retry-After", "0") or 0)
            self._tell(Progress(self._state.next, self._state.offset, why))
            self._sleep(min(max(wait, pause), _LONGEST_PAUSE))
            pause *= 2

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stop():
                raise WatchbillError("stopped while the receiver could not be reached", mend="start again to go on")
            time.sleep(min(0.1, seconds))

    def _refusal(self, status: int, why: str) -> WatchbillError:
        mends = {
            401: "give the token with --token-file", 403: "ask for a new token: watchbill receivers token add NAME",
            409: "somebody else sends this stream: name another with --stream", 413: "raise push.max_body",
        }  # fmt: skip
        return WatchbillError(f"the receiver refuses ({status}): {why}", mend=mends.get(status, "see its log"))

    def _files(self, path: Path, *, follow: bool) -> Iterator[_Opened]:
        """The file that was left unfinished, wherever it was renamed to, then the one that has its name now."""
        state = self._state
        if not path.exists() and not follow:
            raise NotFoundError(f"there is no file {path}", mend="check the spelling")
        if state.inode and (old := _renamed(path, state.inode)) is not None:
            yield _Opened(old, state.offset)
        while True:
            try:
                opened = _Opened(path, 0)
            except FileNotFoundError:
                opened = None
            if opened is not None:
                opened.resume(state.offset if opened.inode == state.inode else 0)
                opened.follow = (lambda: not self._stop()) if follow else None
                yield opened
            if not follow or self._stop():
                return
            time.sleep(_LOOK_AGAIN)


class _Opened:
    """A file that is being read; ``follow`` says whether to wait for more at its end, None not to."""

    def __init__(self, path: Path, offset: int) -> None:
        self.path = path
        self.offset = offset
        self.follow: Callable[[], bool] | None = None
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self._fd).st_ino

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def resume(self, offset: int) -> None:
        """Go on from here; a file that has become shorter was truncated and is read from its start."""
        self.offset = offset if offset <= os.fstat(self._fd).st_size else 0

    def pass_over(self, records: int) -> int:
        """Leave out what the receiver has already; returns how many of them were not in this file."""
        while records and (chunk := self._chunk(BATCH, last=True)):
            for line in _lines(chunk):
                if not records:
                    break
                records -= len(split_lines(line))
                self.offset += len(line)
        return records

    def batches(self) -> Iterator[tuple[bytes, int]]:
        """Give whole lines, and how many records they are; ``offset`` is behind them."""
        while True:
            chunk = self._chunk(BATCH, last=self.follow is None)
            if chunk:
                self.offset += len(chunk)
                if records := len(split_lines(chunk)):
                    yield chunk, records
            elif self.follow is None or not self.follow():
                return
            elif self._is_left():
                if not self._chunk(BATCH, last=True):
                    return
                self.follow = None
            else:
                time.sleep(_LOOK_AGAIN)
                self.resume(self.offset)

    def _chunk(self, size: int, *, last: bool) -> bytes:
        """Whole lines from the offset on; ``last``: at the end of the file an unfinished line, too."""
        chunk = os.pread(self._fd, size, self.offset)
        stop = chunk.rfind(b"\n") + 1
        while chunk and not stop and len(chunk) == size < _LONGEST_LINE:
            size *= 2
            chunk = os.pread(self._fd, size, self.offset)
            stop = chunk.rfind(b"\n") + 1
        if not stop and size >= _LONGEST_LINE:
            mend = "send it by a way that cuts long lines: as a followed file, or by syslog"
            raise WatchbillError("a line is too long", place=Place(str(self.path), offset=self.offset), mend=mend)
        return chunk if last and len(chunk) < size else chunk[:stop]

    def _is_left(self) -> bool:
        """Whether the name belongs to another file now."""
        try:
            return self.path.stat().st_ino != self.inode
        except FileNotFoundError:
            return True


def _extends(held: Checkpoint, seen: Checkpoint, proof: list[bytes]) -> None:
    """Raise ValueError unless the log that was seen is an extension of the one that is held."""
    if seen.origin != held.origin or seen.size < held.size:
        raise ValueError(f"{held.origin} had {held.size} entries; now {seen.origin} has {seen.size}")
    consistency.check(held.size, held.root, seen.size, seen.root, proof)


def _lines(chunk: bytes) -> list[bytes]:
    parts = chunk.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + [part for part in parts[-1:] if part]


def _renamed(path: Path, inode: int) -> Path | None:
    """The file with this inode beside ``path``, when the name belongs to another one now."""
    try:
        if path.stat().st_ino == inode:
            return None
    except FileNotFoundError:
        pass
    try:
        with os.scandir(path.parent) as beside:
            return next((Path(one.path) for one in beside if one.inode() == inode and one.is_file()), None)
    except OSError:
        return None
