"""What the engine says when a rule is met."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from watchbill.core.values import Criticality, Severity
from watchbill.sdk.events import LogSource


class EventRef(NamedTuple):
    """An event that is evidence: where it stands in the ledger, when it happened and what it said."""

    shard: int
    position: int
    time: int
    host: str
    message: str


class Detection(msgspec.Struct, frozen=True):
    """One rule met once, for one group of things.

    ``id`` is a digest of (rule, group, window), so that judging the same events twice changes nothing. ``why`` are
    sentences with the conditions, values and threshold that were met, for this asset. ``entities`` names who and
    what is involved: "host", "user", "src_ip", "process", "resource" … to sorted values.
    """

    id: str
    rule: str
    group: tuple[tuple[str, str], ...]
    severity: Severity
    criticality: Criticality
    host: str
    first: int
    last: int
    count: int
    events: tuple[EventRef, ...]
    why: tuple[str, ...]
    entities: dict[str, tuple[str, ...]]


class RuleInfo(msgspec.Struct, frozen=True):
    """A rule as people see it: what governs it (row R1) and what it says."""

    id: str
    title: str
    description: str
    severity: Severity
    controls: tuple[str, ...]
    owner: str
    rationale: str
    response: tuple[str, ...]
    false_positives: tuple[str, ...]
    tags: tuple[str, ...]
    status: str
    path: str
    text: str
    #: Tiers by asset criticality as (criticality, condition in words, severity), empty when there are none.
    tiers: tuple[tuple[str, str, str], ...] = ()
    extra: dict[str, Any] = {}
    #: What it is for, as it says itself; of a correlation what the rules that it counts are for.
    logsources: tuple[LogSource, ...] = ()
    #: The collection that it came with; "watchbill" for those that are shipped, "own" for an installation's own.
    collection: str = ""
