"""How the open windows are stored: each group whole in a row of its own, and between two such writings as additions.

Most groups only gain an event or two in a batch, and nothing comes of it. Writing all of such a group each time would
cost the more the longer it is open. So what groups gained in a batch goes together into one row, and of the groups that
are behind the longest some are written whole, at a pace that follows what comes in: a row of additions is deleted when
no group needs it any more. Restored is the sum of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from watchbill.core.values import Criticality
from watchbill.engine.detect.groups import Group
from watchbill.engine.detect.windows import Entry

_ROW = "added-"
#: So many entries of groups that are behind are written with each batch, beside two for each new one.
PACE = 256

Row = tuple[str, bytes | None]


class _Addition(msgspec.Struct, array_like=True):
    """What a group gained; no entries at all (None) say that the group ended."""

    rule: str
    version: str
    criticality: Criticality | None
    key: tuple[str, ...]
    entries: list[Entry] | None


class States:
    """What of the groups is to be stored. A group is named by its ``state_key``."""

    def __init__(self, pace: int = PACE) -> None:
        self.pace = pace
        #: Rows that could not be read when they were restored.
        self.damaged = 0
        self._whole: dict[str, Group | None] = {}
        self._gained: dict[str, tuple[Group, list[Entry]]] = {}
        #: Groups of which a part stands in rows of additions alone, and in which row that begins; oldest first.
        self._behind: dict[str, tuple[Group, int]] = {}
        self._ended: dict[str, Group] = {}
        self._next = 1
        self._oldest = 1

    def gained(self, group: Group, entries: list[Entry]) -> None:
        """Note that nothing happened to the group but that it has these entries more."""
        key = group.state_key
        if key in self._whole:
            self._whole[key] = group
        elif key in self._gained:
            self._gained[key][1].extend(entries)
        else:
            self._gained[key] = group, list(entries)

    def changed(self, group: Group) -> None:
        """Note that the group has to be written whole."""
        self._whole[group.state_key] = group

    def ended(self, group: Group) -> None:
        """Note that the group is no more."""
        key = group.state_key
        self._whole[key] = None
        self._ended[key] = group

    def take(self) -> list[Row]:
        """The rows to store and (None) to delete since the last call."""
        if not self._whole and not self._gained:
            return []
        whole, self._whole = self._whole, {}
        gained = {key: found for key, found in self._gained.items() if key not in whole}
        self._gained = {}
        self._catch_up(whole, gained)
        for group in whole.values():
            if group:
                group.added = self._next - 1
        rows: list[Row] = [(key, msgspec.msgpack.encode(group) if group else None) for key, group in whole.items()]
        additions = [_addition(group, entries) for key, (group, entries) in gained.items() if key not in whole]
        if self._oldest < self._next:  # else there are no additions of groups that ended
            additions += [_addition(group, None) for key, group in self._ended.items() if whole.get(key) is None]
        self._ended = {}
        if additions:
            rows.append((_row(self._next), msgspec.msgpack.encode(additions)))
            self._next += 1
        first = next((number for _, number in self._behind.values()), self._next)
        rows += [(_row(number), None) for number in range(self._oldest, first)]
        self._oldest = first
        return rows

    def _catch_up(self, whole: dict[str, Group | None], gained: Mapping[str, tuple[Group, list[Entry]]]) -> None:
        """Choose which groups are written whole although they only gained something: those that are behind longest."""
        for key in whole:
            self._behind.pop(key, None)
        for key, (group, _) in gained.items():
            self._behind.setdefault(key, (group, self._next))
        left = self.pace + 2 * sum(len(entries) for _, entries in gained.values())
        while self._behind and left > 0:
            key = next(iter(self._behind))
            group, _ = self._behind.pop(key)
            whole[key] = group
            left -= len(group.entries)

    def restore(self, rows: Iterable[tuple[str, bytes]]) -> list[Group]:
        """Give the groups back; rows that cannot be read are deleted with the next ones that are taken."""
        groups: dict[str, Group] = {}
        additions: list[tuple[int, list[_Addition]]] = []
        for key, blob in rows:
            try:
                if key.startswith(_ROW):
                    number = int(key.removeprefix(_ROW))
                    additions.append((number, msgspec.msgpack.decode(blob, type=list[_Addition])))
                else:
                    groups[key] = msgspec.msgpack.decode(blob, type=Group)
            except (msgspec.MsgspecError, ValueError):
                self._whole[key] = None
                self.damaged += 1
        additions.sort(key=lambda row: row[0])
        numbers = [number for number, _ in additions]
        self._next = max([0, *numbers, *(group.added for group in groups.values())]) + 1
        self._oldest = min(numbers, default=self._next)
        for number, row in additions:
            for addition in row:
                self._add(groups, number, addition)
        return list(groups.values())

    def _add(self, groups: dict[str, Group], number: int, addition: _Addition) -> None:
        group = Group(addition.rule, addition.version, addition.criticality, addition.key)
        key = group.state_key
        known = groups.get(key)
        if known is not None and known.added >= number:
            return
        if addition.entries is None:
            groups.pop(key, None)
            self._behind.pop(key, None)
            return
        group = groups.setdefault(key, group)
        group.add(addition.entries)
        self._behind.setdefault(key, (group, number))


def _addition(group: Group, entries: list[Entry] | None) -> _Addition:
    return _Addition(group.rule, group.version, group.criticality, group.key, entries)


def _row(number: int) -> str:
    return f"{_ROW}{number:020d}"
