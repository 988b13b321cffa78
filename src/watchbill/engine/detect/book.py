"""All groups of one correlation: those far from their threshold as bare lists, the others as groups, the rest on disk.

Most groups never get near what their rule wants. Such a group is a list of events under its key: no window is looked at,
nothing is sorted, and what it gained is written with that of all others. It becomes a ``Group`` when it holds enough
events to be worth a look.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from watchbill.core.clock import SECOND
from watchbill.engine.detect.agenda import Agenda
from watchbill.engine.detect.clocks import Clocks
from watchbill.engine.detect.groups import Group, Plan, Told
from watchbill.engine.detect.journal import Frame, Journal, Row, Where, packed
from watchbill.engine.detect.spill import Spill
from watchbill.engine.detect.windows import Entry

#: A key with so many events becomes a group, whatever they are: its events are worth folding.
_MOST_PLAIN = 64
#: Into so many parts the reach is divided, after each of which some keys are looked at.
_PARTS = 8
_PROMPT = 2 * SECOND
_AT_ONCE = 2_000
_LISTS: msgspec.msgpack.Decoder[list[Entry]] = msgspec.msgpack.Decoder(list[Entry])
_GROUPS: msgspec.msgpack.Decoder[Group] = msgspec.msgpack.Decoder(Group)


class Shared(NamedTuple):
    """What all books have in common."""

    clocks: Clocks
    journal: Journal
    spill: Spill


class Book:
    """The groups of the rule ``name``. ``held`` counts the events that are in memory."""

    def __init__(self, number: int, name: str, version: str, plan: Plan, shared: Shared) -> None:
        self.number, self.name, self.version = number, name, version
        self.plan = plan
        self.held = 0
        self._clocks, self._journal, self._spill = shared
        self._enough = _enough(plan)
        self._tagged = plan.correlation.kind != "event_count"
        self._waits = plan.correlation.waits
        self._plain: dict[Where, list[Entry]] = {}
        self._groups: dict[Where, Group] = {}
        whole = plan.reach + self._clocks.most
        #: By event time, and for what waits by time of receipt too.
        self._agenda = Agenda(_PROMPT if self._waits else max(1, whole // _PARTS))
        self._alarms = Agenda(_PROMPT)
        self._changed: dict[Where, Group] = {}
        self._fresh: tuple[list[Where], list[Entry]] = ([], [])
        #: Stored groups that hold nothing any more, while the journal still has events of theirs.
        self._graves: dict[str, int] = {}
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._plain) + len(self._groups)

    def place(self, wheres: Sequence[Where], entries: Sequence[Entry]) -> list[Group]:
        """Put events into their groups; returns the groups that are to be judged."""
        self._fetch(wheres)
        self.held += len(entries)
        if self._enough > 1:
            near = self._append(wheres, entries)
        else:
            near = {}
            for where, entry in zip(wheres, entries, strict=True):
                near.setdefault(where, []).append(entry)
        return [group for where, found in near.items() if (group := self._group(where, found))]

    def _append(self, wheres: Sequence[Where], entries: Sequence[Entry]) -> dict[Where, list[Entry]]:
        """Add to the bare lists; gives the keys that may be near their threshold, or are groups, with their events."""
        plain, groups, enough = self._plain, self._groups, self._enough
        self._fresh[0].extend(wheres)
        self._fresh[1].extend(entries)
        near: dict[Where, list[Entry]] = {}
        new: list[Where] = []
        for where, entry in zip(wheres, entries, strict=True):
            found = plain.get(where)
            if found is not None:
                found.append(entry)
                if len(found) >= enough or entry.weight > 1:
                    near[where] = found
            elif groups and where in groups:
                near.setdefault(where, []).append(entry)
            else:
                plain[where] = found = [entry]
                new.append(where)
                if entry.weight > 1:
                    near[where] = found
        if new:
            self._agenda.add(self._clocks.newest + self.plan.reach + self._clocks.most, new)
        return near

    def _group(self, where: Where, arrivals: list[Entry]) -> Group | None:
        """The group with its new events; None when it stays a bare list."""
        if where in self._plain:
            tags = {entry.tag for entry in arrivals} if self._tagged else ()
            if self._tagged and len(tags) < self._enough and len(arrivals) < _MOST_PLAIN:
                return None
            del self._plain[where]
        group = self._groups.get(where)
        if group is None:
            group = self._groups[where] = Group(self.name, self.version, where)
            self._agenda.add(self._clocks.newest + self.plan.reach + self._clocks.most, (where,))
        fresh, changed = group.add(arrivals)
        self.held += len(fresh) - len(arrivals)
        if changed:
            self._changed[where] = group
        elif self._enough <= 1:
            self._fresh[0].extend([where] * len(fresh))
            self._fresh[1].extend(fresh)
        if self._waits and fresh and fresh[0] is group.entries[0]:
            self._await(group)
        return group

    def judge(self, group: Group, final: int | None = None) -> Told:
        """Judge a group, and let go of what it lets go of."""
        before = group.entries
        told = group.judge(self.plan, self._clocks, final=final)
        if told.changed:
            self._changed[group.where] = group
            if len(group.entries) < len(before):
                kept = set(map(id, group.entries))
                self._release([entry for entry in before if id(entry) not in kept])
        if not group.entries:
            self._end(group)
        return told

    def due(self) -> list[Group]:
        """The groups that wait for time to pass, of which enough may have passed."""
        found: dict[Where, Group] = {}
        clocks = self._clocks
        for where in (*self._agenda.take(clocks.newest), *self._alarms.take(clocks.received)):
            if group := self._groups.get(where):
                found[where] = group
        for where, blob in self._spill.due(self.number, max(clocks.newest, clocks.received), _AT_ONCE):
            self._hold(where, blob)
            found[where] = self._groups[where]
        return list(found.values())

    def all_waiting(self) -> list[Group]:
        """All groups that wait for time to pass, those on disk among them."""
        for where, blob in self._spill.due(self.number, 1 << 62, -1):
            self._hold(where, blob)
        return list(self._groups.values())

    def again(self, groups: Iterable[Group]) -> None:
        """Look again at groups that were due and still hold something."""
        for group in groups:
            if group.entries:
                self._await(group)

    def prune(self) -> None:
        """Let go of events that nothing can reach any more, of keys whose time has come. Nothing may be fresh."""
        if self._waits:
            return  # judging lets go of them
        clocks = self._clocks
        for where, blob in self._spill.due(self.number, clocks.newest, _AT_ONCE):
            self._hold(where, blob)
            self._look(where)
        for where in self._agenda.take(clocks.newest):
            self._look(where)

    def _look(self, where: Where) -> None:
        clocks, reach = self._clocks, self.plan.reach
        if (entries := self._plain.get(where)) is not None:
            left = [entry for entry in entries if not clocks.is_over(entry, reach)]
            if len(left) < len(entries):
                self._release([entry for entry in entries if clocks.is_over(entry, reach)])
            if not left:
                del self._plain[where]
                return
            self._plain[where] = left
        elif (group := self._groups.get(where)) is not None:
            group.prune(clocks, reach, self._release)
            left = group.entries
            if not left:
                self._end(group)
                return
        else:
            return
        last = max(entry.time for entry in left) + reach + clocks.most
        self._agenda.add(max(last, clocks.newest + self._agenda.part), (where,))

    def take(self) -> list[Row]:
        """What is to be stored (None: deleted) since the last call, the journal's rows aside."""
        wheres, entries = self._fresh
        changed = self._changed
        self._fresh, self._changed = ([], []), {}
        if changed:
            kept = [place for place, where in enumerate(wheres) if where not in changed]
            wheres, entries = [wheres[place] for place in kept], [entries[place] for place in kept]
        if entries:
            self._journal.add(self.name, self.version, wheres, entries)
        rows, self._rows = self._rows, []
        for group in changed.values():
            if group.entries:
                rows.append(self._whole(group))
        if self._graves:
            oldest = self._journal.oldest(self.name)
            over = [key for key, added in self._graves.items() if added < oldest]
            for key in over:
                del self._graves[key]
            rows += [(key, None) for key in over]
        return rows

    def forget_changes(self) -> None:
        """Nothing is stored."""
        self._fresh, self._changed, self._rows = ([], []), {}, []
        self._graves.clear()

    def _whole(self, group: Group) -> Row:
        self._journal.release(group.entries)
        group.added, group.stored = self._journal.last, True
        key = group.state_key
        self._graves.pop(key, None)
        return key, packed(group)

    def _end(self, group: Group) -> None:
        """Let go of a group that holds nothing. What it told stays known while the journal has events of it."""
        self._groups.pop(group.where, None)
        self._changed[group.where] = group
        if group.stored or group.total or self._waits:
            group.added, group.covered = self._journal.last, []
            key = group.state_key
            self._graves[key] = group.added
            self._rows.append((key, packed(group)))

    def _release(self, entries: Sequence[Entry]) -> None:
        self.held -= len(entries)
        self._journal.release(entries)

    def _await(self, group: Group) -> None:
        """Note when time alone may change what is to be said of a group."""
        clocks, correlation = self._clocks, self.plan.correlation
        wait = clocks.most + self.plan.delay
        ends = [
            (entry, correlation.tier(entry.criticality if correlation.absence else group.where[0]).timespan)
            for entry in group.entries
        ]
        at = min(entry.time + timespan for entry, timespan in ends) + wait
        self._agenda.add(max(at, clocks.newest + self._agenda.part), (group.where,))
        received = [entry.received + timespan for entry, timespan in ends if entry.received]
        if received:
            self._alarms.add(max(min(received) + wait, clocks.received + self._alarms.part), (group.where,))

    # Memory and disk.

    def spill(self, share: float) -> None:
        """Write such a share of the groups to disk, those first that are there for longest. Nothing may be fresh."""
        clocks = self._clocks
        rows: list[tuple[Where, int, bytes]] = []
        for where in list(islice(self._plain, int(len(self._plain) * share) + 1)):
            entries = self._plain.pop(where)
            self.held -= len(entries)
            rows.append((where, entries[-1].time + self.plan.reach + clocks.most, b"L" + packed(entries)))
        if self._waits:
            holding = (where for where, group in self._groups.items() if group.entries)
            for where in list(islice(holding, int(len(self._groups) * share) + 1)):
                group = self._groups.pop(where)
                self.held -= len(group.entries)
                due = min((entry.received or entry.time) for entry in group.entries) + self.plan.reach
                rows.append((where, due, b"G" + packed(group)))
        self._spill.put(self.number, rows)

    def _fetch(self, wheres: Iterable[Where]) -> None:
        if len(self._spill):
            away = {where for where in wheres if where not in self._plain and where not in self._groups}
            for where, blob in self._spill.take(self.number, away):
                self._hold(where, blob)

    def _hold(self, where: Where, blob: bytes) -> None:
        """Take back what was on disk."""
        if blob.startswith(b"G"):
            group = self._groups[where] = _GROUPS.decode(blob[1:])
            self.held += len(group.entries)
            self._await(group)
        else:
            entries = self._plain[where] = _LISTS.decode(blob[1:])
            self.held += len(entries)
            last = entries[-1].time + self.plan.reach + self._clocks.most
            self._agenda.add(max(last, self._clocks.newest + self._agenda.part), (where,))

    # After a restart.

    def restore(self, group: Group) -> None:
        """Take back a group that was stored whole."""
        self._groups[group.where] = group
        self.held += len(group.entries)
        self._journal.last = max(self._journal.last, group.added)
        if not group.entries:
            self._graves[group.state_key] = group.added

    def reread(self, frame: Frame) -> None:
        """Take back what groups gained; what is part of a group that was stored whole since then is not needed."""
        self._fetch(frame.groups)
        for where, entry in zip(frame.groups, frame.entries, strict=True):
            group = self._groups.get(where)
            if group is not None and frame.number <= group.added:
                self._journal.release((entry,))
                continue
            self.held += 1
            if group is None and self._enough > 1:
                self._plain.setdefault(where, []).append(entry)
                continue
            if group is None:
                group = self._groups[where] = Group(self.name, self.version, where)
            group.add([entry])

    def settle(self) -> None:
        """All is read: note when to look at what."""
        for where in [where for where, group in self._groups.items() if not group.entries]:
            del self._groups[where]
        if self._waits:
            self.again(self._groups.values())
        else:
            for where in (*self._plain, *self._groups):
                self._agenda.add(self._clocks.newest, (where,))


def _enough(plan: Plan) -> int:
    """How many events (or kinds of them) a group needs before it is worth a look."""
    correlation = plan.correlation
    if plan.chained or correlation.waits or correlation.kind == "value_sum" or correlation.expression:
        return 1
    tiers = (correlation.default, *correlation.tiers.values())
    return min(tier.gte for tier in tiers)
