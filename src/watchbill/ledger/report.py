"""What a verification found: what is proven, what is wrong, and what could not be shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Finding(NamedTuple):
    """Something that is wrong, and where: a file with offset, a position, a log entry."""

    place: str
    what: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody else vouches for the log's first ``size`` entries, since ``at`` (UTC nanoseconds; 0: not said)."""

    by: str
    size: int
    at: int


@dataclass(slots=True)
class ShardFacts:
    """What was proven of a shard. Events count sealed and signed records; times in UTC nanoseconds of receipt."""

    shard: int
    origin: str = ""
    events: int = 0
    segments: int = 0
    first_position: int = 0
    end_position: int = 0
    received: tuple[int, int] | None = None
    dropped: int = 0
    log_size: int = 0
    log_root: str = ""
    key: str = ""
    unsealed: int = 0
    deleted: dict[int, int] = field(default_factory=dict)  # records without bytes, by the log entry that names them
    witnessed: list[Seen] = field(default_factory=list)
    stamped: list[Seen] = field(default_factory=list)
    held: list[Seen] = field(default_factory=list)  # checkpoints that the reader of the report had before


@dataclass(slots=True)
class Report:
    """The result of a verification; ``findings`` are in the order of the ledger, the first one first.

    ``unproven`` is what the reader asked to be shown (by a witness's key, a root of time stamps, a checkpoint) and what
    was not shown; ``open_points`` is what no check of this kind can tell.
    """

    root: str = ""
    findings: list[Finding] = field(default_factory=list)
    shards: list[ShardFacts] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    open_points: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def events(self) -> int:
        return sum(facts.events for facts in self.shards)

    def wrong(self, place: object, what: object) -> None:
        self.findings.append(Finding(str(place), str(what)))
