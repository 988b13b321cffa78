"""The stateless half: which rules does each event match, whatever came before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from watchbill.engine.detect.program import Program
from watchbill.engine.detect.rules import Rule
from watchbill.sdk.events import Event, LogSource

_MAX_ROUTES = 4_096


class Match(NamedTuple):
    """The rule of that name matches the event at that place of the batch."""

    rule: str
    at: int


class Matcher:
    """Sorts a batch by kind of event and runs the program of each kind, compiled when it is first needed."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = [rule for rule in rules if rule.expression is not None]
        self._programs: dict[tuple[LogSource, int], Program | None] = {}

    def match(self, events: Sequence[Event]) -> list[Match]:
        """All matches of a batch, by the events' order. Quarantined events are judged like any other."""
        kinds: dict[tuple[LogSource, int], list[int]] = defaultdict(list)
        for index, event in enumerate(events):
            kinds[event.logsource, event.class_uid].append(index)
        found: list[tuple[int, str]] = []
        for kind, indexes in kinds.items():
            program = self._program(kind)
            if program is None:
                continue
            names = program.run([events[index] for index in indexes])
            found += [
                (index, name) for index, matched in zip(indexes, names, strict=True) if matched for name in matched
            ]
        found.sort(key=_by_index)
        return [Match(name, index) for index, name in found]

    def _program(self, kind: tuple[LogSource, int]) -> Program | None:
        try:
            return self._programs[kind]
        except KeyError:
            if len(self._programs) >= _MAX_ROUTES:
                self._programs.clear()
        rules = [rule for rule in self.rules if rule.route.takes(*kind)]
        program = Program(rules) if rules else None
        self._programs[kind] = program
        return program


def _by_index(found: tuple[int, str]) -> int:
    return found[0]
