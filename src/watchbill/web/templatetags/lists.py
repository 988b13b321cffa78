"""What lists need: sort links, facets, numbers."""

from __future__ import annotations

from typing import Any

from django import template
from django.http import HttpRequest, QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)
def sort_by(context: dict[str, Any], key: str, label: str, default: str = "") -> SafeString:
    """A column's head: a click sorts by it, another turns the order. ``-`` before the key means descending."""
    request: HttpRequest = context["request"]
    now = request.GET.get("sort") or default
    asked = key if now == f"-{key}" else f"-{key}" if now == key else key
    query = request.GET.copy()
    query.pop("page", None)
    query["sort"] = asked
    attribute, arrow = "", ""
    if now.removeprefix("-") == key.removeprefix("-"):
        attribute, arrow = ("descending", "↓") if now.startswith("-") else ("ascending", "↑")
        query["sort"] = now[1:] if now.startswith("-") else f"-{now}"
    return format_html(
        '<th scope="col"{}><a href="?{}">{}{}</a></th>',
        format_html(' aria-sort="{}"', attribute) if attribute else "",
        query.urlencode(),
        label,
        format_html(' <span aria-hidden="true">{}</span>', arrow) if arrow else "",
    )


@register.simple_tag(takes_context=True)
def toggled(context: dict[str, Any], key: str, value: object) -> str:
    """The query string with this facet's value switched on, or off when it is on."""
    query: QueryDict = context["request"].GET.copy()
    query.pop("page", None)
    values = query.getlist(key)
    text = str(value)
    query.setlist(key, [one for one in values if one != text] if text in values else [*values, text])
    if not query.getlist(key):
        query.pop(key, None)
    return "?" + query.urlencode()


@register.filter
def number(value: float | None) -> str:
    """Thousands are parted by a thin space: 12 345."""
    if value is None:
        return "unknown"
    if value != int(value):
        return f"{value:,.1f}".replace(",", "\u202f")
    return f"{int(value):,}".replace(",", "\u202f")


@register.filter
def size(value: int | None) -> str:
    """Bytes as people read them."""
    amount = float(value or 0)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@register.filter
def field(mapping: dict[str, Any], key: str) -> Any:
    return mapping.get(key, "")
