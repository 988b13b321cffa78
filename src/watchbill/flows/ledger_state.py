"""How the ledger stands, and what was last found when it was verified."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import NamedTuple

from watchbill.core.clock import SECOND, SystemClock
from watchbill.core.config import Config
from watchbill.core.errors import LedgerError, NotFoundError
from watchbill.flows import installation
from watchbill.flows.prove import DAMAGED, PERIOD_VERIFIED, VERIFIED, verify
from watchbill.ledger import anchors, consistency, frames, shards, timestamps
from watchbill.ledger.cosign import Cosigner, cosignatures
from watchbill.ledger.keys import fingerprint, open_root_public
from watchbill.ledger.manifest import Manifest
from watchbill.ledger.note import Checkpoint, b64
from watchbill.ledger.tiles import TileReader, pack_entry, split_bundle
from watchbill.ledger.verify import is_manifest
from watchbill.ledger.volume import Head, shard_path, volumes
from watchbill.state.trail.queries import entries
from watchbill.state.trail.values import Entry, TrailFilter

log = logging.getLogger(__name__)
_NAMES = {0: "what arrives", 1: "what was done"}


class Vouched(NamedTuple):
    """Somebody else vouches for a shard's records below ``upto`` (the log's first ``log_size`` entries), since ``at``."""

    by: str
    upto: int
    log_size: int
    at: int


class ShardState(NamedTuple):
    """``head``: durable records; ``sealed``: segments that are sealed; ``log_size``: entries that the log has signed.

    Records below ``sealed_upto`` are sealed, below ``signed_upto`` signed; ``witnessed`` and ``stamped`` name the newest
    that each witness and authority vouched for.
    """

    number: int
    name: str
    head: int
    sealed: int
    sealed_upto: int
    signed_upto: int
    log_size: int
    size: int
    witnessed: tuple[Vouched, ...]
    stamped: tuple[Vouched, ...]


def states() -> tuple[ShardState, ...]:
    """Each shard as its writer published it; cheap, nothing is verified by it."""
    folder, config = installation.data().ledger, installation.config()
    return tuple(_state(shard_path(folder, number), number, config) for number in shards(folder))


def _state(path: Path, number: int, config: Config) -> ShardState:
    head, reader = Head.read(path), TileReader(path / "log")
    signed = _signed(reader)
    segment, signed_upto = _reached(reader, signed)
    sealed_upto = signed_upto
    if head and head.sealed > segment:
        sealed_upto = _sealed_upto(path, head, signed_upto)
    return ShardState(
        number=number,
        name=_NAMES.get(number, ""),
        head=head.position if head else 0,
        sealed=head.sealed if head else 0,
        sealed_upto=sealed_upto,
        signed_upto=signed_upto,
        log_size=signed,
        size=sum(volume.path.stat().st_size for volume in volumes(path)),
        witnessed=_witnessed(path, reader, config),
        stamped=_stamped(path, reader),
    )


def _signed(reader: TileReader) -> int:
    text = reader.checkpoint()
    if not text:
        return 0
    try:
        return Checkpoint.parse(text).size
    except ValueError:
        return 0


def _reached(reader: TileReader, size: int) -> tuple[int, int]:
    """Return the segment and the position that follow on the log's first ``size`` entries; (0, 0) if that cannot be read."""
    try:
        while size:
            (entry,) = reader.entries(size - 1, size)
            if is_manifest(entry):
                manifest = Manifest.decode(entry)
                return manifest.segment + 1, manifest.first + manifest.count
            size -= 1
    except (LedgerError, ValueError):
        log.warning("an entry of the log in %s cannot be read", reader.path)
    return 0, 0


def _sealed_upto(path: Path, head: Head, signed_upto: int) -> int:
    """Return the position up to which segments are sealed, in the second before that is signed."""
    last = next((one for one in volumes(path) if one.number == head.volume), None)
    if last is None:
        return signed_upto
    upto = signed_upto
    with last.path.open("rb") as file:
        for header in frames.headers(file.fileno(), 0, head.end):
            if header.kind == frames.Kind.SEAL and header.segment < head.sealed:
                upto = max(upto, header.position)
    return upto


def _witnessed(path: Path, reader: TileReader, config: Config) -> tuple[Vouched, ...]:
    """Return what the configured witnesses cosigned last; signatures are checked."""
    found = []
    for one in config.ledger.witnesses:
        try:
            note, known = anchors.cosigned(path), Cosigner.from_vkey(one.key)
            at = cosignatures(note, [known]).get(known) if note else None
            size = Checkpoint.parse(note).size if note else 0
        except (LedgerError, ValueError) as error:
            log.warning("the witness at %s: %s", one.url, error)
            continue
        if at is not None:
            found.append(Vouched(known.name, _reached(reader, size)[1], size, at * SECOND))
    return tuple(found)


