"""The lake's columns: what of an event is hot enough for a column of its own, and how rows are made from events.

Everything else of the OCSF event stays in one JSON column, and the raw record stays in the ledger, by reference
(shard, position). Times are UTC nanoseconds as 64-bit integers: Delta's own timestamps stop at microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import repeat
from types import NoneType
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import orjson

from watchbill.core.clock import DAY

if TYPE_CHECKING:
    from arro3.core import Array, RecordBatch, Schema

#: Columns that hold one OCSF attribute as it is, in the order of the table.
HOT = {
    "activity_id": "activity_id",
    "status_id": "status_id",
    "severity_id": "severity_id",
    "user": "user.name",
    "actor_user": "actor.user.name",
    "src_ip": "src_endpoint.ip",
    "dst_ip": "dst_endpoint.ip",
    "process": "process.name",
    "service": "service.name",
}
NUMBERS = frozenset({"activity_id", "status_id", "severity_id"})
#: Attributes that are left out at rest because OCSF derives them from others; reading puts them back.
_DERIVED = (
    "class_uid", "category_uid", "type_uid", "time", "message", "metadata.version", "device.hostname",
)  # fmt: skip
#: What is taken out of an event's attributes: the hot ones first, then those that are not kept.
_TAKEN = (*HOT.values(), *_DERIVED)
_NOTHING = repeat(None)
#: A message longer than this is cut at rest; the whole of it stays in the raw record.
MESSAGE_LIMIT = 32_768
_CUT = " … [cut here; the raw record has all of it]"
OCSF_VERSION = "1.8.0"


class Event(Protocol):
    """What the lake reads of an event (watchbill.sdk.Event is one): times in UTC nanoseconds, ``ocsf`` flat."""

    class_uid: int
    ocsf: dict[str, Any]
    message: str
    time: int
    host: str
    parser: str
    source: str
    received: int
    shard: int
    position: int
    flaw: str


class Row(msgspec.Struct, frozen=True):
    """One event at rest. ``ocsf`` is flat (dotted path to value) and whole again; times are UTC nanoseconds."""

    shard: int
    position: int
    time: int
    received: int
    source: str
    parser: str
    class_uid: int
    host: str
    message: str
    flaw: str
    rules: tuple[str, ...]
    ocsf: dict[str, Any]

    @property
    def id(self) -> str:
        """The event's name for ever: its place in the ledger, "shard-position"."""
        return f"{self.shard}-{self.position}"


#: What a search selects, in the order that ``row`` expects.
SELECTED = (
    "shard", "position", "time", "received", "source", "parser", "class_uid", "host", "message", "flaw", "rules",
    "ocsf", *HOT,
)  # fmt: skip


def schema() -> Schema:
    """The table's Arrow schema; ``day`` (of receipt, UTC) is the partition."""
    from arro3.core import DataType, Field, Schema

    long, number, text = DataType.int64(), DataType.int32(), DataType.utf8()
    types = [
        ("shard", number), ("position", long), ("time", long), ("received", long), ("source", text), ("parser", text),
        ("class_uid", number), ("host", text),
        *((name, number if name in NUMBERS else text) for name in HOT),
        ("message", text), ("flaw", text), ("rules", text), ("ocsf", text), ("day", text),
    ]  # fmt: skip
    return Schema([Field(name, kind, nullable=True) for name, kind in types])


