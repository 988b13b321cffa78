"""Everything that changes controls and what is known of them."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from django.db import transaction

from watchbill.core.clock import DAY
from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.times import parse_duration
from watchbill.core.values import ControlState
from watchbill.sdk.checks import Check, Outcome, Verdict
from watchbill.state.controls import models, queries
from watchbill.state.controls.judgement import judge
from watchbill.state.controls.values import AttestationView, CheckView, Signal
from watchbill.state.trail.actions import record, record_many
from watchbill.state.trail.values import SYSTEM, Act


@transaction.atomic
def sync_framework(framework: str, controls: Sequence[Mapping[str, Any]], at: int) -> tuple[str, ...]:
    """Bring the catalogue to what a framework says; returns the ids that are new or said differently.

    Each mapping has id, title, theme and, in words, max_age ("1d"; default 365d); the rest is kept as its facts.
    A control that is gone from the framework is retired and keeps its history.
    """
    known = {row.key: row for row in models.Control.objects.select_for_update().filter(framework=framework)}
    new, changed = [], []
    for place, control in enumerate(controls):
        row = known.pop(control["id"], None)
        facts = json.loads(json.dumps(control))  # as the database gives it back: a list is no tuple
        said = {
            "place": place, "title": control["title"], "theme": control["theme"], "facts": facts, "retired": False,
            "max_age": parse_duration(control.get("max_age", "365d")),
        }  # fmt: skip
        if row is None:
            new.append(models.Control(key=control["id"], framework=framework, since=at, **said))
        elif any(getattr(row, name) != value for name, value in said.items()):
            for name, value in said.items():
                setattr(row, name, value)
            changed.append(row)
    gone = [row for row in known.values() if not row.retired]
    for row in gone:
        row.retired = True
    models.Control.objects.bulk_create(new, batch_size=200)
    models.Control.objects.bulk_update([*changed, *gone], ["place", "title", "theme", "facts", "retired", "max_age"])
    touched = tuple(row.key for row in (*new, *changed, *gone))
    if touched:
        detail = {"new": len(new), "changed": [row.key for row in changed], "retired": [row.key for row in gone]}
        record(SYSTEM, "control.sync", "framework", framework, detail, at)
    return touched


@transaction.atomic
def record_result(check: Check, verdict: Verdict, snapshot: Mapping[str, Any], at: int) -> int:
    """Keep a check's verdict with the snapshot that it was made from (plain JSON values); returns the result's id."""
    text = json.dumps(snapshot, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    row = models.Check.objects.select_for_update().filter(key=check.id).first() or models.Check(key=check.id, at=at)
    row.title, row.controls, row.max_age = check.title[:300], list(check.controls), parse_duration(check.max_age)
    if at >= row.at:
        row.at, row.outcome, row.summary = at, verdict.outcome.value, verdict.summary
    if verdict.outcome is Outcome.PASSED:
        row.passed_at = max(row.passed_at or 0, at)
    row.save()
    result = models.Result.objects.create(
        check_row=row, at=at, outcome=verdict.outcome.value, summary=verdict.summary, findings=list(verdict.findings),
        snapshot=text, digest=digest,
    )  # fmt: skip
    detail = {"outcome": verdict.outcome.value, "summary": verdict.summary, "findings": len(verdict.findings),
              "snapshot_sha256": digest, "controls": list(check.controls), "result": result.pk}  # fmt: skip
    record(SYSTEM, "control.check", "check", check.id, detail, at)
    return result.pk


@transaction.atomic
def attest(control: str, statement: str, *, valid_until: int, by: str, at: int) -> int:
    """Vouch for a control until a moment; returns the attestation's id. Seen in its state by the next refresh."""
    row, statement = _control(control), statement.strip()
    if not statement:
        raise WatchbillError("an attestation needs its statement", mend="say what you saw or know, and how")
    if not at < valid_until <= at + 3 * 366 * DAY:
        raise WatchbillError("an attestation holds from now until at most three years", mend="choose another day")
    one = models.Attestation.objects.create(control=row, who=by, statement=statement, at=at, valid_until=valid_until)
    detail = {"statement": statement, "valid_until": valid_until, "attestation": one.pk}
    record(by, "control.attest", "control", row.key, detail, at)
    return one.pk


