"""Keeping an installation light takes nothing away."""

from __future__ import annotations

from watchbill.flows.maintain import maintain
from watchbill.lake import Lake


def test_small_files_are_merged_and_nothing_is_lost(place, story):
    """After many small commits the lake has fewer files and answers the same."""
    engine = place.ingest()
    for start in range(0, 240, 20):
        place.receive(*story.lines[start : start + 20])
        engine.drain()
    before = place.searched()
    assert len(before) == 240
    files = set(place.data.lake.rglob("day=*/*.parquet"))
    maintain(place.data, place.clock)
    assert place.searched() == before
    assert len(set(place.data.lake.rglob("day=*/*.parquet")) - files) == 1
    assert Lake(place.data.lake).compact() == 0
    place.receive(*story.lines[240:260])
    engine.drain()
    assert len(place.searched()) == 260
