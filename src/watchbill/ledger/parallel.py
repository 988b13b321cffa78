"""Work for several processes: forked, so that nothing is shipped to them, with their results as JSON through pipes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, TypeVar

from watchbill.core.errors import LedgerError

Task = TypeVar("Task")


def possible(processes: int) -> int:
    """Return how many processes may be started: a process with several threads must not fork."""
    return 1 if threading.active_count() > 1 else max(1, processes)


def each(tasks: Sequence[Task], work: Callable[[Task], dict[str, Any]], processes: int) -> Iterator[dict[str, Any]]:
    """Give the results of all tasks in order. Of n processes the k-th does every n-th task from the k-th on.

    Raises LedgerError if a process ends before its work is done.
    """
    processes = min(possible(processes), len(tasks))
    if processes < 2:
        yield from map(work, tasks)
        return
    children: list[int] = []
    pipes: list[IO[bytes]] = []
    try:
        for number in range(processes):
            child, pipe = _fork(tasks[number::processes], work)
            children.append(child)
            pipes.append(pipe)
        for number in range(len(tasks)):
            line = pipes[number % processes].readline()
            if not line.endswith(b"\n"):
                raise LedgerError(
                    "a process of the verification ended early", mend="see that there is memory, verify again"
                )
            yield json.loads(line)
    finally:
        for pipe in pipes:
            pipe.close()  # a child that still writes ends by it
        for child in children:
            os.waitpid(child, 0)


def _fork(tasks: Sequence[Task], work: Callable[[Task], dict[str, Any]]) -> tuple[int, IO[bytes]]:
    """Start a process that writes a line for each task; return its id and the reading end of its pipe."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, os.fdopen(reading, "rb")
    code = 1
    try:
        os.close(reading)
        with os.fdopen(writing, "wb") as file:
            for task in tasks:
                file.write(json.dumps(work(task)).encode() + b"\n")
                file.flush()
        code = 0
    finally:
        os._exit(code)  # nothing of the parent's is flushed or closed twice
