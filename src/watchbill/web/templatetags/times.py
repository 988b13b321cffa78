"""Times: relative to read, exact (UTC) on hover; the local time is added by the browser that knows it."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from watchbill.core.clock import DAY, HOUR, MINUTE, SECOND, SystemClock
from watchbill.core.times import rfc3339, to_datetime

register = template.Library()
_FOREVER = 1 << 61


def relative(ns: int, now: int) -> str:
    """The distance in one short phrase: "4 min ago", "in 2 h", "3 days ago", then the date itself."""
    gap = abs(now - ns)
    if gap < 5 * SECOND:
        return "just now"
    for limit, unit, word in ((MINUTE, SECOND, "s"), (HOUR, MINUTE, "min"), (DAY, HOUR, "h"), (45 * DAY, DAY, "d")):
        if gap < limit:
            count = gap // unit
            return f"{count} {word} ago" if ns <= now else f"in {count} {word}"
    return f"{to_datetime(ns):%Y-%m-%d}"


@register.simple_tag
def when(ns: int | None, never: str = "never") -> SafeString | str:
    """Relative, exact on hover."""
    if not ns or ns > _FOREVER:
        return never
    return format_html(
        '<time datetime="{0}" title="{1} UTC" data-time>{2}</time>',
        rfc3339(ns), exact_text(ns), relative(ns, SystemClock().now()),
    )  # fmt: skip


@register.simple_tag
def exact(ns: int | None, never: str = "never") -> SafeString | str:
    """Exact to the millisecond, relative on hover."""
    if not ns or ns > _FOREVER:
        return never
    return format_html(
        '<time datetime="{0}" title="{1}" data-exact>{2}</time>',
        rfc3339(ns), relative(ns, SystemClock().now()), exact_text(ns),
    )  # fmt: skip


def exact_text(ns: int) -> str:
    return f"{to_datetime(ns):%Y-%m-%d %H:%M:%S}.{ns // 1_000_000 % 1000:03d}"


@register.filter
def day(ns: int) -> str:
    return f"{to_datetime(ns):%Y-%m-%d}"


@register.filter
def duration(ns: float | None) -> str:
    """A length of time from nanoseconds: "340 ms", "1.2 s", "4 min", "3 h", "2 d"."""
    if ns is None:
        return "unknown"
    sign, size = ("−" if ns < 0 else ""), abs(ns)
    if size < SECOND:
        return f"{sign}{size / 1e6:.0f} ms"
    if size < MINUTE:
        return f"{sign}{size / SECOND:.1f} s"
    for limit, unit, word in ((2 * HOUR, MINUTE, "min"), (2 * DAY, HOUR, "h")):
        if size < limit:
            return f"{sign}{size / unit:.0f} {word}"
    return f"{sign}{size / DAY:.0f} d"
