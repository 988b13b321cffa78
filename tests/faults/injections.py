"""Every system call of a run that touches the ledger, made to fail once: the kernel's own answer, injected by strace."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from crash_states import clear
from judging import acknowledged, judge
from nursery import Nursery

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
_CRASH = ("fdatasync:signal=SIGKILL:when=9",)
_UNABLE = {"close", "lseek", "read"}
#: Ended well; refused with an error that says what to do; killed.
ENDINGS = {0, 3, -9}


class Injection(NamedTuple):
    """One fault at one call: the ``ordinal``-th of its name in the process, which runs over what a crash left, or not."""

    call: str
    ordinal: int
    fault: str
    over_a_crash: bool

    def __str__(self) -> str:
        return f"{self.call}:{self.fault.format(self.ordinal)}"


class Injector:
    """Runs of one victim in a folder of its own. Of what a run starts over a copy is taken each time."""

    def __init__(self, nursery: Nursery, folder: Path, seed: int = 1) -> None:
        self._nursery, self._seed = nursery, seed
        self._live, self._crashed, self._log = folder / "live", folder / "crashed", folder / "strace"
        clear(self._crashed)
        killed = nursery.run(self._crashed, seed, self._log, _CRASH)
        assert killed.code == -9, killed
        self._before = acknowledged(killed.said)
        assert self._before > 50

    def known(self) -> list[Injection]:
        """All faults at all calls, over an empty folder and over a crash."""
        return [one for over in (False, True) for one in self._of_a_run(over)]

    def _of_a_run(self, over_a_crash: bool) -> list[Injection]:
        self._begin(over_a_crash)
        done = self._nursery.run(self._live, self._seed, self._log)
        assert done.code == 0, done
        root, counted, inside, found = str(self._live), Counter(), {}, []
        for line in self._log.read_text().splitlines():
            if not (call := _LINE.match(line)):
                continue
            name, path, fd, result = call[1], call[2], call[3], call[4]
            counted[name] += 1
            ours = inside.get(fd, False) if fd else bytes.fromhex(path.replace("\\x", "")).decode().startswith(root)
            if name == "openat":
                inside[result] = ours
            if ours and name not in _UNABLE:
                found += [Injection(name, counted[name], fault, over_a_crash) for fault in FAULTS]
        return found

    def _begin(self, over_a_crash: bool) -> None:
        clear(self._live)
        if over_a_crash:
            shutil.copytree(self._crashed, self._live, dirs_exist_ok=True)

    def inject(self, injection: Injection) -> None:
        """Run the victim with the fault, then judge what is there. Raises AssertionError that says all that is known."""
        self._begin(injection.over_a_crash)
        story = f"{injection}{' over a crash' if injection.over_a_crash else ''}"
        try:
            done = self._nursery.run(self._live, self._seed, self._log, (str(injection),))
        except TimeoutError as error:
            raise AssertionError(f"{story}: the victim hung") from error
        story += f": exit code {done.code}"
        tail = f"{done.said.decode()[-500:]}{done.errors.decode()[-2000:]}"
        assert done.code in ENDINGS, f"{story}\n{tail}"
        assert b"(INJECTED)" in self._log.read_bytes() or done.code == -9, f"{story}: the call was never made\n{tail}"
        known = max(acknowledged(done.said), self._before if injection.over_a_crash else 0)
        try:
            judge(self._live, self._seed, known)
        except Exception as error:
            raise AssertionError(f"{story}, then {type(error).__name__}: {error}\n{tail}") from error
