"""Orders to the process that writes a shard: deletions that it is to enter into the log.

A file in the shard's folder is an order. The writer enters it, signs, and takes the file away; who ordered waits for the
signature before anything is deleted. A crash between leaves the file: an order whose entry is there is not entered twice.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from watchbill.core.clock import Clock
from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable
from watchbill.ledger.deletions import ERASURE, LARGEST, RETENTION, Deletion, Erasure, Incident, Part, Retention, decode
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path

_LOOK_BACK = 4096  # entries among which an order that was entered before a crash is looked for


def retention(shard: int, policy: str, days: int, parts: Sequence[Part]) -> list[Retention]:
    """Return the deletions by a policy, as many entries as they need; their times are set when they are entered."""
    found: list[Retention] = []
    waiting: list[Part] = []
    for part in parts:
        one = Retention(shard, 0, _name(), policy, days, (*waiting, part))
        if waiting and len(one.encode()) > LARGEST:
            found.append(Retention(shard, 0, _name(), policy, days, tuple(waiting)))
            waiting = []
        waiting.append(part)
    return [*found, Retention(shard, 0, _name(), policy, days, tuple(waiting))] if waiting else found


def erasure(
    shard: int, case: str, reason: str, proposed: str, approved: str, positions: Sequence[tuple[int, int]]
) -> list[Erasure]:
    """Return the erasure of ranges (first position, count), as many entries as they need."""
    size = LARGEST // 40
    return [
        Erasure(shard, 0, _name(), case, reason, proposed, approved, tuple(positions[at : at + size]))
        for at in range(0, len(positions), size)
    ]


def place(ledger: Path, order: Deletion) -> None:
    """Leave an order for the writer, durably. Raises OSError."""
    folder = _folder(shard_path(ledger, order.shard))
    durable.make_folder(folder)
    durable.replace(folder / f"{order.order}.json", order.encode())


@lru_cache(256)  # asked at each tick
def _folder(path: Path) -> Path:
    return path / "orders"


def waiting(path: Path) -> list[Path]:
    """Return the files of orders that lie in a shard's folder."""
    try:
        return sorted(file for file in _folder(path).iterdir() if file.suffix == ".json")
    except FileNotFoundError:
        return []


def due(path: Path, now: int) -> Iterator[tuple[Path, bytes | None]]:
    """Give the orders that lie in a shard's folder: each file, and its entry (None if it was entered before a crash).

    What is no order is put aside as FILE.refused. Cheap when there is none.
    """
    files = waiting(path)
    known = _entered(path) if files else set()
    for file in files:
        try:
            order = decode(file.read_bytes())
        except ValueError:
            order = None
        if (
            order is None
            or isinstance(order, Incident)
            or shard_path(path.parent, order.shard) != path
            or order.order != file.stem
        ):
            file.rename(file.with_suffix(".refused"))
            continue
        yield file, None if order.order in known else order.at(now).encode()


def _entered(path: Path) -> set[str]:
    log = TileReader(path / "log")
    signed = Checkpoint.parse(log.checkpoint() or "").size
    return {order for order, _ in _deletions(log, max(0, signed - _LOOK_BACK), signed)}


def _deletions(log: TileReader, first: int, end: int) -> Iterator[tuple[str, int]]:
    for index, entry in enumerate(log.entries(first, end), first):
        if f'"kind":"{RETENTION}"'.encode() in entry or f'"kind":"{ERASURE}"'.encode() in entry:
            yield json.loads(entry)["order"], index


def settled(ledger: Path, order: Deletion) -> bool:
    """Tell whether the writer has entered and signed an order and closed the volumes that it names."""
    return not (_folder(shard_path(ledger, order.shard)) / f"{order.order}.json").exists()


def carry_out(ledger: Path, keys: Path, clock: Clock, orders: Sequence[Deletion], *, patience: float = 15.0) -> None:
    """Leave orders and wait until their entries are signed. Where no writer is at work, this process does it.

    Raises LedgerError (``retry``) if a writer does not answer within ``patience`` seconds: the orders stay.
    """
    from watchbill.ledger.writer import Writer

    for order in orders:
        place(ledger, order)
    until = time.monotonic() + patience
    for shard in sorted({order.shard for order in orders}):
        mine = [order for order in orders if order.shard == shard]
        while not all(settled(ledger, order) for order in mine):
            try:
                with Writer.open(ledger, shard=shard, keys=keys, clock=clock) as writer:
                    writer.take_orders()
            except LedgerError as error:
                if not error.retry:
                    raise
                if time.monotonic() > until:
                    place_of = Place(str(shard_path(ledger, shard)))
                    mend = "see that the receiving process and the worker run; the order waits, and is carried out then"
                    raise LedgerError(
                        "the writer did not enter the order yet", place=place_of, mend=mend, retry=True
                    ) from error
                time.sleep(0.1)


def _name() -> str:
    return secrets.token_hex(8)
