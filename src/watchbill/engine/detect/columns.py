"""The matched events of one batch, column by column: what every correlation is told of them.

Whatever is done for each event here is done by ``map`` and ``zip`` over functions of C: this is where most of the time
of correlating goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import repeat
from operator import itemgetter
from typing import Any, Self

import msgspec

from watchbill.core.values import Criticality
from watchbill.engine.detect.clocks import Clocks
from watchbill.engine.detect.evidence import MOST_CHARACTERS, NAMES, PLAIN, about, weight_of
from watchbill.engine.detect.fields import text_field
from watchbill.engine.detect.held import Held
from watchbill.engine.detect.journal import clean, packed
from watchbill.engine.detect.windows import About, Entry
from watchbill.sdk.events import Event

_encode = msgspec.msgpack.Encoder().encode
_FIELDS = Event.__struct_fields__
_cut = itemgetter(slice(MOST_CHARACTERS))
_TEXT, _NOTHING = {str}, {type(None)}
_TIME, _SHARD, _POSITION, _SOURCE, _RECEIVED, _LATE, _, _WEIGHT, _, _CRITICALITY, _, _OCSF, _NATIVE = range(13)
_ENTRY = range(_OCSF)


class Columns:
    """Events and their columns: the fields of ``Entry`` up to ``about``, then their OCSF and native fields. ``named`` are
    all fields that any has in OCSF.
    """

    def __init__(self, events: Sequence[Event], columns: Sequence[Sequence[Any]], named: AbstractSet[str]) -> None:
        self.events = events
        #: The events' places in the batch.
        self.rows: Sequence[int] = range(len(events))
        self._columns = columns
        self.named = named
        self._packed: list[bytes] | None = None
        self._texts: dict[str, list[str]] = {}
        self._places: dict[tuple[int, int], int] = {}

    @classmethod
    def of(cls, events: Sequence[Event], clocks: Clocks, criticality: Callable[[str], Criticality]) -> Self:
        """All of a batch in the order in which they came; moves the clocks of their sources."""
        fields = list(zip(*map(msgspec.structs.astuple, events), strict=True)) or [()] * len(_FIELDS)
        of: dict[str, Sequence[Any]] = dict(zip(_FIELDS, fields, strict=True))
        hosts, received, ocsf = of["host"], of["received"], of["ocsf"]
        seen = clocks.see_all(of["source"], hosts, of["time"], received)
        ranks = {host: criticality(host) for host in set(hosts)}
        named = set[str]().union(*ocsf)
        weights = list(map(weight_of, events)) if "count" in named else [1] * len(events)
        columns = (
            seen.times, of["shard"], of["position"], seen.sources, received, seen.late, seen.skewed, weights,
            list(map(_cut, of["message"])), list(map(ranks.__getitem__, hosts)), _abouts(events, ocsf, named),
            ocsf, of["native"],
        )  # fmt: skip
        return cls(events, columns, named)

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, number: int) -> Sequence[Any]:
        return self._columns[number]

    def packed(self) -> Sequence[bytes]:
        """The facts of each event as it is stored."""
        if self._packed is None:
            self._packed = _packed(*map(self.column, _ENTRY))
        return self._packed

    @property
    def weights(self) -> Sequence[int]:
        return self.column(_WEIGHT)

    @property
    def criticalities(self) -> Sequence[Criticality]:
        return self.column(_CRITICALITY)

    def part(self, places: Sequence[int]) -> Columns:
        """Some of them, by their places here, in their order."""
        return self if len(places) == len(self) else Part(self, places)

    def counted(self) -> Columns | None:
        """Those events that count at all; None without any."""
        if 0 not in self.weights:
            return self
        places = [place for place, weight in enumerate(self.weights) if weight]
        return self.part(places) if places else None

    def text(self, field: str) -> list[str]:
        """A column of ``text_field``; text that is no Unicode is replaced, as it is where it is stored."""
        if field not in self._texts:
            values: list[Any] = []
            if field in self.named:
                values = list(map(dict.get, self.column(_OCSF), repeat(field)))
            kinds = set(map(type, values))
            if kinds <= _NOTHING:
                values = list(map(dict.get, self.column(_NATIVE), repeat(field)))
                kinds = set(map(type, values))
            texts = values if kinds <= _TEXT else [text_field(event, field) for event in self.events]
            self._texts[field] = _unicode(texts)
        return self._texts[field]

    def entries(self) -> list[Entry]:
        """A new entry for each of them."""
        return list(map(Entry, *map(self.column, _ENTRY)))

    def helds(self, tags: Iterable[str], carried: Sequence[dict[str, str]], row: int) -> list[Held]:
        """Each of them as it is held in a bare list."""
        facts = _packed(*map(self.column, _ENTRY), carried) if carried else self.packed()
        heads = map(self.column, (_TIME, _SOURCE, _RECEIVED, _LATE))
        return list(map(Held, *heads, facts, tags, repeat(row)))

    def latest(self, entries: Sequence[Entry]) -> Event | None:
        """The event of the last of these entries that is among them."""
        if not self._places:
            keys = zip(self.column(_SHARD), self.column(_POSITION), strict=True)
            self._places = {key: place for place, key in enumerate(keys)}
        places = (self._places.get((entry.shard, entry.position)) for entry in reversed(entries))
        return next((self.events[place] for place in places if place is not None), None)


class Part(Columns):
    """Some of the events of other columns, which are taken out as they are asked for."""

    def __init__(self, whole: Columns, places: Sequence[int]) -> None:
        self._whole, self._choose = whole, _chooser(places)
        super().__init__(self._choose(whole.events), (), whole.named)
        self.rows = self._choose(whole.rows)
        self._found: dict[int, Sequence[Any]] = {}

    def column(self, number: int) -> Sequence[Any]:
        found = self._found.get(number)
        if found is None:
            found = self._found[number] = self._choose(self._whole.column(number))
        return found

    def packed(self) -> Sequence[bytes]:
        return self._choose(self._whole.packed())


def _abouts(events: Sequence[Event], ocsf: Sequence[dict[str, Any]], named: AbstractSet[str]) -> list[About]:
    """The column of ``evidence.about``. ``named`` are all fields that any of the events has."""
    absent = [None] * len(events)
    columns = [list(map(dict.get, ocsf, repeat(name))) if name in named else absent for name in NAMES]
    abouts: list[About] = list(zip(*columns, strict=True))
    kinds = {kind for column in columns if column is not absent for kind in set(map(type, column))}
    if kinds <= PLAIN and "resources" not in named:
        return abouts
    return [
        said if PLAIN.issuperset(map(type, said)) and "resources" not in event.ocsf else about(event)
        for said, event in zip(abouts, events, strict=True)
    ]


def _chooser(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Takes what stands at these places out of a column."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda column: [column[place] for place in places]


def _packed(*columns: Sequence[Any]) -> list[bytes]:
    try:
        return list(map(_encode, zip(*columns, strict=True)))
    except UnicodeEncodeError:
        return list(map(packed, zip(*columns, strict=True)))


def _unicode(texts: list[str]) -> list[str]:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return list(map(clean, texts))
    return texts
