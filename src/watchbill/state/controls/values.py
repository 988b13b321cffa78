"""What controls give to others, and what is told to them. Times and durations are nanoseconds."""

from __future__ import annotations

from typing import Any

import msgspec

from watchbill.core.values import ControlState, Severity
from watchbill.sdk.checks import Outcome


class Signal(msgspec.Struct, frozen=True):
    """Something outside this app that bears on a control: an unresolved alert (``kind`` "alert", with severity), or
    watching that is alive ("rule": it supports the control and never proves it). ``reference`` names it ("A-12", a
    rule's name); ``words`` say it. ``at`` is None for what holds now and began at no moment worth telling.
    """

    control: str
    kind: str
    reference: str
    words: str
    at: int | None
    severity: Severity | None = None


class Reason(msgspec.Struct, frozen=True):
    """One thing that a control's state is made of. ``kind``: check, alert, rule, attestation or none."""

    kind: str
    reference: str
    words: str
    at: int | None = None


class ControlRow(msgspec.Struct, frozen=True):
    """A control as the grid shows it. ``since`` is when it came into this state."""

    id: str
    title: str
    theme: str
    state: ControlState
    since: int
    reasons: tuple[Reason, ...]
    owner: str
    applicable: bool


class CheckView(msgspec.Struct, frozen=True):
    id: str
    title: str
    controls: tuple[str, ...]
    max_age: int
    outcome: Outcome
    summary: str
    at: int
    passed_at: int | None


class ResultView(msgspec.Struct, frozen=True):
    """``snapshot`` is what was judged; ``digest`` its SHA-256 as it stands in the trail."""

    id: int
    check: str
    at: int
    outcome: Outcome
    summary: str
    findings: tuple[str, ...]
    snapshot: dict[str, Any]
    digest: str


class AttestationView(msgspec.Struct, frozen=True):
    id: int
    who: str
    statement: str
    at: int
    valid_until: int
    withdrawn_at: int | None


class ChangeView(msgspec.Struct, frozen=True):
    at: int
    state: ControlState
    reasons: tuple[Reason, ...]


class ControlView(msgspec.Struct, frozen=True):
    """All of a control. ``facts`` is the catalogue's entry (kinds, watch, evidence, edition_2013 …)."""

    row: ControlRow
    framework: str
    max_age: int
    facts: dict[str, Any]
    justification: str
    checks: tuple[CheckView, ...]
    attestations: tuple[AttestationView, ...]
    changes: tuple[ChangeView, ...]


class Day(msgspec.Struct, frozen=True):
    """A day of a strip: the worst state of the day (None before anything was known of the control)."""

    start: int
    state: ControlState | None


class Summary(msgspec.Struct, frozen=True):
    """How many applicable controls are in each state, in all and by theme; ``excluded`` are not applicable."""

    total: int
    excluded: int
    states: dict[ControlState, int]
    themes: dict[str, dict[ControlState, int]]