@transaction.atomic
def withdraw_attestation(attestation_id: int, *, by: str, at: int) -> None:
    row = models.Attestation.objects.select_for_update().filter(pk=attestation_id).first()
    if row is None:
        raise NotFoundError(f"there is no attestation {attestation_id}")
    if row.withdrawn_at is not None:
        raise ConflictError("it is withdrawn already")
    row.withdrawn_at = at
    row.save(update_fields=["withdrawn_at"])
    record(by, "control.withdraw", "control", row.control.key, {"attestation": row.pk, "who": row.who}, at)


@transaction.atomic
def set_owner(control: str, owner: str, *, by: str, at: int) -> None:
    row = _control(control)
    before, row.owner = row.owner, owner.strip()
    row.save(update_fields=["owner"])
    record(by, "control.owner", "control", row.key, {"from": before, "to": row.owner}, at)


@transaction.atomic
def set_applicable(control: str, *, applicable: bool, justification: str, by: str, at: int) -> None:
    """The statement of applicability's line for one control of Annex A. Clauses cannot be left out (ISO 27001, 6.1.3)."""
    row, justification = _control(control), justification.strip()
    if not applicable and row.theme == "clause":
        raise ConflictError(f"clause {row.key} cannot be left out", mend="only controls of Annex A can")
    if not justification:
        raise WatchbillError("a statement of applicability needs its justification", mend="say why")
    detail = {"from": row.applicable, "to": applicable, "justification": justification}
    row.applicable, row.justification = applicable, justification
    row.save(update_fields=["applicable", "justification"])
    record(by, "control.applicable", "control", row.key, detail, at)


@transaction.atomic
def refresh_states(now: int, signals: Iterable[Signal] = ()) -> tuple[str, ...]:
    """Judge all controls anew; returns the ids whose state changed. A change of the state, or of what
    it rests on, is kept with its reasons and moment.

    ``signals`` is all that there is now: unresolved alerts by control, rules that watch it.
    """
    by_control: defaultdict[str, list[Signal]] = defaultdict(list)
    for signal in signals:
        by_control[signal.control].append(signal)
    checks: defaultdict[str, list[CheckView]] = defaultdict(list)
    for check in queries.checks():
        for control in check.controls:
            checks[control].append(check)
    attestations: defaultdict[int, list[AttestationView]] = defaultdict(list)
    for one in models.Attestation.objects.order_by("-at", "-pk"):
        attestations[one.control_id].append(queries.attestation_view(one))
    rows, changes, acts = [], [], []
    for row in models.Control.objects.select_for_update().filter(retired=False).order_by("pk"):
        state, found = judge(checks[row.key], attestations[row.pk], by_control[row.key], now)
        reasons = [msgspec.to_builtins(reason) for reason in found]
        if state == row.state and reasons == row.reasons:
            continue
        if state != row.state or _made_of(reasons) != _made_of(row.reasons):
            changes.append(models.Change(control=row, at=now, state=state, reasons=reasons))
        if state != row.state:
            acts.append(_state_act(row, state, reasons, now))
            row.state, row.since = state, now
        row.reasons = reasons
        rows.append(row)
    models.Control.objects.bulk_update(rows, ["state", "since", "reasons"], batch_size=100)
    models.Change.objects.bulk_create(changes, batch_size=200)
    record_many(acts)
    return tuple(act.object_id for act in acts)


def _made_of(reasons: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What a state rests on, in its order: the words of a check's result hold numbers that change at every run."""
    return [(reason["kind"], reason["reference"]) for reason in reasons]


def _state_act(row: models.Control, state: ControlState, reasons: list[dict[str, Any]], now: int) -> Act:
    detail = {"from": str(row.state), "to": state.value, "reasons": [reason["words"] for reason in reasons[:5]]}
    return Act(SYSTEM, "control.state", "control", row.key, detail, now)


def _control(key: str) -> models.Control:
    row = models.Control.objects.select_for_update().filter(key=key).first()
    if row is None:
        raise NotFoundError(f"there is no control {key}", mend="write for instance A.8.15 or 9.2")
    return row
