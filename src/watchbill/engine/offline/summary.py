"""What a person wants to see first: hits by rule, with hosts, times and a few examples that differ."""

from __future__ import annotations

from collections import Counter

from watchbill.core.values import Severity
from watchbill.engine.detect import Rule
from watchbill.engine.offline.triage import Hit

_MOST_HOSTS = 10_000
_MOST_KINDS = 1_000


class Row:
    """One rule: how often, where and when it was met, and ``examples`` that differ in host or in those involved."""

    def __init__(self, rule: Rule, examples: int) -> None:
        self.rule = rule
        self.severity = Severity.INFORMATIONAL
        self.count = 0
        self.hosts: Counter[str] = Counter()
        self.first = 1 << 62
        self.last = 0
        self.examples: list[Hit] = []
        self._most = examples
        self._kinds: set[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]] = set()

    def add(self, hit: Hit) -> None:
        self.count += hit.count
        if hit.severity.rank > self.severity.rank:
            self.severity = hit.severity
        if hit.host in self.hosts or len(self.hosts) < _MOST_HOSTS:
            self.hosts[hit.host] += hit.count
        self.first, self.last = min(self.first, hit.first), max(self.last, hit.last)
        kind = (hit.host, tuple(sorted(hit.entities.items())))
        if len(self.examples) < self._most and len(self._kinds) < _MOST_KINDS and kind not in self._kinds:
            self._kinds.add(kind)
            self.examples.append(hit)


class Summary:
    """Collects hits; ``rows`` are the rules, worst and oftenest first."""

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self._rows: dict[str, Row] = {}

    def add(self, hit: Hit) -> None:
        row = self._rows.get(hit.rule.name)
        if row is None:
            row = self._rows[hit.rule.name] = Row(hit.rule, self._examples)
        row.add(hit)

    @property
    def rows(self) -> list[Row]:
        return sorted(self._rows.values(), key=lambda row: (-row.severity.rank, -row.count, row.rule.name))

    @property
    def hosts(self) -> set[str]:
        return {host for row in self._rows.values() for host in row.hosts if host}
