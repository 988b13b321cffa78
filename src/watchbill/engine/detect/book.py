"""All groups of one correlation: those far from their threshold as bare lists, the others as groups, the rest on disk.

Most groups never get near what their rule wants. Such a group is a list of events under its key (``held``): nothing of
them is read, and what it gained is written with that of all others. It becomes a ``Group`` when it may meet the condition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, compress, islice
from operator import attrgetter
from typing import NamedTuple

import msgspec

from watchbill.core.clock import SECOND
from watchbill.engine.detect.agenda import Agenda
from watchbill.engine.detect.clocks import Clocks
from watchbill.engine.detect.groups import MOST_ENTRIES, Group, Plan, Told
from watchbill.engine.detect.held import Held, enough, may_meet, read
from watchbill.engine.detect.journal import Frame, Journal, Key, Row, Where, packed
from watchbill.engine.detect.spill import Spill
from watchbill.engine.detect.windows import Entry

#: Into so many parts the reach is divided, after each of which some keys are looked at.
_PARTS = 8
_PROMPT = 2 * SECOND
_AT_ONCE = 2_000
#: So many groups are looked at together: few enough that they stay in the processor's caches meanwhile.
_FEW = 500
_FACTS, _TAG = attrgetter("facts"), attrgetter("tag")
_LISTS: msgspec.msgpack.Decoder[list[Held]] = msgspec.msgpack.Decoder(list[Held])
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
        correlation = plan.correlation
        #: A list of so many events becomes a group, whatever they are: its events are worth folding.
        self._enough = min(MOST_ENTRIES, 1 if plan.chained or correlation.waits else enough(correlation))
        #: Whether events far from the threshold are held as bare lists: ``hold`` takes them, else ``place``.
        self.holds = self._enough > 1
        #: Whether the one value of the one group-by field is the key of a group.
        self.single = self.holds and not correlation.split and len(correlation.group_by) == 1
        self._waits = correlation.waits
        self._tagged = correlation.kind != "event_count"
        self._plain: dict[Key, list[Held]] = {}
        self._groups: dict[Key, Group] = {}
        #: What came since the groups were last asked for: to lists that may be near their threshold by now, to lists
        #: with an event that counts more than once, and to groups.
        self._near: dict[Key, None] = {}
        self._heavy: dict[Key, None] = {}
        self._arrived: dict[Key, list[Held | Entry]] = {}
        whole = plan.reach + self._clocks.most
        #: By event time, and for what waits by time of receipt too.
        self._agenda = Agenda(_PROMPT if self._waits else max(1, whole // _PARTS))
        self._alarms = Agenda(_PROMPT)
        self._changed: dict[Key, Group] = {}
        self._fresh_keys: list[Key] = []
        self._fresh: list[Held | Entry] = []
        #: The row of the journal that will hold what is fresh, 0 before anything is.
        self._row = 0
        #: Stored groups that hold nothing any more, while the journal still has events of theirs.
        self._graves: dict[str, int] = {}
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._plain) + len(self._groups)

    @property
    def row(self) -> int:
        """The row of the journal that the next events will be in."""
        if not self._row:
            self._row = self._journal.reserve()
        return self._row

    def hold(self, keys: Sequence[Key], helds: Sequence[Held], heavy: Iterable[Key] = ()) -> None:
        """Add to the bare lists, or to the groups that lists became. ``heavy`` are the keys of events that count more
        than once: their lists become groups.
        """
        self._fetch(keys)
        self.held += len(helds)
        self._fresh_keys += keys
        self._fresh += helds
        plain, groups, enough = self._plain, self._groups, self._enough
        near, arrived = self._near, self._arrived
        new: list[Key] = []
        for key, held in zip(keys, helds, strict=True):
            found = plain.get(key)
            if found is not None:
                found.append(held)
                if len(found) >= enough:
                    near[key] = None
            elif groups and key in groups:
                arrived.setdefault(key, []).append(held)
            else:
                plain[key] = [held]
                new.append(key)
        if new:
            self._agenda.add(self._clocks.newest + self.plan.reach + self._clocks.most, new)
        self._heavy.update((key, None) for key in heavy if key in plain)

    def place(self, keys: Sequence[Key], entries: Sequence[Entry]) -> None:
        """Add to the groups."""
        self._fetch(keys)
        self.held += len(entries)
        for key, entry in zip(keys, entries, strict=True):
            self._arrived.setdefault(key, []).append(entry)

    def arrivals(self) -> list[Group]:
        """The groups that are to be judged because of what was added since the last call."""
        arrived, plain = self._arrived, self._plain
        for key in self._near:
            if key not in self._heavy and self._may_meet(key, plain[key]):
                arrived[key] = [*plain.pop(key)]
        for key in self._heavy:
            arrived[key] = [*plain.pop(key)]
        self._near, self._heavy, self._arrived = {}, {}, {}
        return [self._group(key, some) for key, some in arrived.items()]

    def _may_meet(self, key: Key, helds: Sequence[Held]) -> bool:
        if len(helds) >= MOST_ENTRIES:
            return True
        if self._tagged and len(set(map(_TAG, helds))) < self._enough:
            return False
        correlation = self.plan.correlation
        return may_meet(helds, correlation, correlation.tier(self._where(key)[0]))

    def _where(self, key: Key) -> Where:
        return (None, key) if isinstance(key, str) else key

    def _key(self, group: Group) -> Key:
        return group.where[1] if self.single else group.where

    def _group(self, key: Key, some: Iterable[Held | Entry]) -> Group:
        """The group with its new events."""
        arrivals = [one.entry() if isinstance(one, Held) else one for one in some]
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(self.name, self.version, self._where(key))
            self._agenda.add(self._clocks.newest + self.plan.reach + self._clocks.most, (key,))
        fresh, changed = group.add(arrivals)
        if len(fresh) < len(arrivals):
            new = set(map(id, fresh))
            self._release([entry for entry in arrivals if id(entry) not in new])
            changed = changed or self.holds
        if changed:
            self._changed[key] = group
        elif not self.holds:
            self._fresh_keys += [key] * len(fresh)
            self._fresh += fresh
        if self._waits and fresh and fresh[0] is group.entries[0]:
            self._await(group)
        return group

    def judge(self, group: Group, final: int | None = None) -> Told:
        """Judge a group, and let go of what it lets go of."""
        before = group.entries
        told = group.judge(self.plan, self._clocks, final=final)
        if told.changed:
            self._changed[self._key(group)] = group
            if len(group.entries) < len(before):
                kept = set(map(id, group.entries))
                self._release([entry for entry in before if id(entry) not in kept])
        if not group.entries:
            self._end(group)
        return told

    def due(self) -> list[Group]:
        """The groups that wait for time to pass, of which enough may have passed."""
        found: dict[Key, Group] = {}
        clocks = self._clocks
        for key in (*self._agenda.take(clocks.newest), *self._alarms.take(clocks.received)):
            if group := self._groups.get(key):
                found[key] = group
        for key, blob in self._spill.due(self.number, max(clocks.newest, clocks.received), _AT_ONCE):
            self._hold(key, blob)
            found[key] = self._groups[key]
        return list(found.values())

    def all_waiting(self) -> list[Group]:
        """All groups that wait for time to pass, those on disk among them."""
        for key, blob in self._spill.due(self.number, 1 << 62, -1):
            self._hold(key, blob)
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
        keys = self._agenda.take(clocks.newest)
        for key, blob in self._spill.due(self.number, clocks.newest, _AT_ONCE):
            self._hold(key, blob)
            keys.append(key)
        again: dict[int, list[Key]] = defaultdict(list)
        for start in range(0, len(keys), _FEW):
            self._prune_some(list(dict.fromkeys(keys[start : start + _FEW])), again)
        for number, some in again.items():
            self._agenda.add(number * self._agenda.part, some)

    def _prune_some(self, keys: Sequence[Key], again: dict[int, list[Key]]) -> None:
        """Of some keys; those that still hold something are put into ``again``, by the part of time to look at them."""
        plain, clocks, part = self._plain, self._clocks, self._agenda.part
        whole, soonest = self.plan.reach + clocks.most, clocks.newest + part
        held = [key for key in keys if key in plain]
        for key in keys if len(held) < len(keys) else ():
            if key not in plain and (last := self._prune_group(key)):
                again[max(last + whole, soonest) // part].append(key)
        lists = list(map(plain.__getitem__, held))
        every = list(chain.from_iterable(lists))
        over = clocks.over(every, self.plan.reach)
        start = 0
        for key, helds, end in zip(held, lists, accumulate(map(len, lists)), strict=True):
            gone, start = over[start:end], end
            count = gone.count(True)
            if count == len(gone):
                del plain[key]
                continue
            if count and False not in gone[:count]:
                del helds[:count]  # the oldest, as nearly always
            elif count:
                helds[:] = [held for held, is_over in zip(helds, gone, strict=True) if not is_over]
            again[max(helds[-1].time + whole, soonest) // part].append(key)
        self._release(list(compress(every, over)))

    def _prune_group(self, key: Key) -> int:
        group = self._groups.get(key)
        if group is None:
            return 0
        group.prune(self._clocks, self.plan.reach, self._release)
        if group.entries:
            return group.entries[-1].time
        self._end(group)
        return 0

    def take(self) -> list[Row]:
        """What is to be stored (None: deleted) since the last call, the journal's rows aside."""
        changed, rows, graves = self._changed, self._rows, self._graves
        keys, fresh, row = self._fresh_keys, self._fresh, self._row
        self._forget_fresh()
        for group in changed.values():
            # Stored whole they need no row; that of what is fresh is not written yet and does not count them.
            self._journal.release(group.entries)
            for entry in group.entries:
                entry.row = 0
        if changed:
            left = [key not in changed for key in keys]
            keys, fresh = list(compress(keys, left)), list(compress(fresh, left))
        if fresh:
            tags = list(map(_TAG, fresh)) if self.holds and self._tagged else []
            facts = list(map(_FACTS if self.holds else packed, fresh))
            self._journal.add(row, self.name, self.version, keys, tags, facts)
        rows += [self._whole(group) for group in changed.values() if group.entries]
        if graves:
            oldest = self._journal.oldest(self.name)
            over = [key for key, added in graves.items() if added < oldest]
            for key in over:
                del graves[key]
            rows += [(key, None) for key in over]
        return rows

    def forget_changes(self) -> None:
        """Nothing is stored."""
        self._forget_fresh()
        self._graves.clear()

    def _forget_fresh(self) -> None:
        self._fresh_keys, self._fresh, self._row = [], [], 0
        self._changed, self._rows = {}, []

    def _whole(self, group: Group) -> Row:
        group.added, group.stored = self._journal.last, True
        key = group.state_key
        self._graves.pop(key, None)
        return key, packed(group)

    def _end(self, group: Group) -> None:
        """Let go of a group that holds nothing. What it told stays known while the journal has events of it."""
        key = self._key(group)
        self._groups.pop(key, None)
        self._changed[key] = group
        if group.stored or group.total or self._waits:
            group.added, group.covered = self._journal.last, []
            name = group.state_key
            self._graves[name] = group.added
            self._rows.append((name, packed(group)))

    def _release(self, entries: Sequence[Held] | Sequence[Entry]) -> None:
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
        key = self._key(group)
        self._agenda.add(max(at, clocks.newest + self._agenda.part), (key,))
        received = [entry.received + timespan for entry, timespan in ends if entry.received]
        if received:
            self._alarms.add(max(min(received) + wait, clocks.received + self._alarms.part), (key,))

    # Memory and disk.

    def spill(self, share: float) -> None:
        """Write such a share of the groups to disk, those first that are there for longest. Nothing may be fresh."""
        rows: list[tuple[Key, int, bytes]] = []
        for key in list(islice(self._plain, int(len(self._plain) * share) + 1)):
            helds = self._plain.pop(key)
            self.held -= len(helds)
            rows.append((key, helds[-1].time + self.plan.reach + self._clocks.most, b"L" + packed(helds)))
        if self._waits:
            holding = (key for key, group in self._groups.items() if group.entries)
            for key in list(islice(holding, int(len(self._groups) * share) + 1)):
                group = self._groups.pop(key)
                self.held -= len(group.entries)
                due = min((entry.received or entry.time) for entry in group.entries) + self.plan.reach
                rows.append((key, due, b"G" + packed(group)))
        self._spill.put(self.number, rows)

    def _fetch(self, keys: Iterable[Key]) -> None:
        if len(self._spill):
            away = set(keys).difference(self._plain).difference(self._groups)
            for key, blob in self._spill.take(self.number, away):
                self._hold(key, blob)

    def _hold(self, key: Key, blob: bytes) -> None:
        """Take back what was on disk."""
        if blob.startswith(b"G"):
            group = self._groups[key] = _GROUPS.decode(blob[1:])
            self.held += len(group.entries)
            self._await(group)
        else:
            helds = self._plain[key] = _LISTS.decode(blob[1:])
            self.held += len(helds)
            last = helds[-1].time + self.plan.reach + self._clocks.most
            self._agenda.add(max(last, self._clocks.newest + self._agenda.part), (key,))

    # After a restart.

    def restore(self, group: Group) -> None:
        """Take back a group that was stored whole."""
        self._groups[self._key(group)] = group
        self.held += len(group.entries)
        self._journal.last = max(self._journal.last, group.added)
        if not group.entries:
            self._graves[group.state_key] = group.added

    def reread(self, row: int, frame: Frame) -> None:
        """Take back what groups gained; what is part of a group that was stored whole since then is not needed.

        Raises ValueError for what is damaged.
        """
        self._fetch(frame.groups)
        tags = frame.tags or [""] * len(frame.facts)
        for key, tag, raw in zip(frame.groups, tags, frame.facts, strict=True):
            group = self._groups.get(key)
            if group is not None and frame.number <= group.added:
                self._journal.forgo(row, 1)
                continue
            facts = bytes(raw)
            entry = read(facts)
            entry.tag, entry.row = tag or entry.tag, row
            self.held += 1
            if group is not None:
                group.add([entry])
            elif self.holds and entry.weight == 1:
                self._plain.setdefault(key, []).append(Held.of(entry, facts))
            else:
                group = self._groups[key] = Group(self.name, self.version, self._where(key))
                group.add([*(held.entry() for held in self._plain.pop(key, ())), entry])

    def settle(self) -> None:
        """All is read: note when to look at what."""
        for key in [key for key, group in self._groups.items() if not group.entries]:
            del self._groups[key]
        if self._waits:
            self.again(self._groups.values())
        else:
            self._agenda.add(self._clocks.newest, (*self._plain, *self._groups))
