"""Exports beside requests: one at a time, bounded, stopped, and never at the cost of the ledger's room."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from watchbill.core.clock import SECOND
from watchbill.core.errors import ConflictError, NotFoundError
from watchbill.flows import exports as flow
from watchbill.flows.export import held
from watchbill.flows.exports import Exports
from watchbill.ledger import standalone, verify_bundle
from watchbill.ledger.keys import fingerprint, open_root_public

EVER = 1 << 62


@pytest.fixture
def made(place, story):
    """The exports of an installation with some records."""
    place.receive(*story.lines[:300])
    place.clock.advance(2 * SECOND)
    place.judge()
    return Exports(place.data, place.clock)


@pytest.fixture
def slow(monkeypatch):
    """An export waits here, once it has begun, until it is let go."""
    begun, go = threading.Event(), threading.Event()
    write = flow.export_bundle

    def wait(*args, progress, **kwargs):
        begun.set()
        assert go.wait(60)
        progress(0, 0)
        return write(*args, progress=progress, **kwargs)

    monkeypatch.setattr(flow, "export_bundle", wait)
    yield begun, go
    go.set()


def ask(made: Exports) -> str:
    return made.begin("ana@example.com", 0, EVER).id


def test_one_is_made_after_the_other(made):
    """Each is ready in its turn; a percent was told that only grew; the bundle verifies."""
    first, second = ask(made), ask(made)
    for one in (first, second):
        found = made.wait(one, 60)
        assert (found.state, found.percent, found.failure) == ("ready", 100, "")
        pieces, size, name = made.take(one, by="bea@example.com")
        path = made._path(one)
        assert b"".join(pieces) == path.read_bytes()
        assert size == path.stat().st_size
        assert name.endswith(".zip")
        assert verify_bundle(path).ok


def test_an_auditor_checks_it_with_one_file_alone(made, tmp_path):
    """The verifier as one file, in a Python that sees no package of ours: fingerprint and earlier checkpoint hold."""
    shard = made._data.ledger / "shard-0000"
    note = (shard / "log" / "checkpoint").read_text()
    one = made.begin("ana@example.com", 0, EVER, held=held([note])).id
    assert made.wait(one, 60).state == "ready"
    (tmp_path / "verify.py").write_text(standalone.source())
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "kept").write_text(note)
    root = fingerprint(open_root_public(made._data.keys).key)
    command = [
        sys.executable,
        "-I",
        tmp_path / "verify.py",
        made._path(one),
        "--root-fpr",
        root,
        "--anchors",
        tmp_path / "held",
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["complete"], report["shards"][0]["held"][0]["by"]) == (0, True, "kept"), done.stderr


def test_who_waits_may_leave(made, slow):
    """One that runs is stopped, one that waits is never begun; neither leaves a file; the next one is made."""
    begun, go = slow
    first, second = ask(made), ask(made)
    assert begun.wait(60)
    with pytest.raises(ConflictError, match="running"):
        made.take(first, by="ana@example.com")
    made.remove(first)
    made.remove(second)
    third = ask(made)
    go.set()
    assert made.wait(third, 60).state == "ready"
    assert [one.id for one in made.all()] == [third]
    assert sorted(path.name for path in made._folder.iterdir()) == [f"{third}.zip"]
    with pytest.raises(NotFoundError):
        made.one(first)


def test_no_more_wait_than_may(made, slow):
    """The ninth is refused while eight wait; those that are done give way."""
    begun, go = slow
    waiting = [ask(made) for _ in range(flow.MOST)]
    assert begun.wait(60)
    with pytest.raises(ConflictError, match="waiting already"):
        ask(made)
    go.set()
    assert all(made.wait(one, 60).state == "ready" for one in waiting)
    assert made.wait(ask(made), 60).state == "ready"
    assert len(made.all()) == flow.MOST
    with pytest.raises(NotFoundError):
        made.one(waiting[0])


def test_room_is_left_to_the_ledger(made, monkeypatch):
    """On a disk that is nearly full an export fails with its reason and leaves no file."""
    monkeypatch.setattr(flow, "LEAST_FREE", 1 << 62)
    found = made.wait(ask(made), 60)
    assert (found.state, "nearly full" in found.failure) == ("failed", True)
    assert list(made._folder.iterdir()) == []


def test_a_day_later_it_is_gone(made, monkeypatch):
    """Its file, too; what a process before left goes at the start."""
    monkeypatch.setattr(flow, "KEPT_FOR", -1)
    gone = ask(made)
    made._jobs[gone].done.wait(60)
    assert made.all() == ()
    assert list(made._folder.iterdir()) == []
    (made._folder / "left.zip").write_bytes(b"x")
    Exports(made._data, made._clock)
    assert list(made._folder.iterdir()) == []
