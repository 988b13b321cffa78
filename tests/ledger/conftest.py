"""A small ledger on disk, made by the real writer."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from watchbill.core.clock import SECOND, FixedClock
from watchbill.ledger import Writer

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent)]  # pytest in importlib mode adds nothing
START = 1_772_618_400 * SECOND
SECOND_VERIFIER = Path(__file__).parent / "second_verifier"


@dataclass
class Place:
    """Where a ledger stands, and the clock its writers use."""

    ledger: Path
    keys: Path
    clock: FixedClock

    def writer(self, shard: int = 0) -> Writer:
        return Writer.open(self.ledger, shard=shard, keys=self.keys, clock=self.clock)

    def events(self, shard: int = 0) -> list[Path]:
        return sorted((self.ledger / f"shard-{shard:04}" / "events").iterdir())


@pytest.fixture(scope="session")
def new_place(tmp_path_factory):
    """Makes places; hypothesis needs one for each example."""

    def make() -> Place:
        folder = tmp_path_factory.mktemp("installation")
        return Place(folder / "ledger", folder / "keys", FixedClock(START))

    return make


@pytest.fixture
def place(new_place) -> Place:
    return new_place()


@pytest.fixture
def filled(place) -> Place:
    """Four segments of 300 records by two sources, with a declared loss, in one volume."""
    with place.writer() as writer:
        web, db = writer.source("web-01", "syslog-udp"), writer.source("db-01", "file", path="/var/log/auth.log")
        for segment in range(4):
            for group in range(3):
                lines = [b"record %d of group %d of segment %d" % (n, group, segment) for n in range(50)]
                writer.append(web, lines, place.clock.now(), place.clock.now() - 5)
                writer.append(db, lines, place.clock.now())
                writer.commit()
            if segment == 2:
                writer.drop(web, 7, "kernel buffer full")
            place.clock.advance(SECOND)
            writer.tick()
    return place


@pytest.fixture(scope="session")
def second(tmp_path_factory):
    """The program, built once; called with a path it gives its report."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed: apt-get install golang-go")
    # One build for all workers of a run: compiling Go's library anew takes longer than all of these tests.
    folder = tmp_path_factory.getbasetemp().parent
    sources = b"".join(path.read_bytes() for path in sorted(SECOND_VERIFIER.glob("*.go")))
    program = folder / f"second_verifier-{hashlib.sha256(sources).hexdigest()[:16]}"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    with (folder / "second_verifier.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            subprocess.run([go, "build", "-o", program, "."], cwd=SECOND_VERIFIER, env=environment, check=True)

    def verify(path: Path, *options: str) -> dict:
        done = subprocess.run([program, *options, path], capture_output=True, text=True, check=False)
        assert "goroutine" not in done.stderr, done.stderr  # a crash of Go's ends with 2 as well
        if done.returncode == 2:  # nothing could be read
            return {"ok": False, "code": 2, "findings": [done.stderr], "unproven": []}
        report = json.loads(done.stdout)
        assert done.returncode == (1 if not report["ok"] else 3 if report["unproven"] else 0)
        return report | {"code": done.returncode}

    return verify
