"""What groups gained, in rows that are few however many groups there are.

A batch is one frame for each rule: the groups that gained events, and what is stored of these. Frames lie behind each other in a
row; when there are many small rows of a rule, they are joined into one, which needs no look at what they hold. A row is
deleted when none of its events is held any more. Restored, the frames are read again in their order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec

Row = tuple[str, bytes | None]
#: (criticality or None, values of the group-by fields …): which group of a rule.
Where = tuple[Any, ...]
#: A group as books look it up: its Where, or the one value where there are no tiers and one group-by field. That is one
#: object less to touch for every event.
Key = str | Where

_PREFIX = "added-"
_JOINED = 16
_LARGE = 1 << 18
_LENGTH = 4
_ROW = attrgetter("row")


class Stored(Protocol):
    """What knows the row that holds it, 0 for none."""

    row: int


class Frame(msgspec.Struct, array_like=True):
    """What the groups of a rule gained in one batch: ``facts`` are entries as MessagePack. Beside them stand the
    ``groups`` that they belong to and, where these are not among the facts, their ``tags``.
    """

    number: int
    rule: str
    version: str
    groups: list[Key]
    tags: list[str]
    facts: list[msgspec.Raw]


class _Small(msgspec.Struct):
    """A row that still may be joined with others."""

    number: int
    blob: bytes


class Journal:
    """Numbers rows and frames in the order in which they are written."""

    def __init__(self) -> None:
        #: The number of the last row or frame.
        self.last = 0
        #: Rows of which a part could not be read when they were restored.
        self.damaged = 0
        #: For each row the number of its events that are held.
        self._held: dict[int, int] = {}
        #: Which row a row was joined into.
        self._into: dict[int, int] = {}
        self._parts: dict[int, list[int]] = {}
        #: For each rule its rows, and the number of the first frame of each.
        self._since: dict[str, dict[int, int]] = defaultdict(dict)
        self._small: dict[str, list[list[_Small]]] = defaultdict(list)
        self._rows: dict[int, bytes | None] = {}

    def reserve(self) -> int:
        """The number that the next row is to have; what will be in it can be told so before it is written."""
        self.last += 1
        return self.last

    def add(self, number: int, rule: str, version: str, groups: list[Key], tags: list[str], facts: list[bytes]) -> None:
        """Write what groups of a rule gained as the row of a number that was reserved."""
        blob = framed(packed((number, rule, version, groups, tags)), facts)
        self._held[number] = len(facts)
        self._since[rule][number] = number
        self._put(rule, 0, _Small(number, blob))

    def release(self, entries: Sequence[Stored]) -> None:
        """Note that these events are not held any more, or stand elsewhere. Rows that are not written count nothing."""
        for number, count in Counter(map(_ROW, entries)).items():
            self.forgo(number, count)

    def forgo(self, number: int, count: int) -> None:
        """Note that so many events of a row are not held any more."""
        while number in self._into:
            number = self._into[number]
        if number in self._held:
            self._held[number] -= count
            if self._held[number] <= 0:
                self._drop(number)

    def take(self) -> list[Row]:
        """The rows to store and (None) to delete since the last call."""
        rows, self._rows = self._rows, {}
        return [(f"{_PREFIX}{number:020d}", blob) for number, blob in rows.items()]

    @staticmethod
    def holds(key: str) -> bool:
        """Whether a stored row is one of these."""
        return key.startswith(_PREFIX)

    def restore(self, rows: Iterable[tuple[str, bytes]]) -> Iterator[tuple[int, Frame]]:
        """Give the frames back in the order in which they were written, each with its row. Whoever does not keep an
        event forgoes it. A row that is damaged ends with what can be read of it.
        """
        for key, blob in sorted(rows):
            number = int(key.removeprefix(_PREFIX))
            frames = list(self._readable(blob))
            self._held[number] = sum(len(frame.facts) for frame in frames)
            self.last = max(self.last, number, *(frame.number for frame in frames))
            if not frames:
                self._drop(number)
            for frame in frames:
                self._since[frame.rule].setdefault(number, frame.number)
            for frame in frames:
                yield number, frame

    def oldest(self, rule: str) -> int:
        """The number of the rule's first frame that still is stored."""
        return min(self._since[rule].values(), default=self.last + 1)

    def _readable(self, blob: bytes) -> Iterator[Frame]:
        try:
            yield from framed_in(blob)
        except ValueError:
            self.damaged += 1

    def _put(self, rule: str, level: int, row: _Small) -> None:
        self._rows[row.number] = row.blob
        levels = self._small[rule]
        if level == len(levels):
            levels.append([])
        tail = levels[level]
        tail.append(row)
        if len(tail) >= _JOINED or sum(len(one.blob) for one in tail[-_JOINED:]) >= _LARGE:
            levels[level] = []
            self._join(rule, level, [one for one in tail if one.number in self._held])

    def _join(self, rule: str, level: int, rows: Sequence[_Small]) -> None:
        if len(rows) < 2:
            return
        self.last += 1
        number = self.last
        self._held[number] = sum(self._held.pop(one.number) for one in rows)
        self._parts[number] = [one.number for one in rows]
        since = self._since[rule]
        since[number] = min(since[one.number] for one in rows)
        for one in rows:
            self._into[one.number] = number
            del since[one.number]
            self._delete(one.number)
        blob = b"".join(one.blob for one in rows)
        if len(blob) < _LARGE:
            self._put(rule, level + 1, _Small(number, blob))
        else:
            self._rows[number] = blob

    def _drop(self, number: int) -> None:
        del self._held[number]
        for since in self._since.values():
            since.pop(number, None)
        self._delete(number)
        parts = self._parts.pop(number, [])
        while parts:
            part = parts.pop()
            self._into.pop(part, None)
            parts += self._parts.pop(part, [])

    def _delete(self, number: int) -> None:
        self._rows[number] = None


def packed(value: object) -> bytes:
    """MessagePack. Text that is no Unicode is replaced, as it is when it is shown."""
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        return msgspec.msgpack.encode(clean(msgspec.to_builtins(value)))


def framed(head: bytes, facts: Sequence[bytes]) -> bytes:
    """A frame behind its length. Its head is an array of five; the sixth is the array of facts, of which no copy more
    is made than this one: they are most of what is stored.
    """
    start = b"\x96" + head[1:] + b"\xdd" + len(facts).to_bytes(4, "big")
    length = len(start) + sum(map(len, facts))
    return b"".join((length.to_bytes(_LENGTH, "big"), start, *facts))


def framed_in(blob: bytes) -> Iterator[Frame]:
    """The frames of a row. Raises ValueError for a damaged one."""
    at = 0
    while at < len(blob):
        start = at + _LENGTH
        at = start + int.from_bytes(blob[at:start], "big")
        yield msgspec.msgpack.decode(blob[start:at], type=Frame)


def clean(value: Any) -> Any:
    """A value in which text that is no Unicode is replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {clean(key): clean(one) for key, one in value.items()}
    return [clean(one) for one in value] if isinstance(value, list) else value
