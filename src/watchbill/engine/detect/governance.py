"""The ``watchbill:`` key of a rule: who owns it, what it proves, and how bad it is on which asset."""

from __future__ import annotations

from typing import Any

import msgspec

from watchbill.core.errors import ContentError, Place, QueryError
from watchbill.core.times import from_rfc3339, parse_duration
from watchbill.core.values import Criticality, Severity
from watchbill.engine.detect.documents import Map

_KEYS = {"controls", "owner", "rationale", "response", "group-by", "tiers", "levels", "absence", "tests"}
_TEST_KEYS = {"name", "as", "criticality", "records", "until", "alerts", "severity", "entities"}
_TIER_KEYS = {"gte", "timespan", "level"}


class Tier(msgspec.Struct, frozen=True):
    """What a correlation wants on assets of one criticality: at least ``gte`` (0 when it asks something else) within
    ``timespan`` nanoseconds.
    """

    gte: int
    timespan: int
    level: Severity


class RuleTest(msgspec.Struct, frozen=True):
    """An example inside the rule: raw records and what this rule must make of them. ``until`` is the time up to which
    nothing else came (UTC nanoseconds); 0 says that nothing came any more at all.
    """

    name: str
    records: tuple[str, ...]
    alerts: int
    format: str = ""
    criticality: Criticality = Criticality.MEDIUM
    severity: Severity | None = None
    entities: dict[str, Any] = {}
    until: int = 0
    line: int = 0


class Governance(msgspec.Struct, frozen=True):
    """All of the key, validated. ``tiers`` hold what the rule says; what it leaves out comes from the correlation."""

    controls: tuple[str, ...] = ()
    owner: str = ""
    rationale: str = ""
    response: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("device.hostname",)
    absence: str = ""
    tiers: dict[Criticality, Map] = {}
    levels: dict[Criticality, Severity] = {}
    tests: tuple[RuleTest, ...] = ()


def read_governance(file: str, document: Map) -> Governance:
    """Read and check the key. Raises ContentError with file and line."""
    if "watchbill" not in document:
        return Governance()
    reader = _Reader(file)
    part = reader.mapping(document, "watchbill", _KEYS)
    levels = reader.by_criticality(part, "levels")
    tiers = reader.by_criticality(part, "tiers")
    return Governance(
        controls=reader.texts(part, "controls"),
        owner=reader.text(part, "owner"),
        rationale=reader.text(part, "rationale"),
        response=reader.texts(part, "response"),
        group_by=reader.texts(part, "group-by") or ("device.hostname",),
        absence=reader.text(part, "absence"),
        tiers={name: reader.mapping(tiers, name, _TIER_KEYS) for name in map(Criticality, tiers)},
        levels={name: reader.severity(levels, name) for name in map(Criticality, levels)},
        tests=tuple(reader.test(item, line) for item, line in reader.items(part, "tests")),
    )


def read_tiers(
    file: str, tiers: dict[Criticality, Map], default: Tier, *, counts: bool = True
) -> dict[Criticality, Tier]:
    """The tier of each criticality; what a tier does not say, it has from ``default``. Raises ContentError.

    ``counts`` says whether the correlation asks for "at least", so that a tier may ask for another number.
    """
    reader = _Reader(file)
    made = {}
    for name, tier in tiers.items():
        gte = tier.get("gte", default.gte)
        if "gte" in tier and (not isinstance(gte, int) or isinstance(gte, bool) or gte < 1):
            raise reader.fault(tier, "gte", "must be a whole number above 0")
        if "gte" in tier and not counts:
            raise reader.fault(tier, "gte", "has no place where the correlation does not ask for at least a number")
        timespan = read_timespan(file, tier) if "timespan" in tier else default.timespan
        made[name] = Tier(gte, timespan, reader.severity(tier, "level") if "level" in tier else default.level)
    return made


def read_timespan(file: str, part: Map) -> int:
    """Sigma's timespan ("90m") in nanoseconds. Raises ContentError."""
    try:
        timespan = parse_duration(str(part.get("timespan", "")))
    except QueryError as error:
        raise _Reader(file).fault(part, "timespan", error.what) from None
    if timespan <= 0:
        raise _Reader(file).fault(part, "timespan", "must be longer than 0")
    return timespan


class _Reader:
    """Takes typed parts out of a mapping, and says file and line of what is not as it should be."""

    def __init__(self, file: str) -> None:
        self.file = file

    def fault(self, part: Map, key: str, what: str) -> ContentError:
        return ContentError(f"{key} {what}", place=Place(self.file, part.lines.get(key, part.line)))

    def mapping(self, part: Map, key: str, known: set[str]) -> Map:
        value = part.get(key)
        if not isinstance(value, Map):
            raise self.fault(part, key, "must be a mapping")
        if unknown := [name for name in value if name not in known]:
            raise self.fault(value, unknown[0], f"is not known here; known are {', '.join(sorted(known))}")
        return value

    def by_criticality(self, part: Map, key: str) -> Map:
        return self.mapping(part, key, set(Criticality)) if key in part else Map(part.line)

    def items(self, part: Map, key: str) -> list[tuple[Any, int]]:
        value = part.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fault(part, key, "must be a list")
        return list(zip(value, getattr(value, "lines", [part.line] * len(value)), strict=True))

    def text(self, part: Map, key: str) -> str:
        value = part.get(key, "")
        if not isinstance(value, str):
            raise self.fault(part, key, "must be text")
        return value.strip()

    def texts(self, part: Map, key: str) -> tuple[str, ...]:
        items = [item for item, _ in self.items(part, key)]
        if not all(isinstance(item, str) for item in items):
            raise self.fault(part, key, "must be a list of text")
        return tuple(items)

    def severity(self, part: Map, key: str) -> Severity:
        try:
            return Severity(part[key])
        except ValueError:
            raise self.fault(part, key, f"must be one of {', '.join(Severity)}") from None

    def time(self, part: Map, key: str) -> int:
        try:
            return from_rfc3339(self.text(part, key)) if part.get(key) else 0
        except ValueError:
            raise self.fault(part, key, "must be a time such as 2026-03-04T18:00:00Z") from None

    def test(self, item: Any, line: int) -> RuleTest:
        if not isinstance(item, Map):
            raise ContentError("a test must be a mapping", place=Place(self.file, line))
        if unknown := [name for name in item if name not in _TEST_KEYS]:
            raise self.fault(item, unknown[0], f"is not known here; known are {', '.join(sorted(_TEST_KEYS))}")
        records = item.get("records")
        lines = self.texts(item, "records") if isinstance(records, list) else tuple(str(records or "").splitlines())
        alerts = item.get("alerts")
        if not lines or not isinstance(alerts, int) or isinstance(alerts, bool) or alerts < 0:
            raise ContentError("a test needs records, and alerts as a number", place=Place(self.file, line))
        try:
            criticality = Criticality(item.get("criticality", Criticality.MEDIUM))
        except ValueError:
            raise self.fault(item, "criticality", f"must be one of {', '.join(Criticality)}") from None
        entities = item.get("entities") or {}
        if not isinstance(entities, dict):
            raise self.fault(item, "entities", "must be a mapping")
        return RuleTest(
            name=self.text(item, "name"),
            records=tuple(one for one in lines if one.strip()),
            alerts=alerts,
            format=self.text(item, "as"),
            criticality=criticality,
            severity=self.severity(item, "severity") if "severity" in item else None,
            entities=dict(entities),
            until=self.time(item, "until"),
            line=item.line,
        )
