"""From detections to alerts, in bulk. A part of ``actions.raise_alerts``.

The outcome does not depend on the order in which detections arrive: first and last are the extremes, severity the
highest, events the sum, ``why`` that of the most severe and then earliest detection, evidence the first and the newest
hundred by time.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from django.db.models import Count, Max

from watchbill.core import canonical
from watchbill.core.values import AlertStatus
from watchbill.sdk.rules import Detection, EventRef, RuleInfo
from watchbill.state.alerts import models, notifications, suppressions, tallies
from watchbill.state.alerts.values import SEVERITIES, Raised
from watchbill.state.trail.actions import record_many
from watchbill.state.trail.values import SYSTEM, Act

#: Evidence that is kept of one alert, from each end of its story.
KEPT = 100
_CHUNK = 500
_Key = TypeVar("_Key", str, int)
_CHANGING = ["severity", "criticality", "why", "why_from", "first", "last", "events", "detections"]


def apply(detections: Sequence[Detection], infos: Mapping[str, RuleInfo], at: int) -> Raised:
    fresh = _not_applied(detections)
    if not fresh:
        return Raised((), (), (), len(detections))
    groups: dict[str, list[Detection]] = defaultdict(list)
    for detection in fresh:
        groups[group_digest(detection.rule, detection.group)].append(detection)
    alerts = _unresolved(groups)
    before = {digest: (tallies.cell(row), row.severity) for digest, row in alerts.items()}
    changed = list(alerts.values())
    covered = _covered(fresh, at)
    created = _create([digest for digest in groups if digest not in alerts], groups, infos, covered, at)
    alerts |= {row.digest: row for row in created}
    for digest, parts in groups.items():
        for detection in parts:
            _add(alerts[digest], detection)
    _store(created, changed, alerts, groups, infos, covered, at)
    raised = [row for row in changed if row.severity > before[row.digest][1]]
    tallies.move(
        [before[row.digest][0] for row in raised], [tallies.cell(row) for row in (*created, *raised)]
    )  # fmt: skip
    _tell(created, raised, {digest: severity for digest, (_, severity) in before.items()}, at)
    _account(changed, groups, covered, at)
    return Raised(
        _ids(created), _ids(changed), _ids(raised), len(detections) - len(fresh)
    )  # fmt: skip


def _covered(fresh: Sequence[Detection], at: int) -> dict[str, int]:
    """For each detection that a suppression covers, which one."""
    among = suppressions.active(at)
    found = {one.id: suppressions.covering(one, among) for one in fresh} if among else {}
    return {digest: number for digest, number in found.items() if number is not None}


def _account(
    changed: Sequence[models.Alert], groups: Mapping[str, list[Detection]], covered: Mapping[str, int], at: int
) -> None:
    """Count what was covered, and open what was suppressed and now has evidence that nothing covers."""
    suppressions.count(
        ((covered[one.id], one) for parts in groups.values() for one in parts if one.id in covered), at
    )  # fmt: skip
    hidden = [row for row in changed if row.status == AlertStatus.SUPPRESSED]
    shown = [row for row in hidden if any(one.id not in covered for one in groups[row.digest])]
    suppressions.unhide(shown, "there is evidence that no suppression covers", by=SYSTEM, at=at)


def group_digest(rule: str, group: Sequence[tuple[str, str]]) -> str:
    """The name of (rule, group): at most one unresolved alert has it."""
    return hashlib.sha256(canonical.dumps([rule, [list(pair) for pair in group]])).hexdigest()[:32]


def _not_applied(detections: Sequence[Detection]) -> list[Detection]:
    wanted = {detection.id: detection for detection in detections}
    known: set[str] = set()
    for chunk in _chunks(list(wanted)):
        known.update(models.Detection.objects.filter(digest__in=chunk).values_list("digest", flat=True))
    return [detection for key, detection in wanted.items() if key not in known]


def _unresolved(digests: Iterable[str]) -> dict[str, models.Alert]:
    found: dict[str, models.Alert] = {}
    for chunk in _chunks(sorted(digests)):
        rows = models.Alert.objects.select_for_update().filter(digest__in=chunk)
        found |= {row.digest: row for row in rows.exclude(status=AlertStatus.RESOLVED).order_by("pk")}
    return found


def _create(
    digests: Sequence[str], groups: Mapping[str, list[Detection]], infos: Mapping[str, RuleInfo],
    covered: Mapping[str, int], at: int,
) -> list[models.Alert]:  # fmt: skip
    """New alerts in the order of their first events; each names the last resolved one of its kind, if there was any."""
    predecessors: dict[str, int] = {}
    for chunk in _chunks(digests):
        latest = models.Alert.objects.filter(digest__in=chunk).values("digest").annotate(newest=Max("id"))
        predecessors |= {row["digest"]: row["newest"] for row in latest}
    rows = []
    for digest in sorted(digests, key=lambda one: (min(part.first for part in groups[one]), one)):
        part = groups[digest][0]
        info = infos.get(part.rule)
        hidden = all(one.id in covered for one in groups[digest])
        rows.append(
            models.Alert(
                rule=part.rule,
                status=AlertStatus.SUPPRESSED if hidden else AlertStatus.OPEN,
                digest=digest,
                group=[list(pair) for pair in part.group],
                title=(info.title if info else part.rule)[:300],
                owner=info.owner if info else "",
                controls=list(info.controls) if info else [],
                host=part.host[:255],
                severity=0,
                criticality=part.criticality.value,
                first=part.first,
                last=part.last,
                events=0,
                detections=0,
                opened_at=at,
                predecessor_id=predecessors.get(digest),
            )
        )
    return rows


def _add(row: models.Alert, detection: Detection) -> None:
    row.first = min(row.first, detection.first)
    row.last = max(row.last, detection.last)
    row.events += detection.count
    row.detections += 1
    row.severity = max(row.severity, detection.severity.rank)
    # Fixed width, so that text compares as the numbers would: the highest severity, then the earliest, wins.
    standing = f"{detection.severity.rank} {(1 << 63) - 1 - detection.first:019d} {detection.id}"[:200]
    if standing > row.why_from:
        row.why_from = standing
        row.why = list(detection.why)
        row.criticality = detection.criticality.value


def _store(
    created: list[models.Alert],
    changed: list[models.Alert],
    alerts: Mapping[str, models.Alert],
    groups: Mapping[str, list[Detection]],
    infos: Mapping[str, RuleInfo],
    covered: Mapping[str, int],
    at: int,
) -> None:
    models.Alert.objects.bulk_create(created, batch_size=_CHUNK)
    models.Alert.objects.bulk_update(changed, _CHANGING, batch_size=100)
    models.Detection.objects.bulk_create(
        [
            _detection_row(alerts[digest], one, covered.get(one.id), at)
            for digest, parts in groups.items()
            for one in parts
        ],
        batch_size=_CHUNK,
    )
    models.Entity.objects.bulk_create(
        [row for digest, parts in groups.items() for row in _entity_rows(alerts[digest], parts)],
        ignore_conflicts=True,
        batch_size=_CHUNK,
    )
    _store_evidence(alerts, groups)
    titles = {row.rule: row.title for row in created if row.rule in infos}
    models.RuleTitle.objects.bulk_create(
        [models.RuleTitle(rule=rule, title=title) for rule, title in sorted(titles.items())],
        update_conflicts=True, unique_fields=["rule"], update_fields=["title"],
    )  # fmt: skip


def _detection_row(
    alert: models.Alert, detection: Detection, suppression: int | None, at: int
) -> models.Detection:  # fmt: skip
    return models.Detection(
        digest=detection.id, alert=alert, severity=detection.severity.rank, first=detection.first,
        last=detection.last, events=detection.count, why=list(detection.why), applied_at=at,
        suppression_id=suppression,
    )  # fmt: skip


def _entity_rows(alert: models.Alert, parts: Sequence[Detection]) -> list[models.Entity]:
    """Who and what; the controls stand among them, so that one index answers all of these filters."""
    found = {("control", control) for control in alert.controls}
    for detection in parts:
        found |= {(kind, value) for kind, values in detection.entities.items() for value in values if value}
        if detection.host:
            found.add(("host", detection.host))
    return [
        models.Entity(alert=alert, kind=kind[:32], value=value[:255], status=alert.status)
        for kind, value in sorted(found)
    ]


def _store_evidence(alerts: Mapping[str, models.Alert], groups: Mapping[str, list[Detection]]) -> None:
    rows = []
    for digest, parts in groups.items():
        refs = sorted({ref[:2]: ref for part in parts for ref in part.events}.values(), key=_story_order)
        kept = refs if len(refs) <= 2 * KEPT else refs[:KEPT] + refs[-KEPT:]
        rows += [
            models.Evidence(
                alert=alerts[digest], shard=ref.shard, position=ref.position, time=ref.time, host=ref.host[:255],
                message=ref.message,
            )
            for ref in kept
        ]  # fmt: skip
    models.Evidence.objects.bulk_create(rows, ignore_conflicts=True, batch_size=_CHUNK)
    keys = sorted({row.alert_id for row in rows})
    for chunk in _chunks(keys):
        counts = models.Evidence.objects.filter(alert__in=chunk).values("alert").annotate(n=Count("pk"))
        for alert_id in counts.filter(n__gt=2 * KEPT).values_list("alert", flat=True):
            _prune(alert_id)


def _prune(alert_id: int) -> None:
    """Keep both ends of the story. What is kept of a part always holds what is kept of the whole."""
    rows = models.Evidence.objects.filter(alert=alert_id).order_by("time", "shard", "position")
    keys = list(rows.values_list("pk", flat=True))
    for chunk in _chunks(keys[KEPT:-KEPT]):
        models.Evidence.objects.filter(pk__in=chunk).delete()


def _story_order(ref: EventRef) -> tuple[int, int, int]:
    return ref.time, ref.shard, ref.position


def _tell(
    created: list[models.Alert], raised: list[models.Alert], before: Mapping[str, int], at: int
) -> None:  # fmt: skip
    """History, trail and notifications of what is new and of what became worse; of what is suppressed nobody is told."""
    history, acts = [], []
    for row in created:
        seen = f"seen before: A-{row.predecessor_id}" if row.predecessor_id else ""
        history.append(
            models.History(alert=row, at=at, who=SYSTEM, what="opened", after=row.status, comment=seen)
        )  # fmt: skip
        acts.append(Act(SYSTEM, "alert.open", "alert", f"A-{row.pk}", _facts(row), at))
    for row in raised:
        was, now = _word(before[row.digest]), _word(row.severity)
        history.append(models.History(alert=row, at=at, who=SYSTEM, what="severity", before=was, after=now))
        acts.append(Act(SYSTEM, "alert.raise", "alert", f"A-{row.pk}", {"from": was, "to": now, "rule": row.rule}, at))
    models.History.objects.bulk_create(history, batch_size=_CHUNK)
    record_many(acts)
    news = [(row, "new") for row in created] + [(row, "raised") for row in raised]
    notifications.queue([(row, what) for row, what in news if row.status != AlertStatus.SUPPRESSED], at)


def _facts(row: models.Alert) -> dict[str, object]:
    return {
        "rule": row.rule,
        "title": row.title,
        "severity": _word(row.severity),
        "group": dict(row.group),
        "events": row.events,
        "first": row.first,
        "last": row.last,
        "predecessor": f"A-{row.predecessor_id}" if row.predecessor_id else "",
    }


def _word(rank: int) -> str:
    return SEVERITIES[rank - 1].value


def _ids(rows: Iterable[models.Alert]) -> tuple[str, ...]:
    return tuple(f"A-{row.pk}" for row in rows)


def _chunks(items: Sequence[_Key]) -> Iterable[Sequence[_Key]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
