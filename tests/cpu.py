"""CPU time of what must not take long, so told that a busy machine changes nothing of the answer."""

from __future__ import annotations

import time
from collections.abc import Callable

_TRIES = 6


def cpu_seconds(work: Callable[[], object], bound: float) -> float:
    """The least CPU time that ``work`` took, of as many runs as one below ``bound`` needs, six at most.

    A collection of garbage that others left, and neighbours on the same core, make single runs slower, never faster.
    """
    least = float("inf")
    for _ in range(_TRIES):
        began = time.thread_time()
        work()
        least = min(least, time.thread_time() - began)
        if least < bound:
            break
    return least
