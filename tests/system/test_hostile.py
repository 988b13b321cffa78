"""Bad input the whole way, and a full disk: nothing is lost, others go on, and the operator sees it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time

import pytest

from watchbill.core.paths import DataDir
from watchbill.engine.collect import DoorClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


def failures(host: str, address: str, count: int = 6) -> list[str]:
    stamp = time.strftime("%b %d %H:%M:%S", time.gmtime())
    return [
        f"<38>{stamp} {host} sshd[{4000 + n}]: Failed password for root from {address} port {41000 + n} ssh2"
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Followed files: one that is rotated, one that is truncated, and two that were given the same name."""
    folder = tmp_path_factory.mktemp("logs")
    for name in ("rotated", "truncated", "twin-a", "twin-b"):
        (folder / f"{name}.log").write_text(f"{name} begins\n")
    return folder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, logs, new_installation):
    files = "".join(
        f'[[collect.files]]\npath = "{logs / name}.log"\nname = "{name.partition("-")[0]}"\n'
        for name in ("rotated", "truncated", "twin-a", "twin-b")
    )
    running = new_installation(tmp_path_factory.mktemp("hostile") / "data", f"[collect]\ndiscover = false\n{files}")
    try:
        yield running.start()
    finally:
        running.stop()


def source(installation, name: str, transport: str = "") -> dict:
    """What the operator sees of a source."""
    rows = [row for row in installation.items("sources") if row["name"] == name and transport in row["transport"]]
    return rows[0] if rows else {"events": 0, "quarantined": 0}


def test_whatever_bytes_arrive(hostile):
    """Each bad record is an event, marked and counted; a good source beside it alerts as ever."""
    bad = [
        b"\xff\xfe\x00 not text at all \x80\x81",
        b"<38>Mar  4 10:00:00 bad-01 app: nul \x00 inside",
        "<13>Mär  4 10:00:00 bad-01 app: latin ü".encode("latin-1"),
        b"<13>1 2026-03-04T10:00:00Z bad-01 app - - - " + b"x" * ((1 << 20) - 60),
        b'{"eventVersion": "1.08", "eventName": "ConsoleLogin", "userIdentity": {"type": "IAM',
        b"<13>1 2999-01-01T00:00:00Z bad-01 app - - - from the future",
        b"<13>1 1970-01-01T00:00:00Z bad-01 app - - - from the beginning",
        b"<999999>Foo bar 99 99:99:99",
        b"[" * 20_000,
        b"\x1b[2J\x1b]0;owned\x07",
    ]
    before, years = hostile.head(), {time.strftime("%Y", time.gmtime())}
    hostile.send(*bad, *failures("good-01", "203.0.113.21"))
    hostile.wait_for(lambda: hostile.head() >= before + len(bad) + 6, "all of it to be durable")
    hostile.wait_for(
        lambda: [row for row in hostile.alerts("good-01") if row["events"] == 6], "the good source's alert"
    )
    quarantined = hostile.wait_for(
        lambda: len(rows := hostile.events("is:quarantined")) >= 2 and rows, "quarantined events"
    )
    assert all(row["flaw"] for row in quarantined)
    for words in ("future", "beginning"):
        (event,) = hostile.wait_for(lambda words=words: hostile.events(words), f"the event from the {words}")
        years.add(time.strftime("%Y", time.gmtime()))
        assert event["time"][:4] in years, "the time of receipt stands for it"
    hostile.wait_for(
        lambda: sum(row["quarantined"] for row in hostile.items("sources")) >= len(quarantined),
        "the sources to show it",
    )


def test_rotated_truncated_and_twin_files(hostile, logs):
    """Rotation and truncation lose and double nothing; two files of one name are one source with the lines of both."""
    for words in ("rotated begins", "truncated begins"):
        hostile.wait_for(lambda words=words: hostile.events(f'"{words}"'), words)
    path = logs / "rotated.log"
    with path.open("a") as old:
        path.rename(logs / "rotated.log.1")
        old.write("written after the rename\n")
    path.write_text("rotated again\n")
    (logs / "truncated.log").write_text("")
    time.sleep(0.5)  # what is shorter than before was truncated, whether it was seen empty or not
    (logs / "truncated.log").write_text("truncated anew\n")
    for name in ("twin-a", "twin-b"):
        with (logs / f"{name}.log").open("a") as log:
            log.write(f"{name} goes on\n")
    for words in (
        "rotated begins", "written after the rename", "rotated again", "truncated begins", "truncated anew", "twin-a begins",
        "twin-b begins", "twin-a goes on", "twin-b goes on",
    ):  # fmt: skip
        found = hostile.wait_for(lambda words=words: hostile.events(f'"{words}"'), words)
        assert len(found) == 1, words
    # Statistics are stored about a second after the events that they count.
    for name, count in (("twin", 4), ("rotated", 3)):
        hostile.wait_for(
            lambda name=name, count=count: source(hostile, name, "file")["events"] == count, f"{count} of {name}"
        )


def test_a_full_disk(tmp_path, new_installation):
    """The disk fills up under a running installation: what was acknowledged is kept, the status says why it waits, and
    when there is room again everything is judged, once.
    """
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        assert os.environ.get("CI") != "true", "CI must be able to mount a tmpfs"
        pytest.skip(f"mounting a tmpfs needs root: {mounted.stderr.strip()}")
    small = new_installation(folder / "data")
    try:
        small.start()
        small.send(*failures("before", "203.0.113.31"))
        small.wait_for(lambda: small.alerts("before"), "the first alert")
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as full, contextlib.suppress(OSError):
            while full.write(bytes(1 << 16)):
                pass
        number, status, acknowledged = 3_000, folder / "data" / "run" / "collect-status.json", []

        def hand_in() -> None:
            with DoorClient.connect(DataDir(folder / "data").run / "door.sock") as door:
                door.hello("during", "replay")
                for start in range(0, number, 100):
                    door.send([f"during {n} {'x' * 900}".encode() for n in range(start, start + 100)])
                acknowledged.append(door.flush())

        client = threading.Thread(target=hand_in, daemon=True)
        client.start()
        small.wait_for(lambda: "No space" in status.read_text(), "the status to say so")
        assert acknowledged == []
        filler.unlink()
        client.join(200)
        assert acknowledged == [number]
        small.send(*failures("after", "203.0.113.32"))
        small.wait_for(lambda: [row for row in small.alerts("after") if row["events"] == 6], "an alert afterwards", 200)
        small.wait_for(lambda: [row["events"] for row in small.alerts("before")] == [6], "the first alert, whole")
        small.wait_for(lambda: source(small, "during")["events"] == number, "all of it to be counted")
        small.wait_for(lambda: "No space" not in status.read_text(), "the status to be well again")
    finally:
        small.stop()
        subprocess.run(["umount", "-l", folder], check=True)
