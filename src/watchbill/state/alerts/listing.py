"""Lists of alerts that cost the same with a thousand alerts and a million.

Two ways. By cells: filters on status, severity, rule, host and time are answered from an index that holds one status
and severity in the list's order; the first rows of each cell are read and merged. By candidates: filters on entities,
controls, assignee and words first find alert numbers by an index of their own, the newest three thousand of each status
at most, and those are sorted; when there were more, the page says that its total is a lower bound.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db.models import Count, Q, QuerySet, Sum

from watchbill.core.errors import QueryError
from watchbill.core.values import AlertStatus
from watchbill.state.alerts.models import Alert, Entity, RuleTitle, Tally
from watchbill.state.alerts.values import AlertFilter, Sort

#: Most candidates of one status that are looked at.
BOUND = 3_000
_MAX_SIZE = 500
_MAX_WORDS = 8
NOBODY = "-"

#: For each order: the fields that it goes by, and the sign that turns their values into an ascending key.
_ORDERS: dict[Sort, tuple[tuple[str, ...], int]] = {
    Sort.SEVERITY: (("severity", "last", "id"), -1),
    Sort.NEWEST: (("last", "id"), -1),
    Sort.OLDEST: (("opened_at", "id"), 1),
}


class Listed(NamedTuple):
    rows: list[Alert]
    next: str


def listed(wanted: AlertFilter) -> Listed:
    """One page of alerts. Raises QueryError for a cursor that is not of this list."""
    size = max(1, min(wanted.size, _MAX_SIZE))
    after = _after(wanted)
    if needs_candidates(wanted):
        keys = _keys(candidates(wanted), wanted.sort, after, size + 1)
    else:
        keys = _merged(wanted, after, size + 1)
    more, keys = len(keys) > size, keys[:size]
    found = Alert.objects.in_bulk([key[-1] for key in keys])
    # A row can only be missing if it went between the two queries, and alerts are never deleted.
    return Listed([found[key[-1]] for key in keys], _cursor(wanted.sort, keys[-1]) if more else "")


def _keys(rows: QuerySet[Alert], sort: Sort, after: list[int], limit: int) -> list[tuple[int, ...]]:
    fields, sign = _ORDERS[sort]
    order = [f"-{field}" if sign < 0 else field for field in fields]
    return list(_after_cursor(rows, sort, after).order_by(*order).values_list(*fields)[:limit])


def _merged(wanted: AlertFilter, after: list[int], limit: int) -> list[tuple[int, ...]]:
    """The first keys of all cells, in order; of a list by severity only as many severities as are needed."""
    _, sign = _ORDERS[wanted.sort]
    cells = sorted(_cells(wanted), key=lambda cell: -cell.severity)
    if wanted.sort is Sort.SEVERITY:
        groups = [list(group) for _, group in itertools.groupby(cells, key=lambda cell: cell.severity)]
    else:
        groups = [cells]
    found: list[tuple[int, ...]] = []
    for group in groups:
        parts = [_keys(cell.rows, wanted.sort, after, limit - len(found)) for cell in group]
        merged = heapq.merge(*parts, key=lambda key: tuple(sign * part for part in key))
        found += itertools.islice(merged, limit - len(found))
        if len(found) == limit:
            break
    return found


def needs_candidates(wanted: AlertFilter) -> bool:
    """Nobody's alerts are most of the unresolved ones, so "-" is found quickest by looking through the cells."""
    assigned = wanted.assignee not in {"", NOBODY}
    both = wanted.rule and wanted.host
    return bool(wanted.text or wanted.user or wanted.src_ip or wanted.control or assigned or both)


def statuses(wanted: AlertFilter) -> tuple[AlertStatus, ...]:
    return wanted.status or tuple(AlertStatus)


def candidates(wanted: AlertFilter) -> QuerySet[Alert]:
    """The alerts that match, found by the index of the most selective filter and then narrowed."""
    rows = Alert.objects.all()
    for values, field in ((wanted.rule, "rule__in"), (wanted.host, "host__in")):
        if values:
            rows = rows.filter(**{field: list(values)})
    if wanted.assignee:
        rows = rows.filter(assignee="" if wanted.assignee == NOBODY else wanted.assignee)
    for kind, value in (("user", wanted.user), ("src_ip", wanted.src_ip), ("control", wanted.control)):
        if value:
            rows = rows.filter(_bounded(wanted, Q(kind=kind, value=value)))
    for word in wanted.text.split()[:_MAX_WORDS]:
        rows = rows.filter(_word(wanted, word))
    return _narrowed(rows, wanted)


def _narrowed(rows: QuerySet[Alert], wanted: AlertFilter) -> QuerySet[Alert]:
    if wanted.status:
        rows = rows.filter(status__in=list(wanted.status))
    if wanted.severity:
        rows = rows.filter(severity__in=[severity.rank for severity in wanted.severity])
    return _within(rows, wanted)


def _within(rows: QuerySet[Alert], wanted: AlertFilter) -> QuerySet[Alert]:
    if wanted.start is not None:
        rows = rows.filter(last__gte=wanted.start)
    if wanted.end is not None:
        rows = rows.filter(last__lt=wanted.end)
    return rows


def _bounded(wanted: AlertFilter, entity: Q) -> Q:
    """Alerts with such an entity: the newest of each wanted status."""
    found = Q()
    for status in statuses(wanted):
        newest = Entity.objects.filter(entity, status=status).order_by("-alert_id").values("alert_id")[:BOUND]
        found |= Q(pk__in=list(newest.values_list("alert_id", flat=True)))
    return found


