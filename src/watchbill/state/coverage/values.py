"""What coverage gives to others. Times are UTC nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import msgspec

#: What a rule asks of an event: product, service, category ("" asks nothing), OCSF class (None asks nothing).
Route: TypeAlias = tuple[str, str, str, int | None]


class KindCount(NamedTuple):
    """Events of one kind that were received within an hour (its first nanosecond; 0: hours that are long ago)."""

    hour: int
    product: str
    service: str
    category: str
    class_uid: int
    events: int
    quarantined: int


class Edition(msgspec.Struct, frozen=True):
    """A set of rules that was judged by, from when on: name to version and routes."""

    digest: str
    since: int
    rules: Mapping[str, tuple[str, tuple[Route, ...]]]


class Counts(msgspec.Struct, frozen=True):
    """What was judged of a shard since counting began, and what the ledger's manifests said so far.

    ``judged`` is source to (records, quarantined); ``by_kind`` counts the events that were held against rules.
    ``records`` (by source) are those of the manifests up to the log's entry ``entry`` and position ``sealed``.
    ``known`` are differences that were told of, as of ``position``.
    """

    shard: int
    since: int
    judged: Mapping[int, tuple[int, int]]
    by_kind: int
    entry: int
    sealed: int
    records: Mapping[str, int]
    known: Mapping[str, int]
    position: int
    at: int

    @property
    def events(self) -> int:
        return sum(records for source, (records, _) in self.judged.items() if source)

    @property
    def quarantined(self) -> int:
        return sum(quarantined for _, quarantined in self.judged.values())

    @property
    def skipped(self) -> int:
        """The ledger's own records, of which no event is made."""
        return self.judged.get(0, (0, 0))[0]
