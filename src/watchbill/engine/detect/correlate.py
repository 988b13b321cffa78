"""The stateful half: windows over event time, one group at a time, ready to be stored with the reader's position."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from watchbill.core.clock import MINUTE
from watchbill.core.values import Criticality
from watchbill.engine.detect.fields import text_field
from watchbill.engine.detect.groups import Gained, Group
from watchbill.engine.detect.rules import Correlation, Rule
from watchbill.engine.detect.states import States
from watchbill.engine.detect.windows import Entry
from watchbill.sdk.events import Event

LATENESS = 10 * MINUTE
#: How far ahead of its receipt an event's own time may be, before it is judged by its receipt.
MOST_AHEAD = 5 * MINUTE
MOST_GROUPS = 200_000
_MOST_CLOCKS = 50_000
_CLOCKS = "clocks"
_NOTHING: dict[str, str] = {}
#: What copy.copy would find each time anew; msgspec's type hints leave it out.
_copy: Callable[[Entry], Entry] = Entry.__copy__  # type: ignore[attr-defined]


class Grown(NamedTuple):
    """A group in which something became evidence."""

    rule: Rule
    group: Group
    evidence: list[Entry]


class _Clocks(msgspec.Struct):
    """The latest event time of each source (and host), and the latest time of receipt: no event from the future
    moves the former, since it is judged by its time of receipt.
    """

    latest: dict[str, int] = {}
    received: int = 0


class Correlator:
    """Keeps the groups of all correlations."""

    def __init__(self, rules: Iterable[Rule], lateness: int = LATENESS) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.lateness = lateness
        #: Groups that were given up to keep memory bounded.
        self.forgotten = 0
        #: Stored states that could not be used: of rules that changed or went, or damaged.
        self.discarded = 0
        self._order = [rule for rule in self.rules.values() if rule.correlation]
        self._users: dict[str, list[Rule]] = defaultdict(list)
        for rule in self._order:
            for name in _correlation(rule).rules:
                self._users[name].append(rule)
        self._chained = {
            rule.name: frozenset(
                name for name in _correlation(rule).rules if name in self.rules and self.rules[name].correlation
            )
            for rule in self._order
        }
        self._carried = {name: self._fields_for(name) for name in self.rules}
        self._versions = {rule.name: _version(rule) for rule in self._order}
        self._clocks = _Clocks()
        self._groups: dict[tuple[str, Criticality | None, tuple[str, ...]], Group] = {}
        self._sweep: list[tuple[str, Criticality | None, tuple[str, ...]]] = []
        self._texts: dict[tuple[str, str], str] = {}
        self.states = States()

    def wants(self, rule: str) -> bool:
        """Whether any correlation counts the matches of this rule."""
        return rule in self._users

    def enter(self, event: Event, make: Callable[[Event, int, bool], Entry]) -> Entry:
        """Make the entry of an event with the time that it is judged by; advances its source's clock."""
        time, skewed = event.time, False
        if event.received and time > event.received + MOST_AHEAD:
            time, skewed = event.received, True
        entry = make(event, time, skewed)
        source = entry.source = self._source_text(event)
        clocks = self._clocks
        clocks.received = max(clocks.received, event.received)
        latest = clocks.latest.get(source, 0)
        if time > latest:
            if len(clocks.latest) >= _MOST_CLOCKS and not latest:
                del clocks.latest[next(iter(clocks.latest))]
            clocks.latest[source] = time
        elif time < latest - self.lateness:
            entry.late = max(1, event.received)
        return entry

    def _source_text(self, event: Event) -> str:
        """One text object for each source and host, however many entries hold it."""
        pair = event.source, event.host
        text = self._texts.get(pair)
        if text is None:
            if len(self._texts) >= _MOST_CLOCKS:
                self._texts.clear()
            text = self._texts[pair] = f"{event.source}\0{event.host}"
        return text

    def feed(self, matched: Iterable[tuple[str, Event, Entry]]) -> list[Grown]:
        """Judge the matches of one batch: (base rule, event, its entry). Each event is evidence once for a group."""
        arrivals: dict[str, list[tuple[str, Entry, Mapping[str, str] | None, Event | None]]] = defaultdict(list)
        for name, event, entry in matched:
            for rule in self._users[name]:
                arrivals[rule.name].append((name, entry, None, event))
        grown: list[Grown] = []
        touched = 0
        for rule in self._order:
            waiting = arrivals.pop(rule.name, None)
            if not waiting:
                continue
            users = self._users.get(rule.name, [])
            for group, gained in self._place(rule, waiting):
                touched += 1
                told = group.judge(rule, bool(self._chained[rule.name]), bool(users))
                if told.changed or gained.changed:
                    self.states.changed(group)
                elif gained.fresh:
                    self.states.gained(group, gained.fresh)
                if told.evidence:
                    grown.append(Grown(rule, group, told.evidence))
                for user in users:
                    for entry in told.evidence + told.fired:
                        arrivals[user.name].append((rule.name, _passed_on(entry, rule, group), entry.carried, None))
        self._tidy(touched)
        return grown

    def restore(self, states: Iterable[tuple[str, bytes]]) -> None:
        """Take back what ``dirty`` gave; what no longer fits its rule is dropped (and then told by ``dirty``)."""
        rows = []
        for key, blob in states:
            if key != _CLOCKS:
                rows.append((key, blob))
                continue
            try:
                self._clocks = msgspec.msgpack.decode(blob, type=_Clocks)
            except msgspec.MsgspecError:
                self.discarded += 1
        groups = self.states.restore(rows)
        self.discarded += self.states.damaged
        for group in groups:
            where = group.rule, group.criticality, group.key
            if self._versions.get(group.rule) != group.version:
                self.states.ended(group)
                self.discarded += 1
            else:
                self._groups[where] = group
                self._prune(where)

    def dirty(self) -> list[tuple[str, bytes | None]]:
        """What changed since the last call, to be stored together with the position; None is to be deleted."""
        rows = self.states.take()
        return [*rows, (_CLOCKS, msgspec.msgpack.encode(self._clocks))] if rows else []

    def __len__(self) -> int:
        return len(self._groups)

    def _place(
        self, rule: Rule, waiting: list[tuple[str, Entry, Mapping[str, str] | None, Event | None]]
    ) -> list[tuple[Group, Gained]]:
        """Put arrivals into their groups; returns the groups that were touched, and how."""
        correlation = _correlation(rule)
        fields = self._carried[rule.name]
        group_by = {
            name: [correlation.aliases.get(field, {}).get(name, field) for field in correlation.group_by]
            for name in correlation.rules
        }
        touched: dict[tuple[str, Criticality | None, tuple[str, ...]], list[Entry]] = defaultdict(list)
        for name, seen, carried, event in waiting:
            if event is None:
                key, tag, carries = _passed(correlation, name, group_by[name], carried or {}, fields)
            else:
                key = tuple([text_field(event, field) for field in group_by[name]])
                tag = _tag(correlation, name, event)
                carries = {field: text_field(event, field) for field in fields} if fields else _NOTHING
            if tag is None:
                continue
            entry = _copy(seen)  # the same event stands in other groups too, with marks of its own
            entry.tag, entry.told, entry.fired, entry.carried = tag, False, False, carries
            touched[rule.name, entry.criticality if correlation.tiers else None, key].append(entry)
        groups = []
        for where, entries in touched.items():
            group = self._groups.pop(where, None) or Group(rule.name, self._versions[rule.name], *where[1:])
            self._groups[where] = group  # the latest touched stand last
            groups.append((group, group.add(entries)))
        return groups

    def _tidy(self, touched: int) -> None:
        """Prune some groups each time, more than were touched, so that what is over goes and the cost stays even."""
        for _ in range(64 + 2 * touched):
            if not self._sweep:
                self._sweep = list(self._groups)
                if not self._sweep:
                    return
            self._prune(self._sweep.pop())
        while len(self._groups) > MOST_GROUPS:
            where = next(iter(self._groups))
            self._drop(where, self._groups[where])
            self.forgotten += 1

    def _prune(self, where: tuple[str, Criticality | None, tuple[str, ...]]) -> None:
        group = self._groups.get(where)
        if group is None:
            return
        reach = _correlation(self.rules[group.rule]).tier(group.criticality).timespan + self.lateness
        # What goes here need not be stored: restored, it is pruned again.
        group.prune(self._clocks.latest, self._clocks.received, reach)
        if not group.entries:
            self._drop(where, group)

    def _drop(self, where: tuple[str, Criticality | None, tuple[str, ...]], group: Group) -> None:
        del self._groups[where]
        self.states.ended(group)

    def _fields_for(self, name: str, seen: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """The fields that correlations following this rule will ask for."""
        wanted: dict[str, None] = {}
        for user in self._users.get(name, ()):
            correlation = _correlation(user)
            asked = [correlation.aliases.get(field, {}).get(name, field) for field in correlation.group_by]
            wanted.update(dict.fromkeys((*asked, *correlation.fields)))
            if user.name not in seen:
                wanted.update(dict.fromkeys(self._fields_for(user.name, seen | {name})))
        return tuple(wanted)


def _correlation(rule: Rule) -> Correlation:
    assert rule.correlation is not None  # noqa: S101 - the caller chose correlations
    return rule.correlation


def _passed(
    correlation: Correlation, name: str, group_by: Sequence[str], carried: Mapping[str, str], fields: Iterable[str]
) -> tuple[tuple[str, ...], str | None, dict[str, str]]:
    """The key, the tag and the carried fields of an entry that an inner correlation passed on."""
    tag: str | None = "" if correlation.kind == "event_count" else name
    if correlation.kind == "value_count":
        tag = _joined([carried.get(field, "") for field in correlation.fields])
    key = tuple([carried.get(field, "") for field in group_by])
    return key, tag, {field: carried.get(field, "") for field in fields}


def _tag(correlation: Correlation, name: str, event: Event) -> str | None:
    """What tells events apart: the rule, or the counted value; None for an event without that value."""
    if correlation.kind == "event_count":
        return ""
    if correlation.kind != "value_count":
        return name
    return _joined([text_field(event, field) for field in correlation.fields])


def _joined(values: list[str]) -> str | None:
    return "\0".join(values) if all(values) else None


def _passed_on(entry: Entry, rule: Rule, group: Group) -> Entry:
    span = _correlation(rule).tier(group.criticality).timespan
    return msgspec.structs.replace(entry, fires=entry.fired, origin=group.state_key[:16], span=span)


def _version(rule: Rule) -> str:
    """A digest of what the kept windows depend on."""
    return hashlib.sha256(repr((rule.name, rule.correlation)).encode()).hexdigest()[:16]
