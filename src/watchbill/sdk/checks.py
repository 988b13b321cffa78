"""The contract of a check: one file in content/checks, one intended state of controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Outcome(StrEnum):
    """What a check found. Nothing to look at is UNKNOWN, never PASSED."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """``summary`` is one sentence with its numbers; ``findings`` name each thing that is not as intended."""

    outcome: Outcome
    summary: str
    findings: tuple[str, ...] = ()


class CheckExample(NamedTuple):
    snapshot: Mapping[str, Any]
    outcome: Outcome


class Check(NamedTuple):
    """``judge`` is pure over a snapshot (plain JSON values) that is saved with the verdict, so that an auditor can
    perform it again. ``reads`` names the snapshots it needs: flows/assess takes them, one function a name.
    ``every`` is the interval in words ("1h", "1d"); older verdicts than ``max_age`` are stale.
    """

    id: str
    title: str
    controls: tuple[str, ...]
    rationale: str
    mend: str
    reads: tuple[str, ...]
    judge: Callable[[Mapping[str, Any]], Verdict]
    examples: tuple[CheckExample, ...]
    every: str = "1h"
    max_age: str = "1d"
