"""Reads a Sigma correlation document, strictly; what cannot run is refused with file and line.

https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-correlation-rules-specification.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from watchbill.core.errors import ContentError, Place
from watchbill.core.values import Severity
from watchbill.engine.detect.conditions import Expression, Not, parse_condition
from watchbill.engine.detect.correlation import COUNTS, GROWING, NUMBERS, Correlation, met_by, number_of
from watchbill.engine.detect.documents import Map
from watchbill.engine.detect.governance import Governance, Tier, read_tiers, read_timespan
from watchbill.engine.detect.predicates import Atom, Predicate

_OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq")
_KEYS = {"type", "rules", "aliases", "group-by", "timespan", "condition", "generate"}
_MOST_PERCENT = 100


def read_correlation(file: str, document: Map, governance: Governance, level: Severity) -> Correlation:
    """The correlation of a document; the rules that it names are not resolved yet. Raises ContentError."""
    return _Reader(file, document, governance).read(level)


class _Reader:
    def __init__(self, file: str, document: Map, governance: Governance) -> None:
        self.file = file
        self.document = document
        self.governance = governance

    def fail(self, part: Map, key: str, what: str, mend: str = "") -> NoReturn:
        raise ContentError(what, place=Place(self.file, part.lines.get(key, part.line)), mend=mend)

    def read(self, level: Severity) -> Correlation:
        part = self.document.get("correlation")
        if not isinstance(part, Map):
            self.fail(self.document, "correlation", "correlation must be a mapping")
        for key in part:
            if key not in _KEYS:
                self.fail(part, key, f"{key} is not known here; known are {', '.join(sorted(_KEYS))}")
        kind = part.get("type")
        if kind not in {*COUNTS, *NUMBERS}:
            self.fail(part, "type", f"type must be one of {', '.join(sorted({*COUNTS, *NUMBERS}))}")
        rules = tuple(self.texts(part, "rules"))
        if not rules or len(set(rules)) < len(rules):
            self.fail(part, "rules", "a correlation needs the rules that it correlates, each once")
        timespan = read_timespan(self.file, part)
        found: dict[str, Any] = {"aliases": self.aliases(part)}
        if self.governance.absence:
            self.absence(part, kind, rules)
            found["absence"], gte = self.governance.absence, 0
        elif isinstance(part.get("condition"), str):
            gte = self.expression(part, kind, rules, found)
        else:
            gte = self.condition(part, kind, rules, found)
        default = Tier(gte, timespan, level)
        counts = bool(gte) or (kind == "value_sum" and not found.get("settles"))
        tiers = read_tiers(self.file, self.governance.tiers, default, counts=counts)
        group_by = tuple(self.texts(part, "group-by"))
        return Correlation(kind=kind, rules=rules, group_by=group_by, default=default, tiers=tiers, **found)

    def absence(self, part: Map, kind: str, rules: tuple[str, ...]) -> None:
        """A rule is expected: once after another, or again and again."""
        governed: Map = self.document["watchbill"]
        if kind != "temporal_ordered" or "condition" in part:
            self.fail(governed, "absence", "absence belongs to a temporal_ordered correlation without condition")
        if len(rules) > 2 or rules[-1] != self.governance.absence:
            what = "absence names the last rule: rules are [what begins it, what is expected], or that one alone"
            self.fail(governed, "absence", what)

    def expression(self, part: Map, kind: str, rules: tuple[str, ...], found: dict[str, Any]) -> int:
        """A temporal's condition over its rules, such as "a and (b or not c)"."""
        if kind != "temporal":
            self.fail(part, "condition", "only temporal has a condition in words; others compare a number")
        try:
            made = parse_condition(part["condition"], {name: Atom("rule", name, Predicate("exists")) for name in rules})
        except ContentError as error:
            self.fail(part, "condition", error.what, error.mend)
        except IndexError:
            self.fail(part, "condition", "the condition is empty")
        if left := [name for name in rules if name not in _names(made)]:
            self.fail(part, "condition", f"the condition leaves out {left[0]}, which is among the rules")
        if met_by(made, frozenset()):
            self.fail(part, "condition", "the condition is met where nothing happens", "name a rule that must be met")
        found["expression"], found["settles"] = made, _negates(made)
        return 0 if found["settles"] else 1

    def condition(self, part: Map, kind: str, rules: tuple[str, ...], found: dict[str, Any]) -> int:
        """Comparisons with a number; the result is what is wanted at least, 0 where that is not the question."""
        condition = part.get("condition")
        if condition is None and kind.startswith("temporal"):
            return len(rules)
        if not isinstance(condition, Map):
            self.fail(part, "condition", "a correlation needs a condition")
        operators = {key: value for key, value in condition.items() if key not in {"field", "percentile"}}
        if not operators:
            self.fail(part, "condition", "the condition has no operator")
        for key, value in operators.items():
            if key not in _OPERATORS:
                self.fail(condition, key, f"{key} is no operator; known are {', '.join(_OPERATORS)}")
            self.number(condition, key, value, kind)
        self.fields(part, condition, kind, found)
        grows = kind not in NUMBERS[1:] and set(operators) <= GROWING
        found["settles"] = not grows
        if kind in NUMBERS:
            found["conditions"] = tuple((key, number_of(str(value)) or 0) for key, value in operators.items())
            return 0
        if not grows:
            found["conditions"] = tuple(operators.items())
            return self.in_reach(part, kind, len(rules), 0)
        return self.in_reach(
            part, kind, len(rules), max(1, *(value + (key == "gt") for key, value in operators.items()))
        )

    def number(self, condition: Map, key: str, value: Any, kind: str) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if kind in NUMBERS:
            if not (whole or isinstance(value, float)) or number_of(str(value)) is None:
                self.fail(condition, key, f"{key} must be a number")
        elif not whole or value < 0:
            self.fail(condition, key, f"{key} must be a whole number")

    def in_reach(self, part: Map, kind: str, rules: int, gte: int) -> int:
        if kind == "temporal_ordered" and gte != rules:
            self.fail(part, "condition", "temporal_ordered wants all of its rules; leave the condition out")
        if kind == "temporal" and gte > rules:
            self.fail(part, "condition", f"there are only {rules} rules, so {gte} can never be met")
        return gte

    def fields(self, part: Map, condition: Map, kind: str, found: dict[str, Any]) -> None:
        """The field that is counted, summed up …, and the percentile."""
        if not kind.startswith("value_"):
            return
        found["fields"] = fields = tuple(self.texts(condition, "field"))
        if not fields:
            self.fail(part, "condition", f"{kind} needs the field that it looks at")
        if len(fields) > 1 and kind != "value_count":
            self.fail(condition, "field", f"{kind} looks at one field")
        percent = condition.get("percentile", 0)
        if "percentile" in condition:
            number = isinstance(percent, (int, float)) and not isinstance(percent, bool)
            if kind != "value_percentile" or not number or not 0 < percent <= _MOST_PERCENT:
                self.fail(condition, "percentile", "percentile belongs to value_percentile; it is above 0, at most 100")
        found["percentile"] = number_of(str(percent)) or 0

    def aliases(self, part: Map) -> dict[str, dict[str, str]]:
        aliases = part.get("aliases") or Map(part.line)
        if not isinstance(aliases, Map) or not all(isinstance(fields, Map) for fields in aliases.values()):
            self.fail(part, "aliases", "aliases must map each alias to rules and their fields")
        return {alias: {name: str(field) for name, field in fields.items()} for alias, fields in aliases.items()}

    def texts(self, part: Map, key: str) -> Iterator[str]:
        value = part.get(key)
        for item in value if isinstance(value, list) else [] if value is None else [value]:
            if not isinstance(item, (str, int)):
                self.fail(part, key, f"{key} must be text or a list of text")
            yield str(item)


def _names(expression: Expression) -> set[str]:
    if isinstance(expression, Atom):
        return {expression.field}
    if isinstance(expression, Not):
        return _names(expression.item)
    return set().union(*map(_names, expression.items))


def _negates(expression: Expression) -> bool:
    if isinstance(expression, Atom):
        return False
    return isinstance(expression, Not) or any(map(_negates, expression.items))
