"""Every system call of a run that touches the ledger, made to fail once: the kernel's own answer, injected by strace."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from crash_states import clear, trace
from judging import acknowledged, judge
from scenarios import command

#: An error that comes once, one that stays, and the end of the process in the middle of the call.
FAULTS = (
    "error=EIO:when={}",
    "error=ENOSPC:when={}",
    "error=EIO:when={}+",
    "error=ENOSPC:when={}+",
    "signal=SIGKILL:when={}",
)
_LINE = re.compile(r'(\w+)\((?:AT_FDCWD, )?(?:"((?:\\x[0-9a-f]{2})*)"|(\d+)).* = (-?\d+)')
#: A run that starts over a crash recovers, which calls what no other run does.
OVER_A_CRASH = ("fdatasync:signal=SIGKILL:when=9",)
_UNABLE = {"close", "lseek", "read"}
#: Ended well; refused with an error that says what to do; killed.
ENDINGS = {0, 3, -9}


class Injection(NamedTuple):
    """One fault at one call: the ``ordinal``-th of its name in the process. ``before``: how the run before it ended."""

    call: str
    ordinal: int
    fault: str
    before: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.call}:{self.fault.format(self.ordinal)}"


def injections(folder: Path, seed: int, before: tuple[str, ...] = ()) -> list[Injection]:
    """All faults at all calls of a run below a folder."""
    _run_before(before, folder, seed)
    done = trace(command(folder / "live", seed), folder / "strace")
    assert done.returncode == 0, done.stderr
    root, counted, inside, found = str(folder / "live"), Counter(), {}, []
    for line in (folder / "strace").read_text().splitlines():
        if not (call := _LINE.match(line)):
            continue
        name, path, fd, result = call[1], call[2], call[3], call[4]
        counted[name] += 1
        ours = inside.get(fd, False) if fd else bytes.fromhex(path.replace("\\x", "")).decode().startswith(root)
        if name == "openat":
            inside[result] = ours
        if ours and name not in _UNABLE:
            found += [Injection(name, counted[name], fault, before) for fault in FAULTS]
    return found


def _run_before(faults: tuple[str, ...], folder: Path, seed: int) -> int:
    """Make the files that a run starts over; return what was acknowledged."""
    clear(folder / "live")
    if not faults:
        return 0
    killed = trace(command(folder / "live", seed), folder / "strace", *faults)
    assert killed.returncode == -9, killed.stderr
    return acknowledged(killed.stdout)


def inject(injection: Injection, folder: Path, seed: int) -> None:
    """Run the victim with the fault, then judge what is there. Raises AssertionError, LedgerError."""
    before = _run_before(injection.before, folder, seed)
    done = trace(command(folder / "live", seed), folder / "strace", str(injection))
    assert done.returncode in ENDINGS, f"{injection}: {done.stdout.decode()[-500:]}{done.stderr.decode()[-2000:]}"
    try:
        judge(folder / "live", seed, max(before, acknowledged(done.stdout)))
    except Exception as error:
        raise AssertionError(f"{injection}: {error}\n{done.stdout.decode()[-500:]}") from error
