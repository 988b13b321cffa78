"""A witness: it cosigns a log's checkpoint if that extends the last one it saw (https://c2sp.org/tlog-witness).

Its memory is one small file for each log, written and synced before the answer is given. Two witnesses of the same
name would undo each other, so the folder has a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from watchbill.core import canonical
from watchbill.core.clock import SECOND, Clock
from watchbill.core.errors import ConflictError, LedgerError, Place
from watchbill.ledger import consistency, durable, following
from watchbill.ledger.cosign import Cosigner, CosigningKey
from watchbill.ledger.keys import fingerprint, open_mldsa, open_private
from watchbill.ledger.note import Checkpoint, Verifier, b64, open_note, public_bytes, signature_lines, unb64
from watchbill.ledger.tree import EMPTY

#: A request holds at most 63 hashes and a note of 64 signatures, of which some may be post-quantum ones.
LONGEST_REQUEST = 256 << 10


class Answer(NamedTuple):
    """What HTTP answers: status, content type, body."""

    status: int
    type: str
    body: str


class Request(NamedTuple):
    """A log's request: what the witness saw last as the log believes, the proof, and the new checkpoint."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def spell(self) -> bytes:
        lines = [f"old {self.old}", *map(b64, self.proof), "", self.note]
        return "\n".join(lines).encode()

    @classmethod
    def parse(cls, body: bytes) -> Request:
        """Read it. Raises ValueError."""
        head, gap, note = body.decode().partition("\n\n")
        first, *rest = head.split("\n")
        size = first.removeprefix("old ")
        if not (gap and first.startswith("old ") and size.isascii() and size.isdigit() and str(int(size)) == size):
            raise ValueError("a request begins with the line: old SIZE")
        if len(rest) > consistency.LONGEST:
            raise ValueError(f"a proof has at most {consistency.LONGEST} hashes")
        proof = tuple(map(unb64, rest))
        if any(len(node) != 32 for node in proof):
            raise ValueError("a hash of the proof has not 32 bytes")
        return cls(int(size), proof, note)


class Seen(NamedTuple):
    """The last checkpoint of a log that was cosigned, and when (UTC nanoseconds)."""

    checkpoint: Checkpoint
    at: int


