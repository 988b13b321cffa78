"""What may be missing: the entries of the log by which records were deleted, and what they name.

Retention names whole sources in a range of segments, erasure (privacy) names positions. The entry is signed first, then
the records go; a record without its bytes that no entry names is damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from watchbill.core import canonical
from watchbill.ledger.manifest import decode_entry
from watchbill.ledger.segment import Run

RETENTION, ERASURE, INCIDENT = "retention", "erasure", "incident"
DISK_FULL = "the disk is full"
#: A log entry is at most 65,535 bytes; what needs more is said in several entries.
LARGEST = 60_000


class Part(NamedTuple):
    """The records of these sources in the segments [first, end)."""

    first: int
    end: int
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """Records that a policy no longer keeps. ``days`` is what the policy said at that time; times in nanoseconds."""

    shard: int
    time: int
    order: str
    policy: str
    days: int
    parts: tuple[Part, ...]

    def encode(self) -> bytes:
        return canonical.dumps(
            {"kind": RETENTION, "v": 1, **asdict(self), "parts": [list(part) for part in self.parts]}
        )

    def at(self, time: int) -> Retention:
        """Return it as it is entered at a time."""
        return replace(self, time=time)


@dataclass(frozen=True, slots=True)
class Erasure:
    """Records erased for a person's sake: ranges of positions [first, count], the class of the reason, and the numbers
    of the two who asked and agreed. Nothing personal stands in it.
    """

    shard: int
    time: int
    order: str
    case: str
    reason: str
    proposed: str
    approved: str
    positions: tuple[tuple[int, int], ...]

    def encode(self) -> bytes:
        return canonical.dumps({"kind": ERASURE, "v": 1, **asdict(self)})

    def at(self, time: int) -> Erasure:
        """Return it as it is entered at a time."""
        return replace(self, time=time)


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that befell the ledger itself: a full disk, which loses nothing, or damage (see repair.py).

    Damaged records could not be kept: segments whole, and, of what was not sealed yet, positions [first, count] that hold
    a note in a lost record's place. ``file`` is where the damaged volume was set aside, ``sha256`` its digest; both are
    empty if there was none.
    """

    shard: int
    time: int
    volume: int
    file: str
    sha256: str
    cause: str
    parts: tuple[Part, ...]
    positions: tuple[tuple[int, int], ...]

    @property
    def damage(self) -> bool:
        """Whether it was damage to what is stored."""
        return self.cause != DISK_FULL

    def encode(self) -> bytes:
        return canonical.dumps({"kind": INCIDENT, "v": 1, **asdict(self), "parts": [list(part) for part in self.parts]})


Deletion = Retention | Erasure


def decode(entry: bytes) -> Deletion | Incident:
    """Read an entry of kind "retention", "erasure" or "incident". Raises ValueError."""
    fields = decode_entry(entry)
    kind, version = fields.pop("kind", None), fields.pop("v", None)
    if kind not in (RETENTION, ERASURE, INCIDENT) or version != 1:
        raise ValueError(f"an entry of kind {kind!r}, which is no deletion that this version knows")
    try:
        found = _retention(fields) if kind == RETENTION else _incident(fields) if kind == INCIDENT else _erasure(fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the {kind} entry is malformed: {error}") from error
    if found.encode() != entry:
        raise ValueError(f"the {kind} entry is not in canonical form")
    return found


def _retention(fields: dict[str, Any]) -> Retention:
    fields["parts"] = tuple(Part(first, end, tuple(sources)) for first, end, sources in fields["parts"])
    if any(0 in part.sources for part in fields["parts"]):
        raise ValueError("the registrations of sources are never deleted")
    return Retention(**fields)


def _incident(fields: dict[str, Any]) -> Incident:
    fields["parts"] = tuple(Part(first, end, tuple(sources)) for first, end, sources in fields["parts"])
    fields["positions"] = tuple((first, count) for first, count in fields["positions"])
    return Incident(**fields)


def _erasure(fields: dict[str, Any]) -> Erasure:
    fields["positions"] = tuple((first, count) for first, count in fields["positions"])
    if fields["proposed"] == fields["approved"]:
        raise ValueError("an erasure needs two people")
    return Erasure(**fields)


class Named(NamedTuple):
    """What the entries name in one segment: sources, and single positions, each with the index of the entry."""

    sources: dict[int, int]
    positions: dict[int, int]

    def of(self, source: int, position: int) -> int | None:
        """Return the index of an entry that names a record, None if none does."""
        return self.positions.get(position, self.sources.get(source))

    def all(self, sources: Iterable[int]) -> bool:
        """Tell whether all of these sources are named."""
        return self.sources.keys() >= set(sources)

    def records(self, first: int, runs: Sequence[Run]) -> dict[int, int]:
        """Return the records that are named, by their index in the segment, each with its entry."""
        found: dict[int, int] = {}
        at = 0
        for run in runs:
            if (by := self.sources.get(run.source)) is not None:
                found.update(dict.fromkeys(range(at, at + run.records), by))
            at += run.records
        found.update({position - first: by for position, by in self.positions.items() if position - first < at})
        return found


@dataclass(slots=True)
class Deletions:
    """All entries of a log (or of a part of it) by which something was deleted, by their index."""

    retentions: list[tuple[int, Part]] = field(default_factory=list)
    erasures: list[tuple[int, int, int]] = field(default_factory=list)  # index, first position, count

    def __bool__(self) -> bool:
        return bool(self.retentions or self.erasures)

    def take(self, index: int, entry: bytes, shard: int) -> Deletion | Incident:
        """Take up an entry. Raises ValueError if it is malformed, or of another shard."""
        found = decode(entry)
        if found.shard != shard:
            raise ValueError(f"it deletes in shard {found.shard}")
        if not isinstance(found, Erasure):
            self.retentions += [(index, part) for part in found.parts]
        else:
            self.erasures += [(index, first, count) for first, count in found.positions]
        return found

    def within(self, segments: tuple[int, int], positions: tuple[int, int]) -> Deletions:
        """Return those that touch the segments [first, end) or the positions [first, end)."""
        return Deletions(
            [(by, part) for by, part in self.retentions if part.first < segments[1] and segments[0] < part.end],
            [one for one in self.erasures if one[1] < positions[1] and positions[0] < one[1] + one[2]],
        )

    def of_segment(self, number: int, first: int, count: int) -> Named:
        """Return what is named in a segment."""
        sources: dict[int, int] = {}
        for by, part in self.retentions:
            if part.first <= number < part.end:
                sources.update({source: by for source in part.sources if source not in sources})
        positions: dict[int, int] = {}
        for by, low, length in self.erasures:
            for position in range(max(low, first), min(low + length, first + count)):
                positions.setdefault(position, by)
        return Named(sources, positions)


def missing(found: dict[int, int], by: int | None, records: int, what: str) -> None:
    """Count missing records for the entry that names them. Raises ValueError if none does."""
    if by is None:
        raise ValueError(f"{what} has no bytes, and no entry of the log says that it was deleted")
    found[by] = found.get(by, 0) + records
