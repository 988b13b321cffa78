"""The program that is killed, starved and lied to: a writer of one shard that says what it may acknowledge.

    python victim.py FOLDER SEED ROUNDS
    python victim.py --serve FD          forks one for each request on a socket (nursery.py)

It writes to standard output ``<head>`` after each commit, which is its acknowledgement, and ``! <error>`` for each
refusal. What it appends depends on SEED and on the position alone, so that every stored record can be recognised. Its
clock is its own and goes 0.4 s a round: segments, checkpoints and volumes come at the same places in each run.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import socket
import sys
import traceback
from functools import lru_cache
from pathlib import Path

from watchbill.core.clock import SECOND, FixedClock
from watchbill.core.errors import LedgerError
from watchbill.ledger import Writer, orders
from watchbill.ledger import writer as writing

START = 1_772_618_400 * SECOND
#: Small, so that a short run meets every kind of file operation.
VOLUME_BYTES = 12_000
PATIENCE = 4
_LIBC = ctypes.CDLL(None)
#: Lets strace attach although it is not a parent, where Yama would forbid that (linux/prctl.h).
_PR_SET_PTRACER = 0x59616D61


@lru_cache(50_000)
def record(seed: int, position: int) -> bytes:
    """The record that belongs at a position."""
    chance = random.Random(seed * 1_000_003 + position)
    return b"%d:%d " % (seed, position) + b"x" * chance.randrange(200)


def say(text: str) -> None:
    """By another system call than those that are made to fail."""
    os.writev(1, [f"{text}\n".encode()])


def again(step) -> bool:
    """Do one step as the receivers' sink does: try again while the error says that this can help."""
    for _ in range(PATIENCE):
        try:
            step()
        except LedgerError as error:
            say(f"! {error}")
            if not error.retry:
                return False
        else:
            return True
    return False


def order_erasure(folder: Path) -> None:
    """Have an entry that is no manifest put into the log: the third record is to be erased."""
    try:
        orders.place(folder / "ledger", *orders.erasure(0, "E-1", "court order", "1", "2", [(3, 1)]))
    except OSError as error:
        say(f"! {error}")


def work(folder: Path, seed: int, rounds: int) -> None:
    writing.VOLUME_BYTES = VOLUME_BYTES
    chance = random.Random(seed)
    clock = FixedClock(START + seed * 1_000 * SECOND)
    log = Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=clock)
    position = log.commit()
    say(f"{position}")
    source = log.source("web-01", "syslog-tcp")
    position += position == 0  # the registration is a record, too
    for number in range(rounds):
        count = chance.randrange(1, 30)
        log.append(source, [record(seed, position + n) for n in range(count)], clock.now())
        position += count
        if number == 2:
            log.drop(source, 3, "the kernel's receive buffer was full")
        if number == 5:
            order_erasure(folder)
        if not again(lambda: say(f"{log.commit()}")):
            break
        clock.advance(2 * SECOND // 5)
        if not again(log.tick):
            break
    log.close()
    say(f"{position}")


def main(folder: str, seed: int, rounds: int) -> int:
    try:
        work(Path(folder), seed, rounds)
    except LedgerError as error:
        say(f"! {error}")
        return 3
    return 0


def serve(calls: socket.socket) -> None:
    """Fork a victim for each request, answer with its process id, then with its exit code."""
    while True:
        asked, fds, _, _ = socket.recv_fds(calls, 4096, 2)
        if not asked:
            return
        pid = os.fork()
        if not pid:
            os._exit(_be_born(json.loads(asked), *fds))
        for fd in fds:
            os.close(fd)
        calls.send(b"%d" % pid)
        calls.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _be_born(asked: dict, said: int, errors: int) -> int:
    os.dup2(said, 1)
    os.dup2(errors, 2)
    os.closerange(3, 64)
    try:
        if asked["stopped"]:
            _LIBC.prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
        return main(asked["folder"], asked["seed"], asked["rounds"])
    except Exception:  # noqa: BLE001 - as the interpreter does at its end
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        with socket.socket(fileno=int(sys.argv[2])) as requests:
            serve(requests)
    else:
        sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
