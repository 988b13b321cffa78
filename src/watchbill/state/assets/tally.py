"""From a batch of events to what it says of sources and hosts. Pure; on the hot path of the engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from operator import sub
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


class Tally:
    """What was counted since it was last taken."""

    def __init__(self) -> None:
        self._sources: dict[tuple[int, int], SourceBatch] = {}
        self._hosts: dict[str, HostBatch] = {}
        #: The position of the event that ``format`` and ``last_error`` of a source are of: the latest tells.
        self._told: dict[tuple[int, int, str], int] = {}

    def __bool__(self) -> bool:
        return bool(self._sources)

    def add(self, events: Iterable[tuple[Facts, Event]]) -> None:
        """Count events, each with its source. Those of one kind go together, and what follows runs in C."""
        kinds: dict[tuple[int, int, str, str, bool], list[Event]] = defaultdict(list)
        sources: dict[int, Facts] = {}
        for facts, event in events:
            number = facts.number
            kinds[event.shard, number, event.host, event.parser, event.flaw == ""].append(event)
            sources[number] = facts
        for (shard, number, host, parser, good), alike in kinds.items():
            times = [event.time for event in alike]
            received = [event.received for event in alike]
            batch = self._source(shard, sources[number], received[0])
            batch.events += len(alike)
            batch.first_received = min(batch.first_received, *received)
            batch.last_received = max(batch.last_received, *received)
            batch.last_event_time = max(batch.last_event_time, *times)
            if good:
                if self._latest(shard, number, "format", alike[-1].position):
                    batch.format = parser
                if batch.transport not in RECORDED_TRANSPORTS:
                    _measure(batch, received, times)
            else:
                batch.quarantined += len(alike)
                if self._latest(shard, number, "error", alike[-1].position):
                    batch.last_error = alike[-1].flaw
            if host:
                self._host(host, times).sources.add((batch.name, parser))

    def merge(self, sources: Iterable[SourceBatch], hosts: Iterable[HostBatch]) -> None:
        """Count what another tally took, of events that come after those counted here."""
        for new in sources:
            known = self._sources.setdefault((new.shard, new.number), new)
            if known is not new:
                _add(known, new)
        for host in hosts:
            seen = self._hosts.setdefault(host.name, host)
            if seen is not host:
                seen.events += host.events
                seen.first_time = min(seen.first_time, host.first_time)
                seen.last_time = max(seen.last_time, host.last_time)
                seen.sources |= host.sources

    def take(self) -> tuple[list[SourceBatch], list[HostBatch]]:
        """What was counted, for ``actions.observe``; counting begins anew."""
        taken = list(self._sources.values()), list(self._hosts.values())
        self._sources, self._hosts, self._told = {}, {}, {}
        return taken

    def _source(self, shard: int, facts: Facts, received: int) -> SourceBatch:
        batch = self._sources.get((shard, facts.number))
        if batch is None:
            batch = SourceBatch(shard, facts.number, facts.name, facts.transport, received, received)
            self._sources[shard, facts.number] = batch
        return batch

    def _host(self, name: str, times: list[int]) -> HostBatch:
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = HostBatch(name, times[0], times[0])
        host.events += len(times)
        host.first_time = min(host.first_time, *times)
        host.last_time = max(host.last_time, *times)
        return host

    def _latest(self, shard: int, number: int, what: str, position: int) -> bool:
        if position < self._told.get((shard, number, what), -1):
            return False
        self._told[shard, number, what] = position
        return True


def _add(known: SourceBatch, new: SourceBatch) -> None:
    known.events += new.events
    known.quarantined += new.quarantined
    known.dropped += new.dropped
    known.first_received = min(known.first_received, new.first_received)
    known.last_received = max(known.last_received, new.last_received)
    known.last_event_time = max(known.last_event_time, new.last_event_time)
    known.format = new.format or known.format
    known.last_error = new.last_error or known.last_error
    known.delays = histogram.merged(known.delays, new.delays)
    if new.least_delay is not None:
        known.least_delay = new.least_delay if known.least_delay is None else min(known.least_delay, new.least_delay)


def _measure(batch: SourceBatch, received: list[int], times: list[int]) -> None:
    delays = list(map(sub, received, times))
    for bits, count in Counter([(delay // _MILLISECOND).bit_length() if delay > 0 else 0 for delay in delays]).items():
        histogram.add(batch.delays, (1 << bits) - 1, count)
    least = min(delays)
    batch.least_delay = least if batch.least_delay is None else min(batch.least_delay, least)


def tally(events: Iterable[tuple[Facts, Event]]) -> tuple[list[SourceBatch], list[HostBatch]]:
    """Count one batch of events (each with its source) by source and by host."""
    counted = Tally()
    counted.add(events)
    return counted.take()