def _word(wanted: AlertFilter, word: str) -> Q:
    """A word as an alert's id, the begin of an entity, or a part of a rule's name or title."""
    found = _bounded(wanted, _begins(word))
    titled = RuleTitle.objects.filter(Q(rule__icontains=word) | Q(title__icontains=word))
    rules = list(titled.values_list("rule", flat=True)[:500])
    if rules:
        found |= Q(rule__in=rules)
    digits = word.upper().removeprefix("A-")
    if digits.isascii() and digits.isdigit() and len(digits) < 19:
        found |= Q(pk=int(digits))
    return found


def _begins(word: str) -> Q:
    """A range instead of LIKE, so that both databases use the index whatever their collation says of case."""
    return Q(value__gte=word, value__lt=word + "\U0010ffff")


class _Cell(NamedTuple):
    severity: int
    rows: QuerySet[Alert]


def _cells(wanted: AlertFilter) -> Iterator[_Cell]:
    """One query for each cell that is not empty, told by the tallies."""
    dimension, values = ("host", wanted.host) if wanted.host else ("rule", wanted.rule)
    for cell in _tallied(wanted, dimension, values, by_value=bool(values)):
        rows = Alert.objects.filter(status=cell["status"], severity=cell["severity"])
        if values:
            rows = rows.filter(**{dimension: cell["value"]})
        if wanted.assignee == NOBODY:
            rows = rows.filter(assignee="")
        yield _Cell(cell["severity"], _within(rows, wanted))


def _tallied(wanted: AlertFilter, dimension: str, values: tuple[str, ...], *, by_value: bool) -> list[dict[str, Any]]:
    rows = Tally.objects.filter(dimension=dimension, count__gt=0)
    if values:
        rows = rows.filter(value__in=list(values))
    if wanted.status:
        rows = rows.filter(status__in=list(wanted.status))
    if wanted.severity:
        rows = rows.filter(severity__in=[severity.rank for severity in wanted.severity])
    fields = ("value", "status", "severity") if by_value else ("status", "severity")
    return list(rows.values(*fields).annotate(n=Sum("count")).order_by(*fields))


def total(wanted: AlertFilter) -> tuple[int, bool]:
    """How many alerts match, and whether that is exact or a lower bound."""
    if needs_candidates(wanted):
        return _count(candidates(wanted))
    if wanted.start is not None or wanted.end is not None or wanted.assignee:
        counts = [_count(cell.rows) for cell in _cells(wanted)]
        return sum(count for count, _ in counts), all(exact for _, exact in counts)
    dimension, values = ("host", wanted.host) if wanted.host else ("rule", wanted.rule)
    return sum(cell["n"] for cell in _tallied(wanted, dimension, values, by_value=False)), True


def _count(rows: QuerySet[Alert]) -> tuple[int, bool]:
    count = rows.order_by()[: BOUND + 1].count()
    return min(count, BOUND), count <= BOUND


def cell_counts(wanted: AlertFilter) -> tuple[list[tuple[str, int, str, str, int]], bool]:
    """(status, severity, rule, host, count) of all that match but for status, severity, rule and host, bounded."""
    free = AlertFilter(
        text=wanted.text, user=wanted.user, src_ip=wanted.src_ip, control=wanted.control, assignee=wanted.assignee,
        start=wanted.start, end=wanted.end, rule=wanted.rule, host=wanted.host,
    )  # fmt: skip
    bounded = candidates(free).order_by().values("pk")[: BOUND + 1]
    fields = ("status", "severity", "rule", "host")
    rows = Alert.objects.filter(pk__in=bounded).values_list(*fields).annotate(n=Count("pk")).order_by()
    counts = [(status, severity, rule, host, count) for status, severity, rule, host, count in rows]
    return counts, sum(count for *_, count in counts) <= BOUND


_LARGEST = (1 << 63) - 1


def _after(wanted: AlertFilter) -> list[int]:
    if not wanted.cursor:
        return []
    try:
        sort, *values = json.loads(wanted.cursor)
        after = [int(value) for value in values]
    except (ValueError, TypeError, OverflowError, RecursionError):
        sort, after = "", []
    if (
        sort != wanted.sort
        or len(after) != len(_ORDERS[wanted.sort][0])
        or any(abs(value) > _LARGEST for value in after)  # no key of the database is beyond 64 bits
    ):
        raise QueryError("this cursor is not of this list", mend="begin at the first page")
    return after


def _cursor(sort: Sort, key: tuple[int, ...]) -> str:
    return json.dumps([sort, *key], separators=(",", ":"))


def _after_cursor(rows: QuerySet[Alert], sort: Sort, after: list[int]) -> QuerySet[Alert]:
    """What comes after a row of these values: (a > x) or (a = x and (b > y or …)), with the range said once more."""
    if not after:
        return rows
    fields, sign = _ORDERS[sort]
    step = "lt" if sign < 0 else "gt"
    beyond = Q()
    for field, value in reversed(list(zip(fields, after, strict=True))):
        beyond = Q(**{f"{field}__{step}": value}) | (Q(**{field: value}) & beyond if beyond else Q())
    return rows.filter(Q(**{f"{fields[0]}__{step}e": after[0]}) & beyond)


def grouped(rows: QuerySet[Tally], field: str) -> list[tuple[Any, int]]:
    """Sums of the tallies by one field, the largest first."""
    sums = rows.values(field).annotate(n=Sum("count")).filter(n__gt=0).order_by("-n", field)
    return [(one[field], one["n"]) for one in sums]
