"""Why a detection was made, in sentences for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import islice

from watchbill.core.clock import DAY, HOUR, MINUTE, SECOND
from watchbill.core.times import rfc3339
from watchbill.engine.detect.clocks import Clocks
from watchbill.engine.detect.conditions import And, Expression, Not, Or
from watchbill.engine.detect.correlate import Grown
from watchbill.engine.detect.correlation import NUMBERS, UNIT, Correlation
from watchbill.engine.detect.fields import lookup
from watchbill.engine.detect.governance import Tier
from watchbill.engine.detect.index import key_of
from watchbill.engine.detect.predicates import MISSING, TIME_PARTS, Atom, holds, related, text_of, time_part
from watchbill.engine.detect.rules import Rule
from watchbill.engine.detect.settled import consecutive, measured
from watchbill.engine.detect.windows import Entry
from watchbill.sdk.events import Event

_MOST_CONDITIONS = 8
_MOST_CHARACTERS = 160
_test = lru_cache(maxsize=16_384)(holds)
_OPERATORS = {
    "gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most", "eq": "exactly", "neq": "anything but",
}  # fmt: skip


def duration_words(nanoseconds: int) -> str:
    """300 s is "5 min"; the largest unit that fits a whole number of times."""
    for size, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")):
        if nanoseconds >= size and (nanoseconds % size == 0 or size == SECOND):
            count = nanoseconds // size
            return f"{count} {'day' if name == 'days' and count == 1 else name}"
    return "less than 1 s"


def threshold_words(correlation: Correlation, tier: Tier) -> str:
    """What a correlation wants: "3 in 5 min"."""
    within = duration_words(tier.timespan)
    names = ", ".join(correlation.rules)
    if correlation.absence:
        if len(correlation.rules) == 1:
            return f"{correlation.absence} expected again within {within}"
        return f"{correlation.absence} expected within {within} of {correlation.rules[0]}"
    if correlation.expression is not None:
        return f"{_expression_words(correlation.expression)} within {within}"
    if correlation.kind == "temporal_ordered":
        return f"{names} in this order within {within}"
    number = _number_words(correlation, tier)
    fields = " and ".join(correlation.fields)
    if correlation.kind == "temporal":
        every = tier.gte == len(correlation.rules)
        return f"{names} within {within}" if every else f"{number} of {names} within {within}"
    if correlation.kind == "value_percentile" and not correlation.percentile:
        return f"a value of {fields} that makes up {number} % of {within}"
    figure = {
        "event_count": "",
        "value_count": f" different {fields}",
        "value_sum": f" as the sum of {fields}",
        "value_avg": f" as the average of {fields}",
        "value_median": f" as the median of {fields}",
        "value_percentile": f" as percentile {plain(correlation.percentile)} of {fields}",
    }[correlation.kind]
    return f"{number}{figure} in {within}"


def plain(number: int, over: int = 1) -> str:
    """A number in units of 1/UNIT, as people write it; what has more than six decimals is rounded."""
    text = f"{Decimal(number) / UNIT / over:.6f}"
    return text.rstrip("0").rstrip(".")


def _number_words(correlation: Correlation, tier: Tier) -> str:
    if tier.gte:
        return str(tier.gte)
    unit = correlation.kind in NUMBERS
    return " and ".join(
        f"{_OPERATORS[how]} {plain(number) if unit else number}" for how, number in correlation.conditions
    )


def _expression_words(expression: Expression) -> str:
    if isinstance(expression, Atom):
        return expression.field
    if isinstance(expression, Not):
        return f"not {_expression_words(expression.item)}"
    word = " and " if isinstance(expression, And) else " or "
    parts = [
        f"({_expression_words(item)})" if isinstance(item, (And, Or)) else _expression_words(item)
        for item in expression.items
    ]
    return word.join(parts)


def matched_words(rule: Rule, event: Event) -> str:
    """Which conditions of a rule an event fulfils, with its values."""
    assert rule.expression is not None  # noqa: S101 - only detections match events
    met = _met(rule.expression, event) or ()
    said = list(dict.fromkeys(_said(atom, _value(atom, event)) for atom in met))
    more = f" (and {len(said) - _MOST_CONDITIONS} more)" if len(said) > _MOST_CONDITIONS else ""
    return f"{rule.title}: {'; '.join(said[:_MOST_CONDITIONS]) or 'nothing that would exclude it'}{more}."


def correlated_sentences(rule: Rule, grown: Grown, named: Entry) -> list[str]:
    """The figures against the threshold for this asset, and why that threshold; then the values behind them."""
    correlation, told = rule.correlation, grown.evidence
    assert correlation is not None  # noqa: S101 - only correlations have thresholds
    tier = correlation.tier(named.criticality if correlation.absence else grown.where[0])
    count = sum(entry.weight for entry in told)
    before = grown.total - count
    span = max(entry.time for entry in told) - min(entry.time for entry in told)
    where = ", ".join(
        f"{field} {value or '(unknown)'}" for field, value in zip(correlation.group_by, grown.where[1:], strict=True)
    )
    text = f"{count} {'more ' if before else ''}{'event' if count == 1 else 'events'}"
    text += f" within {duration_words(span)}" if span else ""
    text += f" for {where}" if where else ""
    text += f", {grown.total} in all" if before else ""
    text += f"; the threshold is {threshold_words(correlation, tier)}"
    if correlation.tiers:
        text += f", because {named.host or 'the asset'} is of {named.criticality} criticality"
    return [f"{text}.", *_figures(correlation, tier, told)]


def _figures(correlation: Correlation, tier: Tier, told: Sequence[Entry]) -> Iterable[str]:
    """What the events came to."""
    if correlation.absence:
        for entry in told[:_MOST_CONDITIONS]:
            end = rfc3339(entry.time + correlation.tier(entry.criticality).timespan)
            yield f"{correlation.absence} did not come by {end}, after {entry.tag} at {rfc3339(entry.time)}."
    elif correlation.kind == "value_count" or (correlation.kind == "value_percentile" and not correlation.percentile):
        values = list(dict.fromkeys(entry.tag.replace("\0", " / ") for entry in told))
        shown = ", ".join(value[:_MOST_CHARACTERS] for value in values[:_MOST_CONDITIONS])
        more = f" and {len(values) - _MOST_CONDITIONS} more" if len(values) > _MOST_CONDITIONS else ""
        yield f"{' and '.join(correlation.fields)}: {shown}{more}."
    elif correlation.kind in NUMBERS and not correlation.settles:
        yield f"Their {correlation.fields[0]} add up to {plain(sum(int(entry.tag) for entry in told))}."
    elif correlation.settles and correlation.expression is None:
        for window in islice(consecutive(told, tier.timespan), _MOST_CONDITIONS):
            figure, over = measured(window, correlation)
            said = plain(figure, over) if correlation.kind in NUMBERS else str(figure)
            yield f"The window from {rfc3339(window[0].time)} came to {said}."
    elif correlation.kind.startswith("temporal"):
        met = Counter(entry.tag for entry in told)
        yield f"Met were {', '.join(f'{name} ({met[name]})' for name in correlation.rules if met[name])}."


def clock_sentences(told: Iterable[Entry], clocks: Clocks) -> list[str]:
    """What is odd about the times of the events."""
    entries = list(told)
    said = []
    if skewed := sum(entry.weight for entry in entries if entry.skewed):
        said.append(f"{skewed} of the events claim to be from the future; they are judged by their time of receipt.")
    if late := sum(entry.weight for entry in entries if entry.late):
        bound = min(clocks.bound_of(entry.source) for entry in entries if entry.late)
        said.append(f"{late} of the events came more than {duration_words(bound)} late.")
    return said


def _met(expression: Expression, event: Event) -> list[Atom] | None:
    """The conditions that hold, where they make the expression hold; None where it does not. The plain way, for one event:
    the programs judge batches.
    """
    if isinstance(expression, Atom):
        return [expression] if _atom_holds(expression, _value(expression, event), event) else None
    if isinstance(expression, Not):
        return [] if _met(expression.item, event) is None else None
    met: list[Atom] = []
    for item in expression.items:
        found = _met(item, event)
        if isinstance(expression, Or):
            if found is not None:
                return found
        elif found is None:
            return None
        else:
            met += found
    return met if isinstance(expression, And) else None


def _value(atom: Atom, event: Event) -> object:
    if atom.space == "message":
        return event.message
    return lookup(event.ocsf if atom.space == "ocsf" else event.native, atom.field)


def _atom_holds(atom: Atom, value: object, event: Event) -> bool:
    predicate = atom.predicate
    if predicate.kind in {"exists", "missing"}:
        return (value is MISSING) == (predicate.kind == "missing")
    if predicate.kind == "null":
        return value is MISSING or value is None
    if value is MISSING or value is None:
        return False
    if predicate.kind == "field":
        name, how = predicate.argument
        other = lookup(event.ocsf if atom.space == "ocsf" else event.native, name)
        if other is MISSING or other is None:
            return False
        left, right = text_of(value), text_of(other)
        return related(how, *((left, right) if predicate.cased else (left.lower(), right.lower())))
    test = _test(predicate)
    if type(value) is str:
        return test(value)
    key = key_of(value)
    return any(map(test, key)) if isinstance(key, tuple) else test(key)


def _said(atom: Atom, value: object) -> str:
    words = atom.predicate.words()
    if atom.space == "message":
        return f"the message {words}"
    if atom.predicate.kind in {"equals", "null", "exists", "missing"} and not isinstance(value, list):
        return f"{atom.field} {words}"
    if atom.predicate.kind in TIME_PARTS and not isinstance(value, list):
        return f"{atom.field} {words} (it is {time_part(atom.predicate.kind, text_of(value))})"
    shown = ", ".join(map(text_of, value)) if isinstance(value, list) else text_of(value)
    if len(shown) > _MOST_CHARACTERS:
        shown = shown[:_MOST_CHARACTERS] + "…"
    return f"{atom.field} {words} (it is {shown!r})"
