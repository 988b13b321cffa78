"""What can be said only when nothing more can come: windows that are over, and what was expected and did not come.

Pure functions over the events of one group, in order of time. The caller says up to when the group is complete.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from watchbill.engine.detect.correlation import UNIT, Correlation, met_by
from watchbill.engine.detect.windows import Entry

_OPERATORS: Mapping[str, Callable[[int, int], bool]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "eq": operator.eq, "neq": operator.ne,
}  # fmt: skip
_PERCENT = 100


def consecutive(entries: Sequence[Entry], timespan: int) -> Iterator[list[Entry]]:
    """Windows one after the other: the first event opens one, which holds what comes within ``timespan`` of it (the
    end included), and the next event opens the next.
    """
    window: list[Entry] = []
    for entry in entries:
        if window and entry.time > window[0].time + timespan:
            yield window
            window = []
        window.append(entry)
    if window:
        yield window


def evidence(window: Sequence[Entry], correlation: Correlation) -> list[Entry]:
    """The events of a window that is over by which it meets the condition; none when it does not."""
    if correlation.kind == "value_percentile" and not correlation.percentile:
        return _rare(window, correlation)
    if correlation.expression is not None:
        met = met_by(correlation.expression, {entry.tag for entry in window})
    else:
        figure, over = measured(window, correlation)
        met = all(_OPERATORS[how](figure, number * over) for how, number in correlation.conditions)
    return list(window) if met else []


def measured(window: Sequence[Entry], correlation: Correlation) -> tuple[int, int]:
    """The figure of a window as a fraction, in the unit of the condition's numbers."""
    if correlation.kind == "event_count":
        return sum(entry.weight for entry in window), 1
    if correlation.kind in {"value_count", "temporal"}:
        return len({entry.tag for entry in window}), 1
    count = sum(entry.weight for entry in window)
    if correlation.kind in {"value_sum", "value_avg"}:
        return sum(int(entry.tag) for entry in window), count if correlation.kind == "value_avg" else 1
    numbers = sorted((int(entry.tag), entry.weight) for entry in window)
    if correlation.kind == "value_median":
        return _ranked(numbers, (count + 1) // 2) + _ranked(numbers, count // 2 + 1), 2
    return _ranked(numbers, -(-count * correlation.percentile // (_PERCENT * UNIT))), 1


def _ranked(numbers: Sequence[tuple[int, int]], rank: int) -> int:
    """The number at that place (from 1) among all, each of which stands there as often as its weight says."""
    for number, weight in numbers:
        rank -= weight
        if rank <= 0:
            return number
    return numbers[-1][0]


def _rare(window: Sequence[Entry], correlation: Correlation) -> list[Entry]:
    """The events of values that make up such a share (in percent) of all events of the window."""
    often: Counter[str] = Counter()
    for entry in window:
        often[entry.tag] += entry.weight
    count = often.total()
    met = {
        value
        for value, times in often.items()
        if all(_OPERATORS[how](times * _PERCENT * UNIT, number * count) for how, number in correlation.conditions)
    }
    return [entry for entry in window if entry.tag in met]


def unanswered(entries: Sequence[Entry], correlation: Correlation) -> Iterator[tuple[Entry, int | None]]:
    """Each event that begins a wait, and when what it waits for came (None: it did not).

    What is expected again and again is expected after each time that it came; else what comes at the same time answers.
    """
    begins, expected = correlation.rules[0], correlation.absence
    waiting = [entry for entry in entries if entry.tag == begins]
    answers = [entry.time for entry in entries if entry.tag == expected]
    if begins == expected:
        yield from zip(waiting, [*answers[1:], None], strict=True)
        return
    at = 0
    for entry in waiting:
        while at < len(answers) and answers[at] < entry.time:
            at += 1
        yield entry, answers[at] if at < len(answers) else None