def _stamped(path: Path, reader: TileReader) -> tuple[Vouched, ...]:
    """Return the newest token of each authority; whether it is to be trusted is the auditor's to check."""
    newest: dict[str, Vouched] = {}
    for size in anchors.sizes(path)[-8:]:
        try:
            for name, token in anchors.anchor(path, size).tokens.items():
                newest[name] = Vouched(name, _reached(reader, size)[1], size, timestamps.read(token).at)
        except (LedgerError, ValueError, IndexError) as error:
            log.warning("a time stamp in %s cannot be read: %s", path, error)
    return tuple(newest.values())


def consistency_proof(shard: int, old: int, new: int) -> list[str]:
    """Return the proof (base64) that the log of ``new`` entries extends that of ``old``. Raises NotFoundError, LedgerError."""
    reader = log_of(shard)
    if not 0 <= old <= new <= _signed(reader):
        raise NotFoundError(f"the log has not signed {max(old, new)} entries", mend="ask for sizes that it has signed")
    return [b64(node) for node in consistency.prove(reader, old, new)]


def log_of(shard: int) -> TileReader:
    """Return a shard's log. Raises NotFoundError."""
    folder = installation.data().ledger
    if shard not in shards(folder):
        raise NotFoundError(f"there is no shard {shard}", mend="0 holds what was received, 1 what was done")
    return TileReader(shard_path(folder, shard) / "log")


def checkpoint(shard: int) -> str:
    """Return a shard's newest signed checkpoint, with what witnesses said of the same. Raises NotFoundError."""
    note = log_of(shard).checkpoint()
    if note is None:
        raise NotFoundError("nothing is signed yet", mend="wait a second")
    seen = anchors.cosigned(shard_path(installation.data().ledger, shard))
    return anchors.merged(note, seen) if seen and seen.partition("\n\n")[0] == note.partition("\n\n")[0] else note


def tile(shard: int, level: int | str, index: int, width: int) -> bytes:
    """Return a tile, or its first ``width`` entries, as https://c2sp.org/tlog-tiles wants it. Raises NotFoundError."""
    reader = log_of(shard)
    try:
        data = reader.tile(level, index, width)
        if isinstance(level, int):
            return b"".join(reader.hashes(level, index, width))
        return b"".join(map(pack_entry, split_bundle(data, width)))
    except (LedgerError, ValueError):
        raise NotFoundError("there is no such tile") from None


def root_fingerprint() -> str:
    """What an auditor compares: the fingerprint of the root key; empty before there is one."""
    keys = installation.data().keys
    root = open_root_public(keys) if (keys / "root.pub").exists() else None
    return fingerprint(root.key) if root else ""


def last_verification() -> Entry | None:
    """The newest of all verdicts on the whole."""
    return next((one for one in verifications() if one.action != PERIOD_VERIFIED), None)


def verifications(limit: int = 20) -> list[Entry]:
    """What was verified lately, all or a period, and what the patrol found."""
    found = [
        one
        for action in (VERIFIED, PERIOD_VERIFIED, DAMAGED)
        for one in entries(TrailFilter(action=action, limit=limit))
    ]
    return sorted(found, key=lambda one: -one.at)[:limit]


class Verification:
    """One verification at a time in this process, in a thread of its own, so that pages go on answering."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.done = 0
        self.total = 0
        self.failure = ""

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def percent(self) -> int:
        return min(100 * self.done // self.total, 100) if self.total else 0

    def start(self, by: str, period: tuple[int, int] | None = None) -> bool:
        """Begin, with all or with a period alone; False when one is running already."""
        with self._lock:
            if self.running:
                return False
            self.done = self.total = 0
            self.failure = ""
            self._thread = threading.Thread(target=self._run, args=(by, period), name="verify", daemon=True)
            self._thread.start()
            return True

    def wait(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self, by: str, period: tuple[int, int] | None) -> None:
        from django.db import connections

        try:
            verify(installation.data(), SystemClock(), by=by, progress=self._progress, workers=1, period=period)
        except Exception as error:
            # It is shown on the page: a verification that could not run is no verdict.
            log.exception("the verification could not run")
            self.failure = f"the verification could not run: {error}"
        finally:
            connections.close_all()

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total


verification = Verification()
