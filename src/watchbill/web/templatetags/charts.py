"""Charts drawn on the server: inline SVG without a style attribute, each with a table behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

register = template.Library()


class Part(NamedTuple):
    """One colour of a stacked bar."""

    kind: str
    value: int


class Bar(NamedTuple):
    """One bar: what it is called, what it is made of, and where a click leads."""

    label: str
    parts: tuple[Part, ...]
    url: str = ""

    @property
    def total(self) -> int:
        return sum(part.value for part in self.parts)


class Day(NamedTuple):
    """One day of a strip. ``kind`` is a state; "none" is a day of which nothing is kept."""

    label: str
    kind: str
    note: str = ""
    url: str = ""


@register.inclusion_tag("components/bars.html")
def bars(data: Iterable[Bar], title: str, kinds: str = "", low: bool = False) -> dict[str, Any]:
    """Stacked bars over time. ``kinds`` names the parts in the order of the legend, separated by spaces."""
    drawn = tuple(data)
    return {"svg": _stacks(drawn, title), "bars": drawn, "title": title, "kinds": kinds.split(), "low": low}


def _stacks(drawn: Sequence[Bar], title: str) -> SafeString:
    top = max((bar.total for bar in drawn), default=0) or 1
    width, height = 10 * max(len(drawn), 1), 100
    shapes = [_stack(bar, index * 10 + 1, top, height) for index, bar in enumerate(drawn) if bar.total]
    return format_html(
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<line class="axis" x1="0" y1="{}" x2="{}" y2="{}"/>{}</svg>',
        width, height, f"{title}: at most {top} in one bar", height, width, height, _join(shapes),
    )  # fmt: skip


def _stack(bar: Bar, x: int, top: int, height: int) -> SafeString:
    rects, y = [], float(height)
    for part in bar.parts:
        if not part.value:
            continue
        tall = max(part.value / top * (height - 2), 1.5)
        y -= tall
        rects.append(
            format_html(
                '<rect class="s-{0} {0}" x="{1}" y="{2}" width="8" height="{3}"/>',
                part.kind,
                x,
                f"{y:.2f}",
                f"{tall:.2f}",
            )
        )
    said = ", ".join(f"{part.value} {part.kind}" for part in bar.parts if part.value) or "none"
    whole = format_html(
        '<g><title>{}: {}</title><rect x="{}" y="0" width="10" height="{}" fill="transparent"/>{}</g>',
        bar.label, said if len(bar.parts) > 1 else bar.total, x - 1, height, _join(rects),
    )  # fmt: skip
    return format_html('<a href="{}" tabindex="-1">{}</a>', bar.url, whole) if bar.url else whole


@register.simple_tag
def strip(days: Sequence[Day], title: str) -> SafeString:
    """How a thing went, a cell a day; hovering tells, clicking opens that day as it was.

    Places are in percent, not scaled by a viewBox: the hatch of unknown days keeps its shape at any width.
    """
    cells, step = [], 100 / max(len(days), 1)
    for index, one in enumerate(days):
        y, height = _HEIGHTS.get(one.kind, (0, 28))
        rect = format_html(
            '<g><title>{0}: {1}{2}</title><rect class="s-{3}" {4} x="{5}%" y="{6}" width="{7}%" height="{8}" rx="1"/></g>',
            one.label, "no record" if one.kind == "none" else one.kind, f" · {one.note}" if one.note else "", one.kind,
            _fill(one.kind), f"{index * step:.3f}", y, f"{step * 0.72:.3f}", height,
        )  # fmt: skip
        cells.append(format_html('<a href="{}" tabindex="-1">{}</a>', one.url, rect) if one.url else rect)
    return format_html('<div class="strip"><svg role="img" aria-label="{}">{}</svg></div>', title, _join(cells))


#: (y, height): failing days stand tall, stale ones lower, so that no day is told by its colour alone.
_HEIGHTS = {
    "failing": (0, 28),
    "unknown": (6, 22),
    "stale": (10, 18),
    "proven": (6, 22),
    "attested": (6, 22),
    "none": (24, 4),
}


def _fill(kind: str) -> SafeString:
    return format_html('fill="{}"', "url(#hatch)") if kind == "unknown" else SafeString("")


@register.simple_tag
def spark(values: Sequence[int], title: str) -> SafeString:
    """A row of small bars: how often lately, oldest on the left."""
    top = max(values, default=0) or 1
    rects = [
        format_html(
            '<rect class="bar" x="{}" y="{}" width="3" height="{}"/>', index * 4, f"{20 - size:.1f}", f"{size:.1f}"
        )
        for index, value in enumerate(values)
        if (size := max(value / top * 19, 2.0) if value else 0)
    ]
    width = max(len(values) * 4, 1)
    return format_html(
        '<svg viewBox="0 0 {} 20" preserveAspectRatio="none" role="img" aria-label="{}"><title>{}</title>'
        '<line class="axis" x1="0" y1="20" x2="{}" y2="20"/>{}</svg>',
        width, title, title, width, _join(rects),
    )  # fmt: skip


@register.simple_tag
def measure(parts: Iterable[Part], title: str) -> SafeString:
    """One bar split by kind, its whole being the denominator."""
    kept = [part for part in parts if part.value]
    total = sum(part.value for part in kept) or 1
    x, rects = 0.0, []
    for part in kept:
        wide = part.value / total * 100
        rects.append(
            format_html(
                '<rect class="s-{}" {} x="{}%" y="0" width="{}%" height="100%"><title>{} {}</title></rect>',
                part.kind,
                _fill(part.kind),
                f"{x:.2f}",
                f"{max(wide - 0.3, 0.3):.2f}",
                part.value,
                part.kind,
            )
        )
        x += wide
    said = ", ".join(f"{part.value} {part.kind}" for part in kept) or "none"
    return format_html('<svg class="measure" role="img" aria-label="{}">{}</svg>', f"{title}: {said}", _join(rects))


def _join(pieces: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((piece,) for piece in pieces))
