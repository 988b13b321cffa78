"""Waiting for what is meant, in an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(met: Callable[[], object], what: str, seconds: float = 100) -> None:
    """Return when ``met()`` is true. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.02)
