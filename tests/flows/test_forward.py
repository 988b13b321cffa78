"""The trail's way into the ledger: every entry once and in order, whatever breaks in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from watchbill.core.errors import LedgerError
from watchbill.flows import forward
from watchbill.flows.forward import SHARD, Forwarder
from watchbill.ledger import Reader, verify_ledger
from watchbill.state.trail import actions, queries
from watchbill.state.trail.values import Act, TrailFilter


def act(count: int, detail: str = "") -> None:
    actions.record_many(
        Act("ana@example.com", "asset.owner", "asset", f"web-{n}", {"to": detail}, n) for n in range(count)
    )


def in_ledger(place) -> list[tuple[int, int]]:
    """Entry and position of what stands in shard 1."""
    records = [record for record in Reader(place.data.ledger, SHARD).read(0, 1 << 20) if record.source]
    return [(json.loads(record.raw)["entry"], record.position) for record in records]


def noted() -> list[tuple[int, int]]:
    return sorted((entry.id, entry.position) for entry in queries.entries(TrailFilter(limit=10_000)))


@pytest.fixture(autouse=True)
def _empty_outbox(place):
    """What preparing the installation said is in the ledger already."""
    with Forwarder(place.data, place.clock) as forwarder:
        forwarder.forward()


def test_entries_arrive_in_order(place):
    """More than one batch: each stands where the trail says that it stands."""
    act(forward.BATCH + 7)
    with Forwarder(place.data, place.clock) as forwarder:
        assert forwarder.forward() == forward.BATCH + 7
        assert forwarder.forward() == 0
    assert in_ledger(place) == noted()


@pytest.mark.parametrize("before", [0, 30])
def test_a_crash_between_ledger_and_note_is_mended(place, monkeypatch, before):
    """What is in the ledger and not noted yet is recognised by the next process."""
    act(before)
    with Forwarder(place.data, place.clock) as forwarder:
        forwarder.forward()
    act(forward.BATCH + 20)

    def crash(*_):
        raise KeyboardInterrupt

    with Forwarder(place.data, place.clock) as cut, monkeypatch.context() as patch:
        patch.setattr(actions, "mark_forwarded", crash)
        with pytest.raises(KeyboardInterrupt):
            cut.forward()
    assert queries.pending_count() == forward.BATCH + 20
    with Forwarder(place.data, place.clock) as forwarder:
        assert queries.pending_count() == 20
        forwarder.forward()
    assert queries.pending_count() == 0
    assert in_ledger(place) == noted()


def test_a_full_disk_doubles_nothing(place):
    """The worker tries again and again while the disk is full; when there is space, every entry stands there once."""
    aside = place.data.root / "aside"
    shutil.copytree(place.data.ledger, aside)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", place.data.ledger], check=False, capture_output=True
    )
    if mounted.returncode:
        assert os.environ.get("CI") != "true", "CI must be able to mount a tmpfs"
        pytest.skip(f"mounting a tmpfs needs root: {mounted.stderr.decode().strip()}")
    try:
        shutil.copytree(aside, place.data.ledger, dirs_exist_ok=True)
        with Forwarder(place.data, place.clock) as forwarder:
            act(20)
            forwarder.forward()
            act(600, "x" * 2_000)
            for _ in range(4):
                with pytest.raises(LedgerError, match="cannot write"):
                    forwarder.forward()
            subprocess.run(["mount", "-o", "remount,size=16m", place.data.ledger], check=True)
            assert forwarder.forward() == 600
        assert in_ledger(place) == noted()
        assert verify_ledger(place.data.ledger, keys=place.data.keys).ok
    finally:
        subprocess.run(["umount", "-l", place.data.ledger], check=True)
