"""The sources of a shard: who they are, and which sequence comes next for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from watchbill.core import canonical
from watchbill.ledger.segment import Drop, Run


class SourceFacts(NamedTuple):
    """What is known of a source: its number in the shard, its name, its transport, and what its receiver said of it."""

    number: int
    name: str
    transport: str
    facts: dict[str, str]

    def registration(self) -> bytes:
        """Return the record (of source 0) that registers it."""
        return canonical.dumps(
            {"facts": self.facts, "name": self.name, "source": self.number, "transport": self.transport}
        )

    @classmethod
    def from_registration(cls, raw: bytes) -> SourceFacts:
        """Read a registration record. Raises ValueError."""
        try:
            body = json.loads(raw)
            return cls(int(body["source"]), str(body["name"]), str(body["transport"]), dict(body["facts"]))
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"this record registers no source: {error}") from error


@dataclass(slots=True)
class Sources:
    """The sources as they stand after some record: the next sequence of each, and the facts by number."""

    following: dict[int, int] = field(default_factory=lambda: {0: 1})
    facts: dict[int, SourceFacts] = field(default_factory=dict)

    def copy(self) -> Sources:
        return Sources(dict(self.following), dict(self.facts))

    def take(self, runs: Sequence[Run], drops: Sequence[Drop], bodies: Sequence[bytes | None]) -> None:
        """Carry on over the records of a segment. Raises ValueError if sequences do not follow on, or leave undeclared gaps."""
        at = 0
        lost = {(drop.source, drop.sequence): drop for drop in drops}
        for run in runs:
            self._pass_drops(run.source, lost)
            due = self.following.get(run.source)
            if run.sequence != due:
                raise ValueError(f"source {run.source}: sequence {run.sequence} where {due} is due")
            self.following[run.source] = due + run.records
            if run.source == 0:
                for raw in bodies[at : at + run.records]:
                    self.register(SourceFacts.from_registration(raw or b""))
            at += run.records
        self._end(drops, lost)

    def pass_over(self, ranges: Sequence[tuple[int, int, int, int]], drops: Sequence[Drop]) -> None:
        """Carry on over a segment of which only the manifest is left. Raises ValueError if sequences do not follow on."""
        lost = {(drop.source, drop.sequence): drop for drop in drops}
        for source, first, last, records in ranges:
            self._pass_drops(source, lost)
            inside = [key for key in lost if key[0] == source and first < key[1] <= last]
            missed = sum(lost.pop(key).lost for key in inside)
            if (self.following.get(source), records + missed) != (first, last - first + 1):
                raise ValueError(f"source {source}: sequences {first} to {last} do not follow on")
            self.following[source] = last + 1
        self._end(drops, lost)

    def register(self, known: SourceFacts) -> None:
        self.facts[known.number] = known
        self.following.setdefault(known.number, 1)

    def _end(self, drops: Sequence[Drop], lost: dict[tuple[int, int], Drop]) -> None:
        for source in {drop.source for drop in drops}:
            self._pass_drops(source, lost)
        if lost:
            source, sequence = min(lost)
            raise ValueError(f"source {source}: a drop at sequence {sequence} does not follow on")

    def _pass_drops(self, source: int, lost: dict[tuple[int, int], Drop]) -> None:
        while drop := lost.pop((source, self.following.get(source, 0)), None):
            self.following[source] = drop.sequence + drop.lost

    def dump(self) -> dict[str, Any]:
        """Return a value that canonical JSON can spell: {number: [next sequence, name, transport, facts]}."""
        known = {str(n): [self.following[n], f.name, f.transport, f.facts] for n, f in self.facts.items()}
        return {"0": [self.following[0]], **known}

    @classmethod
    def load(cls, value: dict[str, Any]) -> Sources:
        """Read it back. Raises ValueError, TypeError, KeyError or AttributeError if it is something else."""
        found = cls({int(number): fields[0] for number, fields in value.items()})
        for number, (_, *fields) in value.items():
            if number != "0":
                found.facts[int(number)] = SourceFacts(int(number), *fields)
        return found
