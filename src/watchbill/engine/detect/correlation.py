"""What a correlation wants, as it was read; docs/detection.md says what each kind means."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping

import msgspec

from watchbill.core.values import Criticality
from watchbill.engine.detect.conditions import And, Expression, Not, Or
from watchbill.engine.detect.governance import Tier
from watchbill.engine.detect.predicates import Atom

#: Numbers are kept as whole millionths, so that sums do not depend on the order in which they are made.
UNIT = 1_000_000
COUNTS = ("event_count", "value_count", "temporal", "temporal_ordered")
NUMBERS = ("value_sum", "value_avg", "value_percentile", "value_median")
#: Operators that a further event can only help to meet; what has others is judged when its window is over.
GROWING = frozenset({"gt", "gte"})
_NUMBER = re.compile(r"\s*[+-]?\d{1,18}(\.\d{1,18})?\s*", re.ASCII)


class Correlation(msgspec.Struct, frozen=True):
    """``kind`` is Sigma's correlation type. ``rules`` are names of rules, in their order; ``aliases`` maps an alias
    to the field that it stands for in each of them. ``fields`` is what the value kinds look at.

    ``conditions`` are (operator, number), all of which have to hold; of numbers (NUMBERS) in units of 1/UNIT.
    ``expression`` is a temporal's condition over its rules, ``percentile`` the one that is asked for, in
    units of 1/UNIT (0: how often a value occurs, in percent). ``absence`` names the rule that is expected and alerts when it is not met.
    """

    kind: str
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    default: Tier
    tiers: dict[Criticality, Tier] = {}
    fields: tuple[str, ...] = ()
    aliases: dict[str, dict[str, str]] = {}
    conditions: tuple[tuple[str, int], ...] = ()
    expression: Expression | None = None
    percentile: int = 0
    absence: str = ""
    #: Whether it can be judged only when its window is over.
    settles: bool = False

    def tier(self, criticality: Criticality | None) -> Tier:
        """What is wanted on assets of this criticality; None when criticality makes no difference."""
        return self.tiers.get(criticality, self.default) if criticality else self.default

    @property
    def waits(self) -> bool:
        """Whether time alone can make it alert."""
        return self.settles or bool(self.absence)

    @property
    def split(self) -> bool:
        """Whether each criticality has windows of its own."""
        return bool(self.tiers) and not self.absence

    def field_of(self, rule: str, field: str) -> str:
        """The field that an alias stands for in the events of a rule; a field that is no alias is itself."""
        return self.aliases.get(field, {}).get(rule, field)


def number_of(text: str) -> int | None:
    """A field's text as whole millionths; None when it is no number below 10^18 in plain notation."""
    if text.isdecimal() and text.isascii() and len(text) <= 18:
        return int(text) * UNIT
    if not _NUMBER.fullmatch(text):
        return None
    whole, _, part = text.strip().partition(".")
    amount = abs(int(whole)) * UNIT + int(part[:6].ljust(6, "0") or "0")
    return -amount if whole.startswith("-") else amount


def least_of(correlation: Correlation, tier: Tier) -> int:
    """The number that has to be reached: of events, values or rules; of a sum in units of 1/UNIT."""
    if correlation.kind != "value_sum":
        return tier.gte
    if tier.gte:
        return tier.gte * UNIT
    return max(number + (operator == "gt") for operator, number in correlation.conditions)


def met_by(expression: Expression, names: Container[str]) -> bool:
    """Whether a temporal's condition holds where these rules were met."""
    if isinstance(expression, Atom):
        return expression.field in names
    if isinstance(expression, Not):
        return not met_by(expression.item, names)
    judged = (met_by(item, names) for item in expression.items)
    return all(judged) if isinstance(expression, And) else any(judged)


def renamed(expression: Expression, names: Mapping[str, str]) -> Expression:
    """The same condition over rules by their names, where it may name them by their ids."""
    if isinstance(expression, Atom):
        return Atom("rule", names.get(expression.field, expression.field), expression.predicate)
    if isinstance(expression, Not):
        return Not(renamed(expression.item, names))
    items = tuple(renamed(item, names) for item in expression.items)
    return And(items) if isinstance(expression, And) else Or(items)
