"""Starts over what people do to a ledger's files: each a clear error with its mend, or none, and never a loss."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import victim
from judging import check_records, judge
from nursery import command

from watchbill.core.clock import FixedClock
from watchbill.core.errors import LedgerError
from watchbill.ledger import Reader, Writer, verify_ledger
from watchbill.ledger.repair import repair

CLOCK = FixedClock(victim.START)


def start(folder):
    return Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=CLOCK)


@pytest.fixture
def ended(tmp_path):
    """A ledger of a run that ended well, and its number of records."""
    subprocess.run(command(tmp_path / "run", 1), check=True, capture_output=True)
    return tmp_path / "run", Reader(tmp_path / "run" / "ledger", 0).head()


def test_two_writers_at_once(ended):
    """The second one is refused, may try again, and disturbs nothing."""
    folder, _ = ended
    with start(folder), pytest.raises(LedgerError, match="another process writes") as refused:
        start(folder)
    assert refused.value.retry
    assert verify_ledger(folder / "ledger", keys=folder / "keys").ok


def test_a_ledger_copied_while_it_is_written(tmp_path):
    """A plain copy of a live folder starts, or is refused with a mend and mostly can be repaired; the original goes on."""
    with subprocess.Popen(command(tmp_path / "run", 1, 1_000_000), stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        for number in range(6):
            time.sleep(0.05)
            copy = ["cp", "-r", tmp_path / "run", tmp_path / f"copy-{number}"]
            subprocess.run(copy, check=False, capture_output=True)  # files come and go while it copies
        for line in child.stdout:
            if line[:1].isdigit() and int(line) > 100:
                break
        child.kill()
        child.stdout.read()
    assert judge(tmp_path / "run", 1, 0) > 100
    for number in range(6):
        folder = tmp_path / f"copy-{number}"
        try:
            start(folder).close()
        except LedgerError as error:
            assert "copy" in error.mend, error
            try:
                repair(folder / "ledger", folder / "keys", 0, CLOCK)
            except LedgerError as hopeless:  # the copy's log is older than its volumes, or was cut
                assert "log/" in hopeless.mend, hopeless
                continue
            start(folder).close()
        else:
            check_records(folder / "ledger", 1, 0)  # what a repair has to give up leaves a gap, which it signs
        report = verify_ledger(folder / "ledger", keys=folder / "keys", workers=1)
        assert report.ok, report.findings


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("keys", "the key|names another|not signed|no key|root"),
        ("keys/log.key", "key"),
        ("keys/root.pub", ""),
        ("ledger/shard-0000/head", "ledger repair"),
        ("ledger/shard-0000/events", "is missing"),
        ("ledger/shard-0000/log", "log|missing|part"),
        ("ledger/shard-0000/log/checkpoint", ""),
        ("ledger", "the ledger is gone"),
    ],
)
def test_something_is_gone(ended, gone, words):
    """What was moved away is said, with the mend; put back, everything is there."""
    folder, records = ended
    (folder / gone).rename(folder.parent / "away")
    try:
        start(folder).close()
    except LedgerError as error:
        assert error.mend, error
    else:
        assert not words, f"started without {gone}"
    for left in [folder / gone]:
        if left.is_dir():
            shutil.rmtree(left)
        left.unlink(missing_ok=True)
    (folder.parent / "away").rename(folder / gone)
    assert judge(folder, 1, records) >= records


def test_a_missing_tail_key(ended):
    """Repair makes it anew; all that can be read is kept."""
    folder, records = ended
    (folder / "keys/tail-0000.key").unlink()
    with pytest.raises(LedgerError, match="ledger repair"):
        start(folder)
    repair(folder / "ledger", folder / "keys", 0, CLOCK)
    start(folder).close()
    check_records(folder / "ledger", 1, records)
    report = verify_ledger(folder / "ledger", keys=folder / "keys")
    assert report.ok, report.findings


@pytest.fixture
def open_folder():
    """A folder that everybody may look into, unlike those of pytest, which others use at the same time."""
    with tempfile.TemporaryDirectory(prefix="wb-open-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


#: The program, its modules loaded while it may still read them.
AS_NOBODY = """
import ctypes, json, os, random, signal, socket, sys, traceback
import watchbill.ledger.orders, watchbill.ledger.writer
sys.argv = sys.argv[1:]
with open(sys.argv[0]) as file:
    program = compile(file.read(), sys.argv[0], "exec")
os.setgid(65534), os.setuid(65534)
exec(program)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("path", "mode"), [("ledger/shard-0000/head", 0o400), ("ledger", 0o000), ("keys", 0o000)])
def test_permissions_that_are_wrong(ended, open_folder, path, mode):
    """A user who may not write there is told so in a sentence; nothing is changed."""
    _, records = ended
    folder = shutil.copytree(ended[0], open_folder / "run")
    subprocess.run(["chown", "-R", "65534:65534", folder], check=True)
    try:
        (folder / path).chmod(mode)
        program = command(folder, 1)
        done = subprocess.run(
            [program[0], "-c", AS_NOBODY, *program[1:]], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 3, done.stdout + done.stderr
        assert "Permission denied" in done.stdout or "cannot be read" in done.stdout
        assert "To mend" in done.stdout
    finally:
        (folder / path).chmod(0o700)
        subprocess.run(["chown", "-R", f"{os.getuid()}:{os.getgid()}", folder], check=True)
    assert judge(folder, 1, records) >= records
