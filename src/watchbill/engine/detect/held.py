"""Events far from any threshold: their facts stay the bytes that are stored of them, and are read when they matter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from operator import attrgetter, le, sub

import msgspec

from watchbill.engine.detect.conditions import And, Expression
from watchbill.engine.detect.correlation import Correlation
from watchbill.engine.detect.governance import Tier
from watchbill.engine.detect.predicates import Atom
from watchbill.engine.detect.windows import Entry, measure, qualifying

#: An event from its facts. Raises msgspec.MsgspecError.
read = msgspec.msgpack.Decoder(Entry).decode
_TIME = attrgetter("time")
_TAG = attrgetter("tag")


class Held(msgspec.Struct, array_like=True, gc=False):
    """A matched event of weight 1 in a bare list. ``facts`` is its Entry up to ``carried``, as MessagePack, and may be
    shared with the lists of other rules; the other fields are as there.
    """

    time: int
    source: str
    received: int
    late: bool
    facts: bytes
    tag: str = ""
    row: int = 0

    @property
    def weight(self) -> int:
        return 1

    def entry(self) -> Entry:
        """All of it."""
        entry = read(self.facts)
        entry.source, entry.tag, entry.row = self.source, self.tag, self.row
        return entry

    @classmethod
    def of(cls, entry: Entry, facts: bytes) -> Held:
        """An event that was read from its facts."""
        return cls(entry.time, entry.source, entry.received, entry.late, facts, entry.tag, entry.row)


def enough(correlation: Correlation) -> int:
    """How many events (or kinds of them) a group of a correlation that is judged at once needs before it is worth a look."""
    if correlation.kind == "value_sum":
        return 1
    if correlation.expression is not None:
        return _least_names(correlation.expression)
    return min(tier.gte for tier in (correlation.default, *correlation.tiers.values()))


def may_meet(helds: Sequence[Held], correlation: Correlation, tier: Tier) -> bool:
    """Whether any window meets the condition; that of ``temporal_ordered`` whatever the order."""
    if correlation.kind == "event_count":
        return _within(sorted(map(_TIME, helds)), tier.gte, tier.timespan)
    tags = set(map(_TAG, helds))
    if len(tags) < tier.gte:
        return False
    how = measure(correlation, tier)
    return how.met(len(helds), dict.fromkeys(tags, 1)) and bool(
        qualifying(sorted(helds, key=_TIME), tier.timespan, how)
    )


def _within(times: Sequence[int], count: int, timespan: int) -> bool:
    """Whether so many of these times, which are in order, lie at most ``timespan`` apart."""
    return any(map(le, map(sub, times[count - 1 :], times), repeat(timespan)))


def _least_names(expression: Expression) -> int:
    """At least so many different rules meet a condition without ``not``."""
    if isinstance(expression, Atom):
        return 1
    items = getattr(expression, "items", ())
    if not isinstance(expression, And):
        return min(map(_least_names, items), default=1)
    named = {item.field for item in items if isinstance(item, Atom)}
    return max(len(named), *map(_least_names, items))
