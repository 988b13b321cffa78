"""The one criterion of all faults: acknowledged ⊆ stored, exactly once, in order, as it was sent, and the verifier is content."""

from __future__ import annotations

import json
import time
from pathlib import Path

import victim

from watchbill.core.clock import SECOND, FixedClock
from watchbill.ledger import Reader, Writer, verify_ledger
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.tiles import TileReader

RESTART_LIMIT = 5.0  # seconds
#: After every victim's own time.
LATER = victim.START + 1_000_000_000 * SECOND


def judge(folder: Path, seed: int, acknowledged: int) -> int:
    """Start again over what a fault left, go on writing, and check everything; return the number of records kept.

    Raises AssertionError, or LedgerError where the writer does not start.
    """
    ledger, keys = folder / "ledger", folder / "keys"
    clock = FixedClock(LATER)
    began = time.monotonic()
    with Writer.open(ledger, shard=0, keys=keys, clock=clock) as writer:
        assert time.monotonic() - began < RESTART_LIMIT, "the restart took too long"
        kept = writer.commit()
        assert kept >= acknowledged, f"{acknowledged} records were acknowledged, {kept} are there"
        writer.append(writer.source("after", "replay"), [b"after"], clock.now())
        writer.commit()
        if list(ledger.glob("shard-*/orders/*.json")):
            writer.tick()
    check_records(ledger, seed, kept)
    check_orders(ledger)
    report = verify_ledger(ledger, keys=keys, workers=1)
    assert report.ok, report.findings
    return kept


def check_records(ledger: Path, seed: int, kept: int) -> None:
    """The first ``kept`` records stand in order, each once, byte for byte as the victim made them."""
    reader = Reader(ledger, 0)
    try:
        records = reader.read(0, 1 << 40)
        assert [record.position for record in records] == list(range(len(records)))
        for record in records[:kept]:
            assert record.source == 0 or record.raw == victim.record(seed, record.position), record
        sequences = [record.sequence for record in records[:kept] if record.source]
        assert len(set(sequences)) == len(sequences)
    finally:
        reader.close()


def check_orders(ledger: Path) -> None:
    """What was ordered is entered once, however often it was begun."""
    log = TileReader(ledger / "shard-0000" / "log")
    size = Checkpoint.parse(log.checkpoint() or "").size
    entered = [json.loads(entry).get("order", index) for index, entry in enumerate(log.entries(0, size))]
    assert len(set(entered)) == len(entered), entered
    assert not list(ledger.glob("shard-*/orders/*.json")), "an order was left"


def acknowledged(said: bytes) -> int:
    """What a victim had acknowledged, by its output up to its end."""
    heads = [int(line) for line in said.split(b"\n")[:-1] if line[:1].isdigit()]
    return max(heads, default=0)
