"""Python's cycle collector, for processes that load much and then work for long."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def settle_memory() -> None:
    """All that is there now stays: keep the collector from looking at it again and again, and at events, which hold no
    cycles, but seldom.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def collector_paused() -> Iterator[None]:
    """While much is built that stays and holds no cycles: the collector would look at all of it again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
