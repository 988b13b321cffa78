"""Python's cycle collector, for processes that load much and then work for long."""

from __future__ import annotations

import gc


def settle_memory() -> None:
    """All that is there now stays: keep the collector from looking at it again and again, and at events, which hold no
    cycles, but seldom.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
