"""Rules as they are loaded: Sigma documents checked whole, each either able to run or a Problem with its place."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import msgspec

from watchbill.core.clock import SystemClock
from watchbill.core.errors import ContentError, Place
from watchbill.core.memory import collector_paused
from watchbill.core.values import Criticality, Severity
from watchbill.engine.detect.conditions import Expression
from watchbill.engine.detect.correlation import Correlation
from watchbill.engine.detect.documents import MAX_BYTES, Map, documents
from watchbill.engine.detect.governance import Governance, RuleTest
from watchbill.engine.detect.modifiers import Placeholders
from watchbill.engine.detect.routing import Route
from watchbill.sdk.events import LogSource
from watchbill.sdk.rules import RuleInfo

#: Of a file, which may hold several rules. A document itself is bounded in ``documents``.
_MOST_BYTES = 4 * MAX_BYTES


class Problem(NamedTuple):
    """Why a rule does not run, and where it says so."""

    place: Place
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class Rule(msgspec.Struct, frozen=True):
    """One document that can run: a detection (``expression`` on events of ``route``) or a ``correlation``.

    ``alerts`` is false for a rule that only feeds correlations (and does not say ``generate``).
    """

    name: str
    id: str
    title: str
    level: Severity
    path: str
    line: int
    text: str
    meta: Map
    governance: Governance
    route: Route = Route()
    expression: Expression | None = None
    correlation: Correlation | None = None
    alerts: bool = True
    #: Titles of the filters that take something out of it.
    filters: tuple[str, ...] = ()

    @property
    def tests(self) -> tuple[RuleTest, ...]:
        return self.governance.tests

    def severity(self, criticality: Criticality) -> Severity:
        """How bad this rule is on an asset of this criticality."""
        if self.correlation and criticality in self.correlation.tiers:
            return self.correlation.tiers[criticality].level
        return self.governance.levels.get(criticality, self.level)


class RuleSet(msgspec.Struct, frozen=True, dict=True):
    """All rules that run, by their order in the files, and all that do not."""

    rules: tuple[Rule, ...]
    problems: tuple[Problem, ...]
    #: When the first of its filters ends and the rules have to be loaded anew (UTC nanoseconds); 0 for never.
    ends: int = 0

    @cached_property
    def by_name(self) -> dict[str, Rule]:
        return {rule.name: rule for rule in self.rules}

    @cached_property
    def infos(self) -> dict[str, RuleInfo]:
        """What people are told of each rule that alerts, by its name."""
        return {rule.name: _info(rule, self.by_name) for rule in self.rules if rule.alerts}


def load_rules(
    files: Iterable[Path],
    placeholders: Placeholders | None = None,
    now: int | None = None,
    cache: Path | None = None,
) -> RuleSet:
    """Load Sigma rules; the order of the files does not matter. Never raises for what stands in a file.

    ``placeholders`` are the values for ``expand``; a rule that needs others is a Problem, as is every rule that
    cannot run: no rule is left out silently. Filters that are over at ``now`` (UTC nanoseconds) do not count.
    ``cache`` is a file of our own that makes the next start with the same rules quick (see ``cache``).
    """
    from watchbill.engine.detect.cache import recall, remember  # they need the classes above

    now = SystemClock().now() if now is None else now
    read: dict[Path, bytes | OSError] = {}
    for path in sorted(set(files), key=str):
        try:
            read[path] = _bytes(path)
        except OSError as error:
            read[path] = error
    with collector_paused():
        found = None if cache is None else recall(cache, read, placeholders or {}, now)
        if found is None:
            found = _load(read, placeholders or {}, now)
            if cache is not None:
                remember(cache, found, read, placeholders or {}, now)
    return found


def _bytes(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is no regular file")
    if status.st_size > _MOST_BYTES:
        raise OSError(f"it is larger than {_MOST_BYTES} bytes")
    return path.read_bytes()


def _load(read: Mapping[Path, bytes | OSError], placeholders: Placeholders, now: int) -> RuleSet:
    from watchbill.engine.detect.sigma import Loader

    loader = Loader(placeholders, now)
    for path, data in read.items():
        if isinstance(data, OSError):
            loader.problems.append(Problem(Place(str(path)), f"the file cannot be read: {data}"))
            continue
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            loader.problems.append(Problem(Place(str(path)), f"the file cannot be read: {error}"))
            continue
        try:
            for line, document in documents(str(path), text):
                loader.add(path, line, document, text)
        except ContentError as error:
            loader.refuse(error)
    return loader.finish()


def parse_rules(
    text: str, file: str = "rule.yml", now: int | None = None, placeholders: Placeholders | None = None
) -> RuleSet:
    """Load rules from text, as from a file of that name."""
    from watchbill.engine.detect.sigma import Loader

    loader = Loader(placeholders or {}, SystemClock().now() if now is None else now)
    try:
        for line, document in documents(file, text):
            loader.add(Path(file), line, document, text)
    except ContentError as error:
        loader.refuse(error)
    return loader.finish()


def _info(rule: Rule, known: Mapping[str, Rule]) -> RuleInfo:
    meta, governance = rule.meta, rule.governance
    return RuleInfo(
        id=rule.name,
        title=rule.title,
        description=str(meta.get("description") or "").strip(),
        severity=rule.level,
        controls=governance.controls,
        owner=governance.owner,
        rationale=governance.rationale,
        response=governance.response,
        false_positives=_texts(meta, "falsepositives"),
        tags=_texts(meta, "tags"),
        status=str(meta.get("status") or ""),
        path=rule.path,
        text=rule.text,
        tiers=tuple(_tiers(rule)),
        extra={
            "sigma_id": rule.id,
            "author": str(meta.get("author") or ""),
            "references": list(_texts(meta, "references")),
            "filters": list(rule.filters),
        },
        logsources=tuple(sorted(_logsources(rule, known))),
    )


def _logsources(rule: Rule, known: Mapping[str, Rule]) -> set[LogSource]:
    if rule.correlation:
        return {one for name in rule.correlation.rules if name in known for one in _logsources(known[name], known)}
    said = rule.meta.get("logsource")
    return {LogSource(*(str(said.get(name) or "") for name in LogSource._fields))} if isinstance(said, dict) else set()


def _tiers(rule: Rule) -> Iterable[tuple[str, str, str]]:
    from watchbill.engine.detect.why import threshold_words

    for criticality in reversed(Criticality):
        if rule.correlation and rule.correlation.tiers:
            words = threshold_words(rule.correlation, rule.correlation.tier(criticality))
            yield criticality.value, words, rule.severity(criticality).value
        elif rule.governance.levels:
            yield criticality.value, "each match", rule.severity(criticality).value


def _texts(meta: Map, key: str) -> tuple[str, ...]:
    value = meta.get(key) or ()
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),) if value else ()
