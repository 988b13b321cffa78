"""From a batch of events to what it says of sources and hosts. Pure; the hot path of a batch, so one flat loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from watchbill.sdk.events import Event
from watchbill.state.assets import histogram
from watchbill.state.assets.values import HostBatch, SourceBatch

#: Delays of recordings say nothing of the source, so they are not measured.
RECORDED_TRANSPORTS = frozenset({"replay"})
_MILLISECOND = 1_000_000


class Facts(Protocol):
    """The part of the ledger's SourceFacts that is needed here."""

    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def transport(self) -> str: ...


def tally(events: Iterable[tuple[Facts, Event]]) -> tuple[list[SourceBatch], list[HostBatch]]:
    """Count events (each with its source) by source and by host, for ``actions.observe``."""
    sources: dict[tuple[int, int], SourceBatch] = {}
    hosts: dict[str, HostBatch] = {}
    for facts, event in events:
        key = (event.shard, facts.number)
        batch = sources.get(key)
        if batch is None:
            batch = sources[key] = SourceBatch(
                event.shard, facts.number, facts.name, facts.transport, event.received, event.received
            )
        batch.events += 1
        batch.first_received = min(batch.first_received, event.received)
        batch.last_received = max(batch.last_received, event.received)
        if event.flaw:
            batch.quarantined += 1
            batch.last_error = event.flaw
        else:
            batch.format = event.parser
        if event.time and facts.transport not in RECORDED_TRANSPORTS and not event.flaw:
            delay = event.received - event.time
            histogram.add(batch.delays, delay // _MILLISECOND)
            if batch.least_delay is None or delay < batch.least_delay:
                batch.least_delay = delay
        batch.last_event_time = max(batch.last_event_time, event.time)
        if event.host:
            host = hosts.get(event.host)
            if host is None:
                host = hosts[event.host] = HostBatch(event.host, event.time, event.time)
            host.events += 1
            host.first_time = min(host.first_time, event.time)
            host.last_time = max(host.last_time, event.time)
            host.sources.add((event.source, event.parser))
    return list(sources.values()), list(hosts.values())