class Witness:
    """Judges the checkpoints of the logs it was told to trust. Thread-safe; one process a folder."""

    def __init__(self, path: Path, clock: Clock, name: str = "") -> None:
        """Open (or begin) a witness in a folder. Raises ConflictError if it runs already, LedgerError for damage."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / "seen").mkdir(mode=0o700, exist_ok=True)
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._held = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._held)
            raise ConflictError(
                f"a witness runs already on {path}", mend="stop that one, or name another --data"
            ) from None
        try:
            self.keys = _open_keys(path, name)
        except BaseException:
            os.close(self._held)
            raise

    def close(self) -> None:
        os.close(self._held)

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer a request of a log. What it says is remembered durably before this returns."""
        try:
            request = Request.parse(body)
            offered = Checkpoint.parse(signature_lines(request.note)[0])
        except (ValueError, UnicodeDecodeError) as error:
            return _refusal(400, str(error))
        known = [one for one in logs(self.path) if one.name == offered.origin]
        if not known:
            return _refusal(404, f"this witness does not know the log {offered.origin}")
        if not any(_is_signed(request.note, one) for one in known):
            return _refusal(403, "no signature by a key that this witness trusts for the log")
        if request.old > offered.size:
            return _refusal(400, "the old size is greater than the checkpoint's")
        with self._lock:
            return self._judge(request, offered)

    def follow_key(self, body: bytes) -> Answer:
        """Take a log's new key in the place of a trusted one, if that one and the log's root signed for it."""
        try:
            entries = following.parse(body)
            with self._lock, _changing(self.path):
                found = following.lead(entries, logs(self.path))
                if found:
                    _exchange(self.path, *found)
        except ValueError as error:
            return _refusal(400, str(error))
        if not found:
            return _refusal(403, "these entries lead from no key that this witness trusts")
        return Answer(200, "text/plain; charset=utf-8", f"{found[1].vkey()}\n")

    def _judge(self, request: Request, offered: Checkpoint) -> Answer:
        seen = last_seen(self.path, offered.origin)
        size, root = (seen.checkpoint.size, seen.checkpoint.root) if seen else (0, EMPTY)
        if request.old != size:
            return Answer(409, "text/x.tlog.size", f"{size}\n")
        if offered.size == size and seen and offered.root != root:
            self._note_evidence(request.note)
            return Answer(409, "text/x.tlog.size", f"{size}\n")
        try:
            consistency.check(size, root, offered.size, offered.root, request.proof)
        except ValueError as error:
            self._note_evidence(request.note)
            return _refusal(422, str(error))
        now = self._clock.now()
        self._remember(Seen(offered, now))
        text, _ = signature_lines(request.note)
        lines = [key.sign(text, now // SECOND) for key in self.keys]
        return Answer(200, "text/plain; charset=utf-8", "".join(lines))

    def _remember(self, seen: Seen) -> None:
        head = seen.checkpoint
        body = {"at": seen.at, "origin": head.origin, "size": head.size, "root": b64(head.root)}
        durable.replace(_memory(self.path, head.origin), canonical.dumps(body))

    def _note_evidence(self, note: str) -> None:
        """Keep a signed checkpoint that contradicts what was seen: it proves what the log did."""
        folder = self.path / "evidence"
        folder.mkdir(mode=0o700, exist_ok=True)
        if sum(1 for _ in folder.iterdir()) < 1_000:
            durable.create(folder / f"{sha256(note.encode()).hexdigest()[:32]}.note", note.encode())


def last_seen(path: Path, origin: str) -> Seen | None:
    """Return what the witness in this folder last cosigned for a log. Raises LedgerError if its memory is damaged."""
    memory = _memory(path, origin)
    try:
        body = json.loads(memory.read_bytes())
        return Seen(Checkpoint(str(body["origin"]), int(body["size"]), unb64(body["root"])), int(body["at"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        mend = "restore it from a backup: a witness that forgot would cosign a log that was cut back"
        raise LedgerError("what was last seen cannot be read", place=Place(str(memory)), mend=mend) from error


def _memory(path: Path, origin: str) -> Path:
    return path / "seen" / f"{sha256(origin.encode()).hexdigest()[:32]}.json"


def _refusal(status: int, why: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{why}\n")


def _is_signed(note: str, log: Verifier) -> bool:
    try:
        open_note(note, log)
    except ValueError:
        return False
    return True


def _open_keys(path: Path, name: str) -> list[CosigningKey]:
    """Open the witness's keys, made on first use; the name is kept with them."""
    stored = path / "name"
    first = open_private(path / "witness.key")
    if not stored.exists():
        name = name or f"watchbill-witness/{fingerprint(public_bytes(first))[:16]}"
        if not name.isprintable() or any(char.isspace() or char == "+" for char in name) or len(name) > 255:
            raise LedgerError(f"{name!r} is no name for a witness", mend="write it like a host: witness.example/w1")
        durable.create(stored, name.encode())
    kept = stored.read_text()
    if name and name != kept:
        raise LedgerError(f"this witness is {kept}", mend="leave out --name, or begin another in another folder")
    second = open_mldsa(path / "witness-mldsa44.key")
    keys: list[CosigningKey] = [CosigningKey(kept, first)]
    return keys + ([CosigningKey(kept, second)] if second else [])


def logs(path: Path) -> list[Verifier]:
    """Return the logs that the witness in this folder was told to trust. Raises LedgerError with the line."""
    file = path / "logs"
    lines = file.read_text().splitlines() if file.exists() else []
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            found.append(Verifier.from_vkey(line))
        except ValueError as error:
            mend = "write one key a line, as watchbill keys list shows it"
            raise LedgerError(str(error), place=Place(str(file), number), mend=mend) from error
    return found


def trust(path: Path, vkey: str) -> Verifier:
    """Add a log to those that the witness in this folder cosigns for. Raises LedgerError."""
    try:
        log = Verifier.from_vkey(vkey)
    except ValueError as error:
        raise LedgerError(str(error), mend="copy the key as watchbill keys list shows it") from error
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _changing(path):
        if log not in logs(path):
            file = path / "logs"
            before = file.read_bytes() if file.exists() else b""
            durable.replace(file, before + f"{log.vkey()}\n".encode())
    return log


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[None]:
    """While the list of logs is changed, by the witness that runs or by a command."""
    with (path / "logs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _exchange(path: Path, old: Verifier, new: Verifier) -> None:
    """Put a log's new key in the place of the old one; comments stay."""
    lines = (path / "logs").read_text().splitlines()
    kept = [new.vkey() if line.strip() == old.vkey() else line for line in lines]
    durable.replace(path / "logs", "".join(f"{line}\n" for line in kept).encode())


def accept(answer: str, note: str, known: Cosigner) -> str:
    """Return the line by which a witness cosigned a note, from its answer. Raises ValueError if there is none that is good."""
    text, _ = signature_lines(note)
    _, lines = signature_lines(f"{text}\n{answer}")
    for (name, key_id, signature), line in zip(lines, answer[:-1].split("\n"), strict=True):
        if (name, key_id) == (known.name, known.key_id):
            known.verify(text, signature)
            return f"{line}\n"
    raise ValueError(f"the answer holds no cosignature by {known.name} ({known.key_id.hex()})")
