"""The stateful half: all correlations over event time, ready to be stored with the reader's position."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from watchbill.engine.detect.arrivals import Arrivals
from watchbill.engine.detect.book import Book, Shared
from watchbill.engine.detect.clocks import Clocks
from watchbill.engine.detect.columns import Columns
from watchbill.engine.detect.correlation import Correlation
from watchbill.engine.detect.groups import Group, Plan
from watchbill.engine.detect.journal import Journal, Row, Where
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.spill import Spill
from watchbill.engine.detect.windows import Entry

#: So many events are held in memory; the groups beyond are kept on disk.
MOST_HELD = 250_000
_GROUP: msgspec.msgpack.Decoder[Group] = msgspec.msgpack.Decoder(Group)
#: Changes when states are kept in another way.
_FORMAT = 2


class Grown(NamedTuple):
    """A group in which something became evidence. ``where`` is the tier that is applied and the group-by values."""

    rule: Rule
    where: Where
    evidence: list[Entry]
    total: int


class Correlator:
    """Keeps the groups of all correlations. ``folder`` is where groups go that memory has no room for."""

    def __init__(
        self,
        rules: Iterable[Rule],
        clocks: Clocks | None = None,
        folder: Path | None = None,
        most_held: int = MOST_HELD,
    ) -> None:
        self.rules = {rule.name: rule for rule in rules}
        #: Stored states that could not be used: of rules that changed or went, or damaged.
        self.discarded = 0
        self.most_held = most_held
        self.clocks = clocks or Clocks()
        self._journal, self._spill = Journal(), Spill(folder)
        self._order = [rule for rule in self.rules.values() if rule.correlation]
        self._users: dict[str, list[Rule]] = defaultdict(list)
        for rule in self._order:
            for name in _correlation(rule).rules:
                self._users[name].append(rule)
        self._books: dict[str, Book] = {}
        self._arrivals: dict[str, Arrivals] = {}
        shared = Shared(self.clocks, self._journal, self._spill)
        for number, rule in enumerate(self._order):
            book = self._books[rule.name] = Book(number, rule.name, _version(rule), self._plan(rule), shared)
            self._arrivals[rule.name] = Arrivals(_correlation(rule), self._fields_for(rule.name), book)
        self._stale: list[Row] = []

    def wants(self, rule: str) -> bool:
        """Whether any correlation counts the matches of this rule."""
        return rule in self._users

    def feed(self, batches: Iterable[Mapping[str, Columns]]) -> list[Grown]:
        """Judge the matches of some small batches by base rule: parts of the batch's columns.

        What has to be known of a batch is taken out before the next is asked for, while the processor's caches hold it.
        """
        for matched in batches:
            for name in {user.name: None for base in matched for user in self._users.get(base, ())}:
                self._arrivals[name].enter(matched)
        return self._run(final=None)

    def tick(self, now: int) -> list[Grown]:
        """Judge what time alone decides. ``now`` is the clock of the installation, when all that arrived is judged."""
        self.clocks.received = max(self.clocks.received, now)
        return self._run(final=None)

    def finish(self, until: int | None = None) -> list[Grown]:
        """Judge all that is still open: nothing comes any more, and it is ``until`` (as late as the last event)."""
        return self._run(final=self.clocks.newest if until is None else until)

    def _run(self, final: int | None) -> list[Grown]:
        passed: dict[str, list[tuple[str, Entry]]] = defaultdict(list)
        grown: list[Grown] = []
        for rule in self._order:
            book = self._books[rule.name]
            waits = book.plan.correlation.waits
            if rule.name in passed:
                self._arrivals[rule.name].enter_passed(passed.pop(rule.name))
            groups = book.arrivals()
            if waits:
                due = book.due() if final is None else book.all_waiting()
                groups = list({id(group): group for group in (*groups, *due)}.values())
            for group in groups:
                told = book.judge(group, final)
                if told.evidence:
                    grown.append(Grown(rule, group.where, told.evidence, group.total))
                for user in self._users.get(rule.name, ()):
                    passed[user.name] += [
                        (rule.name, _passed_on(entry, rule, group)) for entry in told.evidence + told.fired
                    ]
            if waits:
                book.again(due)
        return grown

    def restore(self, states: Iterable[tuple[str, bytes]]) -> None:
        """Take back what ``dirty`` gave; what no longer fits its rule is dropped (and then told by ``dirty``)."""
        journal: list[tuple[str, bytes]] = []
        for key, blob in states:
            if Journal.holds(key):
                journal.append((key, blob))
                continue
            try:
                if Clocks.holds(key):
                    self.clocks.restore(blob)
                else:
                    self._restore(key, _GROUP.decode(blob))
            except ValueError:
                self._stale.append((key, None))
                self.discarded += 1
        for row, frame in self._journal.restore(journal):
            book = self._books.get(frame.rule)
            if book is None or book.version != frame.version:
                self._journal.forgo(row, len(frame.facts))
                self.discarded += 1
                continue
            try:
                book.reread(row, frame)
            except ValueError:
                self.discarded += 1
            self._make_room()
        self.discarded += self._journal.damaged
        for book in self._books.values():
            book.settle()

    def _restore(self, key: str, group: Group) -> None:
        book = self._books.get(group.rule)
        if book is None or book.version != group.version:
            self._stale.append((key, None))
            self.discarded += 1
        else:
            book.restore(group)

    def dirty(self) -> list[Row]:
        """What changed since the last call, to be stored together with the position; None is to be deleted."""
        rows, self._stale = self._stale, []
        for book in self._books.values():
            rows += book.take()
            book.prune()
        rows += self._journal.take()
        if rows:
            rows += self.clocks.take()
        self._make_room()
        return rows

    def forget_changes(self) -> None:
        """Nothing is stored: let go of what ``dirty`` would give."""
        for book in self._books.values():
            book.forget_changes()
            book.prune()
        self._make_room()

    @property
    def spilled(self) -> int:
        """Groups that are kept on disk."""
        return len(self._spill)

    @property
    def unusable(self) -> int:
        """Events without a number where one is summed up or averaged."""
        return sum(one.unusable for one in self._arrivals.values())

    def __len__(self) -> int:
        return sum(map(len, self._books.values())) + len(self._spill)

    def _make_room(self) -> None:
        """Write groups to disk, those of the largest correlations first, until few enough events are in memory."""
        held = sum(book.held for book in self._books.values())
        for book in sorted(self._books.values(), key=attrgetter("held"), reverse=True):
            if held <= self.most_held:
                return
            before = book.held
            book.spill(0.5)
            held -= before - book.held

    def _plan(self, rule: Rule) -> Plan:
        correlation = _correlation(rule)
        inner = [self._books[name].plan for name in correlation.rules if name in self._books]
        delay = max(
            (plan.delay + (plan.reach + self.clocks.most if plan.correlation.waits else 0) for plan in inner), default=0
        )
        timespan = max(tier.timespan for tier in (correlation.default, *correlation.tiers.values()))
        return Plan(correlation, delay, timespan + delay, bool(inner), rule.name in self._users)

    def _fields_for(self, name: str, seen: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """The fields that correlations following this rule will ask for."""
        wanted: dict[str, None] = {}
        for user in self._users.get(name, ()):
            correlation = _correlation(user)
            asked = [correlation.field_of(name, field) for field in correlation.group_by]
            wanted.update(dict.fromkeys((*asked, *correlation.fields)))
            if user.name not in seen:
                wanted.update(dict.fromkeys(self._fields_for(user.name, seen | {name})))
        return tuple(wanted)


def _correlation(rule: Rule) -> Correlation:
    assert rule.correlation is not None  # noqa: S101 - the caller chose correlations
    return rule.correlation


def _passed_on(entry: Entry, rule: Rule, group: Group) -> Entry:
    correlation = _correlation(rule)
    span = entry.span if correlation.waits else correlation.tier(group.where[0]).timespan
    return msgspec.structs.replace(entry, fires=entry.fired, origin=group.state_key[:16], span=span)


def _version(rule: Rule) -> str:
    """A digest of what the kept windows depend on."""
    return hashlib.sha256(repr((_FORMAT, rule.name, rule.correlation)).encode()).hexdigest()[:16]
