"""Why a detection was made, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from watchbill.core.clock import DAY, HOUR, MINUTE, SECOND
from watchbill.engine.detect.conditions import And, Expression, Not
from watchbill.engine.detect.fields import lookup
from watchbill.engine.detect.governance import Tier
from watchbill.engine.detect.groups import Group
from watchbill.engine.detect.index import key_of
from watchbill.engine.detect.predicates import MISSING, TIME_PARTS, Atom, holds, related, text_of, time_part
from watchbill.engine.detect.rules import Correlation, Rule
from watchbill.engine.detect.windows import Entry
from watchbill.sdk.events import Event

_MOST_CONDITIONS = 8
_MOST_CHARACTERS = 160


def duration_words(nanoseconds: int) -> str:
    """300 s is "5 min"; the largest unit that fits a whole number of times."""
    for size, name in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")):
        if nanoseconds >= size and (nanoseconds % size == 0 or size == SECOND):
            count = nanoseconds // size
            return f"{count} {'day' if name == 'days' and count == 1 else name}"
    return "less than 1 s"


def threshold_words(correlation: Correlation, tier: Tier) -> str:
    """What a correlation wants: "3 in 5 min"."""
    gte, within = tier.gte, duration_words(tier.timespan)
    if correlation.kind == "event_count":
        return f"{gte} in {within}"
    if correlation.kind == "value_count":
        return f"{gte} different {' and '.join(correlation.fields)} in {within}"
    order = " in this order" if correlation.kind == "temporal_ordered" else ""
    if gte < len(correlation.rules):
        return f"{gte} of {', '.join(correlation.rules)} within {within}"
    return f"{', '.join(correlation.rules)}{order} within {within}"


def matched_words(rule: Rule, event: Event) -> str:
    """Which conditions of a rule an event fulfils, with its values."""
    assert rule.expression is not None  # noqa: S101 - only detections match events
    said = list(dict.fromkeys(_reasons(rule.expression, event)))
    more = f" (and {len(said) - _MOST_CONDITIONS} more)" if len(said) > _MOST_CONDITIONS else ""
    return f"{rule.title}: {'; '.join(said[:_MOST_CONDITIONS]) or 'nothing that would exclude it'}{more}."


def threshold_sentence(rule: Rule, group: Group, told: Sequence[Entry], named: Entry) -> str:
    """The count against the threshold for this asset, and why that threshold."""
    correlation = rule.correlation
    assert correlation is not None  # noqa: S101 - only correlations have thresholds
    tier = correlation.tier(group.criticality)
    count = sum(entry.weight for entry in told)
    before = group.total - count
    span = max(entry.time for entry in told) - min(entry.time for entry in told)
    where = ", ".join(
        f"{field} {value or '(unknown)'}" for field, value in zip(correlation.group_by, group.key, strict=True)
    )
    text = f"{count} {'more ' if before else ''}{'event' if count == 1 else 'events'}"
    text += f" within {duration_words(span)}" if span else ""
    text += f" for {where}" if where else ""
    text += f", {group.total} in all" if before else ""
    text += f"; the threshold is {threshold_words(correlation, tier)}"
    if correlation.tiers:
        text += f", because {named.host or 'the asset'} is of {named.criticality} criticality"
    return f"{text}."


def clock_sentences(told: Iterable[Entry], bound: int) -> list[str]:
    """What is odd about the times of the events."""
    entries = list(told)
    said = []
    if skewed := sum(entry.weight for entry in entries if entry.skewed):
        said.append(f"{skewed} of the events claim to be from the future; they are judged by their time of receipt.")
    if late := sum(entry.weight for entry in entries if entry.late):
        said.append(f"{late} of the events came more than {duration_words(bound)} late.")
    return said


def _reasons(expression: Expression, event: Event) -> Iterable[str]:
    """The conditions that hold, where they make the expression hold."""
    if isinstance(expression, Atom):
        value = _value(expression, event)
        if _atom_holds(expression, value, event):
            yield _said(expression, value)
    elif isinstance(expression, Not):
        return
    elif isinstance(expression, And):
        for item in expression.items:
            yield from _reasons(item, event)
    else:
        for item in expression.items:
            if expression_holds(item, event):
                yield from _reasons(item, event)
                return


def expression_holds(expression: Expression, event: Event) -> bool:
    """Judge one expression on one event the plain way; the programs judge batches."""
    if isinstance(expression, Atom):
        return _atom_holds(expression, _value(expression, event), event)
    if isinstance(expression, Not):
        return not expression_holds(expression.item, event)
    judged = (expression_holds(item, event) for item in expression.items)
    return all(judged) if isinstance(expression, And) else any(judged)


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
    test = holds(predicate)
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
