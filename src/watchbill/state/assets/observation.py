"""Bulk upserts of what a batch said of sources and hosts. A part of ``actions.observe``, and called by it alone."""

from __future__ import annotations

from collections.abc import Sequence

from watchbill.core.clock import HOUR, SECOND
from watchbill.state.assets import histogram
from watchbill.state.assets.models import Alias, Asset, AssetSource, Source, SourceHour
from watchbill.state.assets.values import HostBatch, SourceBatch

#: Batches of one source that are further apart than this say how long its silences are.
_SHORTEST_GAP = SECOND
#: Histograms are halved at this many counts, so that a changed habit shows within some days.
_ENOUGH = 100_000


def observe_sources(batches: Sequence[SourceBatch], at: int) -> None:
    rows = _source_rows(batches, at)
    hours: dict[tuple[int, int], SourceHour] = {}
    for batch in batches:
        row = rows[batch.shard, batch.number]
        _add(row, batch, at)
        hour = batch.last_received - batch.last_received % HOUR
        count = hours.setdefault((row.pk, hour), SourceHour(source_id=row.pk, hour=hour))
        count.events += batch.events
        count.quarantined += batch.quarantined
        count.least_delay = _least(count.least_delay, batch.least_delay)
    fields = [
        "name", "transport", "format", "last_seen", "last_event_time", "events", "quarantined", "dropped", "delays",
        "gaps", "last_error", "last_error_at", "unreadable",
    ]  # fmt: skip
    # Rewritten by insert: a bulk_update spells a CASE for each row and field, which takes ten times as long.
    Source.objects.bulk_create(
        rows.values(), batch_size=40, update_conflicts=True, unique_fields=["pk"], update_fields=fields
    )
    _add_hours(hours)


def _source_rows(batches: Sequence[SourceBatch], at: int) -> dict[tuple[int, int], Source]:
    wanted = {(batch.shard, batch.number): batch for batch in batches}
    numbers = {number for _, number in wanted}
    known = Source.objects.select_for_update().filter(number__in=numbers).order_by("pk")
    rows = {key: row for row in known if (key := (row.shard, row.number)) in wanted}
    new = [
        Source(
            shard=batch.shard, number=batch.number, name=batch.name, transport=batch.transport,
            first_seen=batch.first_received, last_seen=0, watched_since=at,
        )
        for key, batch in wanted.items()
        if key not in rows
    ]  # fmt: skip
    for row in Source.objects.bulk_create(new):
        rows[row.shard, row.number] = row
    return rows


def _add(row: Source, batch: SourceBatch, at: int) -> None:
    row.name, row.transport = batch.name, batch.transport
    row.format = batch.format or row.format
    gap = batch.first_received - row.last_seen
    if row.last_seen and gap >= _SHORTEST_GAP:
        row.gaps = _counted(row.gaps, [])
        histogram.add(row.gaps, gap // SECOND)
    row.last_seen = max(row.last_seen, batch.last_received)
    row.last_event_time = max(row.last_event_time, batch.last_event_time)
    row.events += batch.events
    row.quarantined += batch.quarantined
    row.dropped += batch.dropped
    row.delays = _counted(row.delays, batch.delays)
    if batch.last_error:
        row.last_error, row.last_error_at = batch.last_error[:500], at
    if batch.events:
        row.unreadable = ""


def _counted(known: list[int], new: Sequence[int]) -> list[int]:
    return histogram.merged(histogram.halved(known) if sum(known) > _ENOUGH else known, new)


def _add_hours(hours: dict[tuple[int, int], SourceHour]) -> None:
    known = SourceHour.objects.select_for_update().filter(
        source_id__in={source for source, _ in hours}, hour__in={hour for _, hour in hours}
    )
    for row in known.order_by("pk"):
        new = hours.get((row.source_id, row.hour))
        if new is not None:
            new.events += row.events
            new.quarantined += row.quarantined
            new.least_delay = _least(row.least_delay, new.least_delay)
    SourceHour.objects.bulk_create(
        hours.values(), batch_size=100, update_conflicts=True, unique_fields=["source", "hour"],
        update_fields=["events", "quarantined", "least_delay"],
    )  # fmt: skip


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def observe_hosts(batches: Sequence[HostBatch]) -> list[str]:
    """Returns the names of new assets, sorted."""
    merged = _by_asset_name(batches)
    rows = {row.name: row for row in Asset.objects.select_for_update().filter(name__in=merged).order_by("pk")}
    new = sorted(merged.keys() - rows.keys())
    for row in Asset.objects.bulk_create([Asset(name=name) for name in new]):
        rows[row.name] = row
    seen = []
    for name, batch in merged.items():
        row = rows[name]
        row.events += batch.events
        row.first_seen = _least(row.first_seen, batch.first_time)
        row.last_seen = max(row.last_seen or 0, batch.last_time)
        seen += [
            AssetSource(asset=row, source=source[:255], parser=parser, last_seen=batch.last_time)
            for source, parser in batch.sources
        ]
    Asset.objects.bulk_create(
        rows.values(), batch_size=100, update_conflicts=True, unique_fields=["pk"],
        update_fields=["events", "first_seen", "last_seen"],
    )  # fmt: skip
    AssetSource.objects.bulk_create(
        seen, batch_size=200, update_conflicts=True, unique_fields=["asset", "source", "parser"],
        update_fields=["last_seen"],
    )  # fmt: skip
    return new


def _by_asset_name(batches: Sequence[HostBatch]) -> dict[str, HostBatch]:
    """Host batches by the name of their asset: names in lower case, aliases replaced, equal ones added up."""
    names = {batch.name.lower()[:255] for batch in batches}
    aliases = dict(Alias.objects.filter(name__in=names).values_list("name", "asset__name"))
    merged: dict[str, HostBatch] = {}
    for batch in batches:
        name = batch.name.lower()[:255]
        name = aliases.get(name, name)
        held = merged.setdefault(name, HostBatch(name, batch.first_time, batch.last_time))
        held.first_time = min(held.first_time, batch.first_time)
        held.last_time = max(held.last_time, batch.last_time)
        held.events += batch.events
        held.sources |= batch.sources
    return merged
