"""Several processes share the work of a verification, and say together what one of them would have said."""

from __future__ import annotations

import gc
import os
import random
import threading

import pytest

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError
from watchbill.ledger import parallel, verify, verify_ledger, writer
from watchbill.ledger.compaction import compact


@pytest.fixture
def alone(monkeypatch):
    """Idle threads that other tests left in this process do not keep it from forking."""
    gc.collect()  # most of them belong to lakes that nobody has any more
    monkeypatch.setattr(parallel, "possible", lambda processes: processes)


@pytest.fixture(params=["as written", "packed"])
def shared(request, place, alone, monkeypatch):
    """A ledger of three volumes, each of several segments (and blocks), of which processes take turns."""
    monkeypatch.setattr(writer, "VOLUME_BYTES", 30_000)
    monkeypatch.setattr(verify, "_PARALLEL_BYTES", 0)
    monkeypatch.setattr("watchbill.ledger.packing.BLOCK_SEGMENTS", 2)
    with place.writer() as log:
        for n in range(14):
            source = log.source(f"web-{n % 3}", "syslog-udp")
            log.append(source, [b"%d-%d" % (n, k) * 10 for k in range(80)], place.clock.now())
            log.commit()
            place.clock.advance(SECOND)
            log.tick()
    if request.param == "packed":
        compact(place.ledger, 0)
    return place


def verified(place, workers):
    report = verify_ledger(place.ledger, keys=place.keys, workers=workers)
    return report.findings, report.shards


@pytest.mark.parametrize("workers", [2, 5])
def test_processes_that_share_a_volume_say_what_one_says(shared, workers):
    """Of a whole ledger, and of one with two wrong bits anywhere: the same facts, the same first finding, the same place."""
    chance = random.Random(workers)
    assert verified(shared, workers) == verified(shared, 1)
    for _ in range(5):
        path = chance.choice(shared.events())
        whole = path.read_bytes()
        data = bytearray(whole)
        for _ in range(2):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        alone = verified(shared, 1)
        assert alone[0]
        assert verified(shared, workers) == alone
        path.write_bytes(whole)


def test_each_share_hashes_its_segments_and_no_others(place, alone, monkeypatch):
    """Otherwise two processes would need as long as one."""
    monkeypatch.setattr(verify, "_PARALLEL_BYTES", 0)
    with place.writer() as log:
        source = log.source("web-01", "syslog-udp")
        for _ in range(6):
            log.append(source, [b"x"] * 10, place.clock.now())
            place.clock.advance(SECOND)
            log.tick()
    hashed, real = [], verify.FrameCheck._compare_records

    def compare(check, manifest, *rest):
        hashed.append((check.share, manifest.segment))
        real(check, manifest, *rest)

    monkeypatch.setattr(verify.FrameCheck, "_compare_records", compare)
    monkeypatch.setattr(parallel, "each", lambda tasks, work, _: map(work, tasks))
    report = verify_ledger(place.ledger, keys=place.keys, workers=2)
    assert (report.ok, report.events) == (True, 61)
    assert sorted(hashed) == [((at, 2), number) for at in range(2) for number in range(at, 6, 2)]


def test_a_process_with_threads_does_the_work_itself():
    """Forking it could leave a lock held for ever."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(60,))
    thread.start()
    try:
        assert parallel.possible(4) == 1
        assert {one["by"] for one in parallel.each([1, 2], lambda _: {"by": os.getpid()}, 2)} == {os.getpid()}
    finally:
        done.set()
        thread.join()


def test_results_come_in_order_and_from_several_processes(alone):
    """Of n processes the k-th does every n-th task."""
    found = list(parallel.each(range(7), lambda task: {"task": task, "by": os.getpid()}, 3))
    assert [one["task"] for one in found] == list(range(7))
    assert len({one["by"] for one in found}) == 3
    assert os.getpid() not in {one["by"] for one in found}
    assert found[0]["by"] == found[3]["by"]


def test_a_process_that_ends_early_is_told(alone):
    """A child that the kernel killed, for want of memory say."""
    with pytest.raises(LedgerError, match="ended early"):
        list(parallel.each(range(2), lambda task: os._exit(1) if task else {}, 2))
