"""Which of a batch's matches a correlation counts: the groups that they belong to, and what tells them apart there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from msgspec.structs import replace

from watchbill.engine.detect.book import Book
from watchbill.engine.detect.columns import Columns
from watchbill.engine.detect.correlation import NUMBERS, Correlation, number_of
from watchbill.engine.detect.journal import Key
from watchbill.engine.detect.windows import Entry


class Arrived(NamedTuple):
    """What matched one base rule, with the key of the group and the tag of each event."""

    part: Columns
    keys: list[Key]
    tags: list[str]


class Arrivals:
    """For one correlation and its book. ``carried`` are the fields that correlations which follow it will ask for."""

    def __init__(self, correlation: Correlation, carried: tuple[str, ...], book: Book) -> None:
        self.correlation, self.carried, self.book = correlation, carried, book
        #: Events without a number where one is summed up or averaged.
        self.unusable = 0

    def enter(self, matched: Mapping[str, Columns]) -> None:
        """Put what is new of all base rules into the book. An event that matched several of them counts once, but for
        temporal kinds.
        """
        correlation, book = self.correlation, self.book
        arrived = [self._arrived(name, matched[name]) for name in correlation.rules if name in matched]
        if len(arrived) > 1 and not correlation.kind.startswith("temporal"):
            arrived = _once(arrived)
        for one in arrived:
            if not one.keys:
                continue
            if not book.holds:
                book.place(one.keys, self._entries(one))
                continue
            weights = one.part.weights
            heavy = (
                [key for key, weight in zip(one.keys, weights, strict=True) if weight > 1] if max(weights) > 1 else ()
            )
            book.hold(one.keys, one.part.helds(one.tags, self._carries(one.part), book.row), heavy)

    def enter_passed(self, given: Iterable[tuple[str, Entry]]) -> None:
        """Put in what inner correlations told: their events by their names."""
        correlation = self.correlation
        keys: list[Key] = []
        entries: list[Entry] = []
        for name, told in given:
            tag = self._tag(name, [told.carried.get(field, "") for field in correlation.fields])
            if tag is None:
                continue
            where = [told.carried.get(correlation.field_of(name, field), "") for field in correlation.group_by]
            carried = {field: told.carried.get(field, "") for field in self.carried}
            keys.append((told.criticality if correlation.split else None, *where))
            entries.append(replace(told, tag=tag, told=False, fired=False, carried=carried, row=self.book.row))
        self.book.place(keys, entries)

    def _entries(self, arrived: Arrived) -> list[Entry]:
        """The events as groups hold them."""
        made, row = arrived.part.entries(), self.book.row
        for entry, tag in zip(made, arrived.tags, strict=True):
            entry.tag, entry.row = tag, row
        if self.correlation.kind in NUMBERS:
            for entry in made:
                entry.weight = 1
        for entry, carried in zip(made, self._carries(arrived.part), strict=False):
            entry.carried = carried
        return made

    def _arrived(self, name: str, part: Columns) -> Arrived:
        correlation = self.correlation
        part, tags = self._tags(name, part)
        values = [part.text(correlation.field_of(name, field)) for field in correlation.group_by]
        if self.book.single:
            return Arrived(part, [*values[0]], tags)
        tiers = part.criticalities if correlation.split else [None] * len(part)
        return Arrived(part, list(zip(tiers, *values, strict=True)), tags)

    def _tags(self, name: str, part: Columns) -> tuple[Columns, list[str]]:
        """The events that have what is counted, and their tags."""
        columns = [part.text(field) for field in self.correlation.fields]
        if not columns:
            return part, [self._tag(name, ()) or ""] * len(part)
        if self.correlation.kind == "value_count" and len(columns) == 1 and all(columns[0]):
            return part, columns[0]
        found = [self._tag(name, values) for values in zip(*columns, strict=True)]
        tags = [tag for tag in found if tag is not None]
        if len(tags) < len(found):
            part = part.part([at for at, tag in enumerate(found) if tag is not None])
        return part, tags

    def _tag(self, name: str, values: Sequence[str]) -> str | None:
        """What tells events apart: the rule, the counted values or the number; None for an event without them."""
        correlation = self.correlation
        if not correlation.fields:
            return "" if correlation.kind == "event_count" else name
        if correlation.kind == "value_count" or (correlation.kind == "value_percentile" and not correlation.percentile):
            return "\0".join(values) if all(values) else None
        number = number_of(values[0])
        if number is None:
            self.unusable += 1
            return None
        return str(number)

    def _carries(self, part: Columns) -> list[dict[str, str]]:
        if not self.carried:
            return []
        columns = [part.text(field) for field in self.carried]
        return [dict(zip(self.carried, values, strict=True)) for values in zip(*columns, strict=True)]


def _once(arrived: Sequence[Arrived]) -> list[Arrived]:
    """Without what stands there twice: the same event in the same group with the same tag."""
    if len(set(chain.from_iterable(part.rows for part, _, _ in arrived))) == sum(len(part) for part, _, _ in arrived):
        return list(arrived)
    known: set[tuple[int, Key, str]] = set()
    left = []
    for part, keys, tags in arrived:
        said = list(zip(part.rows, keys, tags, strict=True))
        places = [at for at, one in enumerate(said) if one not in known]
        known.update(said)
        left.append(Arrived(part.part(places), [keys[at] for at in places], [tags[at] for at in places]))
    return left
