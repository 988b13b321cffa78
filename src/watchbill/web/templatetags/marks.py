"""A state is a word and a shape; colour comes third, by class."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

_CHECK = '<rect x="1" y="1" width="14" height="14" rx="3" fill="currentColor"/><path d="M4.2 8.3l2.6 2.6 5-5.6" fill="none" stroke="var(--surface)" stroke-width="2"/>'
_CROSS = '<rect x="1" y="1" width="14" height="14" rx="3" fill="currentColor"/><path d="M5 5l6 6m0-6l-6 6" fill="none" stroke="var(--surface)" stroke-width="2"/>'
_RING = '<circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="2"/>'
_CLOCK = '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.8" stroke-dasharray="3 2"/><path d="M8 4.8V8l2.4 1.6" fill="none" stroke="currentColor" stroke-width="1.8"/>'
_HATCH = '<rect x="1.5" y="1.5" width="13" height="13" rx="3" fill="none" stroke="currentColor" stroke-dasharray="2 1.6"/><path d="M2 10l8-8M2 14.5L14.5 2M6.5 14.5l8-8" stroke="currentColor" stroke-width="1.1"/>'
_PEN = '<rect x="1.8" y="1.8" width="12.4" height="12.4" rx="3" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="M4.5 11.5l1-2.8 4.6-4.6 1.8 1.8-4.6 4.6z" fill="currentColor"/>'
_HALF = '<circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.8"/><path d="M8 2a6 6 0 010 12z" fill="currentColor"/>'

#: Each shape is told apart without its colour.
_DRAWN = {
    "critical": '<path d="M8 .8L15.2 8 8 15.2.8 8z" fill="currentColor"/>',
    "high": '<path d="M8 1.5L15.3 14.4H.7z" fill="currentColor"/>',
    "medium": _HALF,
    "low": _RING,
    "informational": '<circle cx="8" cy="8" r="2.6" fill="currentColor"/>',
    "proven": _CHECK, "passed": _CHECK, "sent": _CHECK, "resolved": _CHECK, "alive": _CHECK,
    "failing": _CROSS, "failed": _CROSS, "silent": _CROSS, "damaged": _CROSS, "gave-up": _CROSS,
    "attested": _PEN, "stale": _CLOCK, "queued": _CLOCK,
    "unknown": _HATCH,
    "open": _RING, "acknowledged": _HALF, "investigating": _HALF, "suppressed": _CLOCK,
    "active": _CHECK, "expired": _CLOCK, "ended": _CROSS,
}  # fmt: skip
SHAPES = {key: SafeString(drawn) for key, drawn in _DRAWN.items()}
WORDS = {"none": "nothing", "informational": "info", "gave-up": "gave up"}


@register.simple_tag
def shape(kind: object) -> SafeString:
    """The bare shape, for where the word stands beside it."""
    drawn = SHAPES.get(_key(kind), SHAPES["unknown"])
    return format_html(
        '<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="s-{}">{}</svg>', _css(kind), drawn
    )


@register.simple_tag
def state(kind: object, word: str = "") -> SafeString:
    """Shape and word: a severity, a control's state, a source's, a delivery's."""
    return format_html(
        '<span class="state s-{}">{}{}</span>', _css(kind), shape(kind), word or WORDS.get(_key(kind), str(kind))
    )


def _key(kind: object) -> str:
    return str(kind).lower().replace(" ", "-")


def _css(kind: object) -> str:
    return "".join(letter for letter in _key(kind) if letter.isalnum() or letter == "-")
