"""Sigma filters: what an installation knows to be harmless is taken out of rules that it names.

https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-filters-specification.md
The specification's example says in ``condition`` what is filtered out (``selection``); pySigma and its users say what
is left (``not selection``). Both mean the same events, so a filter may be written either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from watchbill.core.clock import DAY
from watchbill.core.errors import ContentError, Place
from watchbill.core.times import from_rfc3339
from watchbill.engine.detect.conditions import And, Expression, Not, Or, all_of, parse_condition
from watchbill.engine.detect.documents import Map
from watchbill.engine.detect.predicates import Atom, Predicate
from watchbill.engine.detect.routing import Route
from watchbill.engine.detect.rules import Rule

_KEYS = {"expires", "reason"}


class Filter(msgspec.Struct, frozen=True):
    """``keeps`` is what an event has to fulfil beside the rule. ``rules`` are (name or id, line); none means any rule
    of the log source. ``expires`` is the first moment at which it no longer counts (UTC nanoseconds, 0 for never).
    """

    title: str
    place: Place
    route: Route
    keeps: Expression
    rules: tuple[tuple[str, int], ...] = ()
    expires: int = 0
    reason: str = ""

    def fits(self, rule: Rule) -> bool:
        """Whether the rule looks at the log source that this is for."""
        mine, other = self.route, rule.route
        return (
            rule.expression is not None
            and mine.class_uid == other.class_uid
            and mine.product in {"", other.product}
            and mine.service in {"", other.service}
            and mine.category in {"", other.category}
        )

    def chosen(self, rules: Mapping[str, Rule], ids: Mapping[str, str]) -> Iterator[str | tuple[int, str]]:
        """The names of rules to filter, and for each that cannot be: (line, reason)."""
        if not self.rules:
            yield from [name for name, rule in rules.items() if self.fits(rule)]
        for reference, line in self.rules:
            name = reference if reference in rules else ids.get(reference, "")
            rule = rules.get(name)
            if rule is None:
                yield line, f"the filter names the rule {reference!r}, which is not there or does not run"
            elif rule.correlation is not None:
                yield line, f"{reference!r} is a correlation; the filter has to name the rules that it correlates"
            elif not self.fits(rule):
                yield line, f"the rule {reference!r} is for another log source than this filter"
            else:
                yield name


def targets(file: str, part: Map) -> tuple[tuple[str, int], ...]:
    """The rules that a filter names, with their lines; none for "any". Raises ContentError."""
    named = part.get("rules", "any")
    if isinstance(named, str):
        named, lines = [named], [part.lines.get("rules", part.line)]
    else:
        lines = getattr(named, "lines", [])
    if not isinstance(named, list) or not named or not all(isinstance(one, str) for one in named):
        what = "rules must be a list of names and ids of rules, or any"
        raise ContentError(what, place=Place(file, part.lines.get("rules", part.line)))
    return () if "any" in {one.lower() for one in named} else tuple(zip(named, lines, strict=True))


def polarity(condition: str, searches: Mapping[str, Expression]) -> bool:
    """Whether a condition says what is left (True) or what is filtered out. Raises ContentError where one cannot tell."""
    shape = parse_condition(condition, {name: Atom("search", name, Predicate("exists")) for name in searches})
    parts = shape.items if isinstance(shape, And) else (shape,)
    said = {isinstance(part, Not) for part in parts}
    if len(said) > 1 or (isinstance(shape, Or) and any(isinstance(part, Not) for part in shape.items)):
        raise ContentError(
            "one cannot tell whether the condition says what is filtered out or what is left",
            mend="write it as: not (what is filtered out)",
        )
    return said == {True}


def kept(condition: str, searches: Mapping[str, Expression]) -> Expression:
    """What an event has to fulfil to be left. Raises ContentError without a place."""
    expression = parse_condition(condition, searches)
    return expression if polarity(condition, searches) else Not(expression)


def expiry(file: str, document: Map) -> tuple[int, str]:
    """When a filter of ours ends, and why it is there. Raises ContentError."""
    governed = document.get("watchbill")
    if governed is None:
        return 0, ""
    place = Place(file, document.lines["watchbill"])
    if not isinstance(governed, Map) or not set(governed) <= _KEYS:
        raise ContentError(f"a filter's watchbill key holds {' and '.join(sorted(_KEYS))}", place=place)
    if not isinstance(governed.get("reason"), str) or not governed["reason"].strip():
        raise ContentError("a filter with the key watchbill needs its reason", place=place)
    return (_moment(governed["expires"], place) if "expires" in governed else 0), governed["reason"].strip()


def filtered(rule: Rule, one: Filter) -> Rule:
    """The rule without what the filter takes out."""
    assert rule.expression is not None  # noqa: S101 - chosen yields detections only
    expression = all_of([rule.expression, one.keeps])
    return msgspec.structs.replace(rule, expression=expression, filters=(*rule.filters, one.title))


def _moment(text: Any, place: Place) -> int:
    """A day counts to its end, a moment to itself."""
    try:
        return from_rfc3339(str(text)) + (DAY if len(str(text)) == len("2026-03-04") else 0)
    except ValueError:
        raise ContentError("expires must be a day such as 2026-03-04", place=place) from None