def batch(events: Sequence[Event], rules: Sequence[tuple[str, ...]]) -> RecordBatch:
    """Turn events (and the names of the rules that each of them met) into one Arrow record batch, column by column."""
    from arro3.core import Array, DataType, RecordBatch

    if not events:
        return RecordBatch({name: Array([], schema().field(name).type) for name in schema().names}, schema=schema())
    hot: list[list[Any]] = []
    rests = []
    for event in events:
        rest = event.ocsf.copy()
        hot.append([*map(rest.pop, _TAKEN, _NOTHING)])
        rests.append(_rest(rest))
    long, number = DataType.int64(), DataType.int32()
    received = [event.received for event in events]
    columns: dict[str, Any] = {
        "shard": Array([event.shard for event in events], number),
        "position": Array([event.position for event in events], long),
        "time": Array([event.time for event in events], long),
        "received": Array(received, long),
        "source": _text_array([event.source for event in events]),
        "parser": _text_array([event.parser for event in events]),
        "class_uid": Array([event.class_uid for event in events], number),
        "host": _text_array([event.host for event in events]),
    }
    for name, values in zip(HOT, zip(*hot, strict=True), strict=False):
        columns[name] = Array(_numbers(values), number) if name in NUMBERS else _text_array(_texts(values))
    columns |= {
        "message": _text_array(_shortened([event.message for event in events])),
        "flaw": _text_array([event.flaw or None for event in events]),
        "rules": _text_array([f" {' '.join(names)} " if names else None for names in rules]),
        "ocsf": _text_array(rests),
        "day": _text_array(_days(received)),
    }
    return RecordBatch(columns, schema=schema())


def row(values: Sequence[Any]) -> Row:
    """Turn what ``SELECTED`` selected back into an event; the OCSF attributes are put together again."""
    shard, position, time, received, source, parser, class_uid, host, message, flaw, rules, rest, *hot = values
    ocsf: dict[str, Any] = {"class_uid": class_uid, "category_uid": class_uid // 1000, "time": time // 1_000_000}
    ocsf |= {path: value for path, value in zip(HOT.values(), hot, strict=True) if value is not None}
    ocsf["type_uid"] = class_uid * 100 + ocsf.get("activity_id", 0)
    ocsf |= {"metadata.version": OCSF_VERSION, "message": message}
    if host:
        ocsf["device.hostname"] = host
    if rest:
        ocsf |= orjson.loads(rest)
    return Row(
        shard, position, time, received, source, parser, class_uid, host, message, flaw or "",
        tuple(rules.split()) if rules else (), ocsf,
    )  # fmt: skip


def day_of(ns: int) -> str:
    """The UTC day of a time, as the partition is named."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=ns // DAY)).strftime("%Y-%m-%d")


def _days(times: Sequence[int]) -> Sequence[str]:
    first, last = min(times) // DAY, max(times) // DAY
    names = {number: day_of(number * DAY) for number in {first, last}}
    if len(names) == 1:
        return [names[first]] * len(times)
    return [names.get(ns // DAY) or day_of(ns) for ns in times]


def _numbers(values: Sequence[Any]) -> Sequence[int | None]:
    if set(map(type, values)) == {int} and min(values) >= -0x8000_0000 and max(values) < 0x8000_0000:
        return values
    return [value if type(value) is int and -0x8000_0000 <= value < 0x8000_0000 else None for value in values]


def _texts(values: Sequence[Any]) -> Sequence[str | None]:
    if set(map(type, values)) <= {str, NoneType}:
        return values
    return [value if value is None or type(value) is str else str(value) for value in values]


def _text_array(values: Sequence[str | None]) -> Array:
    from arro3.core import Array, DataType

    try:
        return Array(values, DataType.utf8())
    except UnicodeEncodeError:  # half a surrogate pair, as JSON may spell it
        mended = [value and value.encode(errors="replace").decode() for value in values]
        return Array(mended, DataType.utf8())


def _shortened(messages: Sequence[str]) -> Sequence[str]:
    if max(map(len, messages)) <= MESSAGE_LIMIT:
        return messages
    return [one if len(one) <= MESSAGE_LIMIT else one[:MESSAGE_LIMIT] + _CUT for one in messages]


def _rest(rest: dict[str, Any]) -> str | None:
    if not rest:
        return None
    try:
        return orjson.dumps(rest).decode()
    except (TypeError, ValueError):  # integers beyond 64 bits, lone surrogates: rare, and no reason to lose the event
        return orjson.dumps({name: _plain(value) for name, value in rest.items()}).decode()


def _plain(value: Any) -> Any:
    try:
        orjson.dumps(value)
    except (TypeError, ValueError):
        return ascii(value)
    return value
