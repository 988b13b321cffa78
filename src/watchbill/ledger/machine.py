"""What a manifest says of the machine and its clock when it is sealed."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


@cache
def boot_id() -> str:
    """Return the kernel's id of this boot, "unknown" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def clock_state() -> str:
    """Return whether the kernel holds its clock for "synchronised", "unsynchronised" or "unknown" (adjtimex)."""
    try:
        state = _libc().adjtimex(ctypes.create_string_buffer(256))
    except (OSError, AttributeError):
        return "unknown"
    if state < 0:
        return "unknown"
    return "unsynchronised" if state == _TIME_ERROR else "synchronised"
