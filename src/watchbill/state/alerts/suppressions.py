"""Suppressions: what people declared to be expected, for a stated time and reason. Reached through ``actions``.

A detection that one covers still counts, as evidence of an alert that is *suppressed*: nobody is told, lists leave it
out unless asked, and each detection names the suppression that covered it. The first detection of the same rule and
group that none covers opens the alert and tells of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q

from watchbill.core.clock import DAY
from watchbill.core.errors import ConflictError, NotFoundError, WatchbillError
from watchbill.core.values import AlertStatus, Severity
from watchbill.sdk.rules import Detection
from watchbill.state.alerts import notifications, tallies, views
from watchbill.state.alerts.models import Alert, Entity, History, RuleTitle, Suppression
from watchbill.state.alerts.values import suppression_number
from watchbill.state.trail.actions import record

#: What detections name (engine.detect.evidence) and a condition may ask for.
KINDS = ("host", "user", "src_ip", "process", "group", "app", "file", "resource", "account")
#: Nothing is expected for longer without somebody saying so again.
LONGEST = 366 * DAY
_ADDRESSES = frozenset({"src_ip"})
_MOST_CONDITIONS = 8
_MOST_WILDCARDS = 4
_MOST_ALERTS = 10_000


class Covering(NamedTuple):
    """A suppression as detections are held against it."""

    id: int
    rule: str
    conditions: tuple[tuple[str, str], ...]
    up_to: int

    def covers(self, rule: str, severity: int, entities: Mapping[str, Iterable[str]]) -> bool:
        """Whether all that is involved of each kind is as its condition says: one foreign address among ten is not expected."""
        if severity > self.up_to or (self.rule and self.rule != rule):
            return False
        return all(_all_fit(kind, pattern, tuple(entities.get(kind, ()))) for kind, pattern in self.conditions)


def active(at: int) -> tuple[Covering, ...]:
    """The suppressions that hold at a time, the oldest first."""
    rows = Suppression.objects.filter(created_at__lte=at, expires_at__gt=at).filter(
        Q(ended_at=None) | Q(ended_at__gt=at)
    )
    return tuple(_covering(row) for row in rows.order_by("pk"))


def covering(detection: Detection, among: Sequence[Covering]) -> int | None:
    """The first that covers a detection, if any does."""
    if not among:
        return None
    hosts = {"host": (detection.host,)} if detection.host else {}
    entities = {**hosts, **detection.entities}
    for one in among:
        if one.covers(detection.rule, detection.severity.rank, entities):
            return one.id
    return None


def count(covered: Iterable[tuple[int, Detection]], at: int) -> None:
    """Account for the detections that were covered."""
    detections: Counter[int] = Counter()
    events: Counter[int] = Counter()
    for number, detection in covered:
        detections[number] += 1
        events[number] += detection.count
    for number, found in sorted(detections.items()):
        Suppression.objects.filter(pk=number).update(
            detections=F("detections") + found, events=F("events") + events[number], last_hit=at
        )


@transaction.atomic
def suppress(
    rule: str, conditions: Sequence[tuple[str, str]], *, reason: str, expires_at: int, by: str, at: int,
    up_to: Severity = Severity.HIGH,
) -> str:  # fmt: skip
    """Declare that what matches is expected until ``expires_at``; unresolved alerts that match are suppressed now.

    ``rule`` "" stands for all rules and needs a condition. A condition is (kind, pattern): ``*`` stands for anything, an
    address may be a network ("192.0.2.0/24"). Alerts more severe than ``up_to`` are never suppressed.
    """
    reason = reason.strip()
    found = _checked(rule, conditions)
    if not reason:
        raise WatchbillError(
            "a suppression needs its reason", mend="say why this is expected, for whoever reads it next year"
        )
    if expires_at <= at:
        raise WatchbillError("this suppression would be over before it begins", mend="name a time to come")
    if expires_at - at > LONGEST:
        raise WatchbillError("a suppression ends within a year", mend="choose a nearer end and renew it then")
    row = Suppression.objects.create(
        rule=rule, conditions=[list(one) for one in found], up_to=up_to.rank, reason=reason, created_by=by,
        created_at=at, expires_at=expires_at,
    )  # fmt: skip
    hidden = _hide(_covering(row), f"S-{row.pk}: {reason}", by=by, at=at)
    detail = {"rule": rule, "conditions": row.conditions, "up_to": up_to.value, "reason": reason, "expires": expires_at,
              "alerts": hidden}  # fmt: skip
    record(by, "alert.suppress", "suppression", f"S-{row.pk}", detail, at)
    return f"S-{row.pk}"


@transaction.atomic
def end_suppression(suppression_id: str, *, by: str, at: int, reopen: bool = True) -> tuple[str, ...]:
    """End one before its time. Its alerts that nothing else covers are opened and told of, unless ``reopen`` is false."""
    row = Suppression.objects.select_for_update().filter(pk=suppression_number(suppression_id)).first()
    if row is None:
        raise NotFoundError(f"there is no suppression {suppression_id}", mend="see the list: watchbill suppressions")
    if row.ended_at is not None or row.expires_at <= at:
        raise ConflictError(f"S-{row.pk} is over", mend="make a new one")
    row.ended_at, row.ended_by = at, by
    row.save(update_fields=["ended_at", "ended_by"])
    shown = _show(_covering(row), active(at), f"S-{row.pk} ended", by=by, at=at) if reopen else []
    record(by, "alert.suppress_end", "suppression", f"S-{row.pk}", {"reason": row.reason, "alerts": shown}, at)
    return tuple(shown)


def unhide(rows: Sequence[Alert], comment: str, *, by: str, at: int) -> None:
    """Suppressed alerts become open ones, and people are told."""
    if not rows:
        return
    _move(rows, AlertStatus.OPEN, "unsuppress", comment, by=by, at=at)
    for row in rows:
        row.reopened += 1  # each life of an alert has its own news
        row.save(update_fields=["reopened"])
    notifications.queue([(row, "unsuppressed") for row in rows], at)


def _hide(one: Covering, comment: str, *, by: str, at: int) -> list[str]:
    rows = _matching(one, AlertStatus.OPEN)
    _move(rows, AlertStatus.SUPPRESSED, "suppress", comment, by=by, at=at)
    return [f"A-{row.pk}" for row in rows]


def _show(one: Covering, others: Sequence[Covering], comment: str, *, by: str, at: int) -> list[str]:
    """Open what this one covered and no other covers."""
    rows = _matching(one, AlertStatus.SUPPRESSED)
    entities = _entities(rows)
    shown = [row for row in rows if not any(other.covers(row.rule, row.severity, entities[row.pk]) for other in others)]
    unhide(shown, comment, by=by, at=at)
    return [f"A-{row.pk}" for row in shown]


def _matching(one: Covering, status: AlertStatus) -> list[Alert]:
    rows = Alert.objects.select_for_update().filter(status=status, severity__lte=one.up_to)
    if one.rule:
        rows = rows.filter(rule=one.rule)
    found = list(rows.order_by("-pk")[:_MOST_ALERTS])
    entities = _entities(found)
    return [row for row in found if one.covers(row.rule, row.severity, entities[row.pk])]


def _entities(rows: Sequence[Alert]) -> dict[int, dict[str, tuple[str, ...]]]:
    return {row.pk: dict(shown.entities) for row, shown in zip(rows, views.rows(rows, values=None), strict=True)}


def _move(rows: Sequence[Alert], to: AlertStatus, step: str, comment: str, *, by: str, at: int) -> None:
    before = [tallies.cell(row) for row in rows]
    history = []
    for row in rows:
        history.append(History(alert=row, at=at, who=by, what=step, before=row.status, after=to, comment=comment))
        row.status = to
    Alert.objects.bulk_update(rows, ["status"], batch_size=500)
    Entity.objects.filter(alert__in=[row.pk for row in rows]).update(status=to)
    History.objects.bulk_create(history, batch_size=500)
    tallies.move(before, [tallies.cell(row) for row in rows])
    for row in rows:
        record(by, f"alert.{step}", "alert", f"A-{row.pk}", {"rule": row.rule, "to": to.value, "comment": comment}, at)


def _checked(rule: str, conditions: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    found = [(kind.strip(), pattern.strip()) for kind, pattern in conditions]
    if not rule and not found:
        raise WatchbillError("this would suppress everything", mend="name a rule, or at least one condition")
    if len(found) > _MOST_CONDITIONS:
        raise WatchbillError(f"at most {_MOST_CONDITIONS} conditions", mend="make several suppressions")
    if rule and not RuleTitle.objects.filter(rule=rule).exists():
        raise NotFoundError(f"no rule {rule!r} has alerted yet", mend="see the names: watchbill rules list")
    for kind, pattern in found:
        if kind not in KINDS:
            raise WatchbillError(f"{kind!r} cannot be asked for", mend=f"one of: {', '.join(KINDS)}")
        if not pattern.strip("* "):
            raise WatchbillError(f"the condition on {kind} holds for everything", mend="say which, or leave it out")
        if pattern.count("*") > _MOST_WILDCARDS or len(pattern) > 255:
            raise WatchbillError(
                f"the pattern {pattern[:40]!r} is too wide", mend=f"at most {_MOST_WILDCARDS} wildcards, 255 characters"
            )
        if kind in _ADDRESSES and "/" in pattern:
            _network(pattern)
    return found


def _all_fit(kind: str, pattern: str, values: Sequence[str]) -> bool:
    if not values:
        return False
    if kind in _ADDRESSES and "/" in pattern:
        network = _network(pattern)
        return all(_is_in(value, network) for value in values)
    wanted = _pattern(pattern)
    return all(wanted.fullmatch(value) for value in values)


@lru_cache(maxsize=1_024)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)


@lru_cache(maxsize=1_024)
def _network(pattern: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(pattern, strict=False)
    except ValueError:
        raise WatchbillError(
            f"{pattern!r} is no network", mend='write it like "192.0.2.0/24" or "2001:db8::/32"'
        ) from None


def _is_in(value: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(value) in network
    except ValueError:
        return False


def _covering(row: Suppression) -> Covering:
    return Covering(row.pk, row.rule, tuple((kind, pattern) for kind, pattern in row.conditions), row.up_to)
