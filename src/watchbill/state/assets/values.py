"""What assets and sources give to others. Times and durations are nanoseconds."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from watchbill.core.values import Criticality


class SourceState(StrEnum):
    ALIVE = "alive"
    SILENT = "silent"
    #: Played from a recording: nothing more is expected of it.
    RECORDED = "recorded"
    UNREADABLE = "unreadable"


class SourceBatch(msgspec.Struct):
    """What one batch held of one source. ``delays`` is a histogram of milliseconds (see ``histogram``)."""

    shard: int
    number: int
    name: str
    transport: str
    first_received: int
    last_received: int
    last_event_time: int = 0
    format: str = ""
    events: int = 0
    quarantined: int = 0
    dropped: int = 0
    delays: list[int] = msgspec.field(default_factory=list)
    least_delay: int | None = None
    last_error: str = ""


class HostBatch(msgspec.Struct):
    """What one batch held of one host, and from which (source name, parser) pairs."""

    name: str
    first_time: int
    last_time: int
    events: int = 0
    sources: set[tuple[str, str]] = msgspec.field(default_factory=set)


class SourceView(msgspec.Struct, frozen=True):
    """``id`` is "shard-number". ``reasons`` say in words why it has this state."""

    id: str
    shard: int
    number: int
    name: str
    transport: str
    format: str
    state: SourceState
    reasons: tuple[str, ...]
    first_seen: int
    last_seen: int
    last_event_time: int
    events: int
    quarantined: int
    dropped: int
    #: Time from event to receipt: half of the events, and 95 of 100, took at most this long.
    delay_p50: int | None
    delay_p95: int | None
    #: How far its clock is ahead of ours (negative: behind), judged by the last hour with events.
    skew: int | None
    #: Events in the last 24 full or begun hours, oldest first.
    rate: tuple[int, ...]
    silent_after: int
    #: Whether somebody set ``silent_after``, or its history did.
    silent_after_set: bool
    silent_since: int | None
    last_error: str
    last_error_at: int | None


class HourCount(msgspec.Struct, frozen=True):
    hour: int
    events: int
    quarantined: int
    least_delay: int | None


class SeenSource(msgspec.Struct, frozen=True):
    source: str
    parser: str
    last_seen: int


class AssetView(msgspec.Struct, frozen=True):
    """``missing`` are expected sources that never sent for this asset, or not for a day before ``now``."""

    id: int
    name: str
    aliases: tuple[str, ...]
    criticality: Criticality
    reviewed: bool
    owner: str
    expected_sources: tuple[str, ...]
    seen_sources: tuple[SeenSource, ...]
    missing: tuple[str, ...]
    first_seen: int | None
    last_seen: int | None
    events: int


class AssetFilter(msgspec.Struct, frozen=True):
    """``sort``: name, criticality, last_seen or events; a leading "-" turns it round."""

    text: str = ""
    criticality: tuple[Criticality, ...] = ()
    reviewed: bool | None = None
    owner: str = ""
    sort: str = "name"
    page: int = 1
    size: int = 50


class AssetPage(msgspec.Struct, frozen=True):
    items: tuple[AssetView, ...]
    total: int
    page: int
    pages: int


class Coverage(msgspec.Struct, frozen=True):
    """How many assets of one criticality there are, send (within a day), have an owner, and miss an expected source."""

    criticality: Criticality
    assets: int
    sending: int
    owned: int
    reviewed: int
    with_missing_sources: int


class SilenceChange(msgspec.Struct, frozen=True):
    """A source that fell silent or came back, for the internal event that tells of it."""

    source: SourceView
    silent: bool
    #: How long it was (or has been) silent.
    length: int
