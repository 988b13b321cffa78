"""Rules are tried on the records that they carry as tests: through the real parsers and the real engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from watchbill.core.clock import SystemClock
from watchbill.engine.detect import RuleSet, run_rule_test
from watchbill.engine.detect.governance import RuleTest
from watchbill.engine.normalise import Normaliser
from watchbill.ledger import SourceFacts, StoredRecord
from watchbill.sdk import Detection, Parser


class Trial(msgspec.Struct, frozen=True):
    """One inline test and how it went; ``problem`` is empty when it passed."""

    rule: str
    test: str
    path: str
    line: int
    problem: str


def try_rules(ruleset: RuleSet, parsers: Sequence[Parser]) -> Iterator[Trial]:
    """Run every inline test of every rule that alerts."""
    clock = SystemClock()
    for rule in ruleset.rules:
        for test in rule.tests:
            normaliser = Normaliser(parsers, clock=clock)
            source = SourceFacts(1, "test", "trial", {"format": test.format})
            now = clock.now()
            records = [
                (StoredRecord(position, raw.encode(), 1, now, 0, position + 1), source, 0)
                for position, raw in enumerate(test.records)
            ]
            events = normaliser.normalise(records)
            found = run_rule_test(ruleset, rule.name, events, test.criticality, test.until)
            yield Trial(rule.name, test.name, str(ruleset.infos[rule.name].path), test.line, _problem(test, found))


def _problem(test: RuleTest, found: Sequence[Detection]) -> str:
    if len(found) != test.alerts:
        groups = ", ".join(str(dict(one.group)) for one in found)
        return f"{len(found)} alerts instead of {test.alerts}" + (f": {groups}" if groups else "")
    for one in found:
        if test.severity and one.severity is not test.severity:
            return f"severity {one.severity} instead of {test.severity}"
        for name, value in test.entities.items():
            wanted = {str(item) for item in (value if isinstance(value, (list, tuple)) else [value])}
            if not wanted <= set(one.entities.get(name, ())):
                return f"{name} is {', '.join(one.entities.get(name, ())) or 'missing'} instead of {', '.join(sorted(wanted))}"
    return ""
