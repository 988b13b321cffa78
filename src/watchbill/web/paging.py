"""Pages of lists, and the facets beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.http import HttpRequest


class Choice(NamedTuple):
    value: str
    label: str
    count: int  # type: ignore[assignment]  # a facet's value has a count; tuple.count is not missed
    chosen: bool


class Facet(NamedTuple):
    """``marked`` draws each value with its shape; ``more`` values are not shown."""

    key: str
    label: str
    values: tuple[Choice, ...]
    marked: bool = False
    more: int = 0


def facet(
    request: HttpRequest, key: str, label: str, counts: Iterable[tuple[str, int]], *, marked: bool = False
) -> Facet:
    """A facet from (value, count) pairs; what is chosen stays in sight even when nothing is left of it."""
    chosen = request.GET.getlist(key)
    pairs = dict(counts)
    pairs |= {value: 0 for value in chosen if value not in pairs}
    return Facet(
        key,
        label,
        tuple(Choice(value, value or "nobody", count, value in chosen) for value, count in pairs.items()),
        marked,
    )


def page_number(request: HttpRequest) -> int:
    text = request.GET.get("page", "1")
    return max(int(text), 1) if text.isdigit() and len(text) < 9 else 1


def pager(page: int, size: int, total: int) -> dict[str, Any]:
    """The context of components/pager.html."""
    pages = max(1, -(-total // size))
    page = min(page, pages)
    return {
        "total": total,
        "first": min((page - 1) * size + 1, total),
        "last": min(page * size, total),
        "previous": page - 1 if page > 1 else None,
        "next": page + 1 if page < pages else None,
    }
