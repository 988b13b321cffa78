"""Controls are assessed: snapshots are taken, checks judge them, and every control gets its state with its reasons.

A check is pure over a snapshot; here are the functions that take the snapshots, one for each name that a check may
read. What the checks find is kept together with the snapshot, so that an auditor can judge it again.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from watchbill.core.clock import SECOND, Clock
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration
from watchbill.core.values import AlertStatus
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import RuleSet
from watchbill.flows import prove
from watchbill.ledger import Reader, shards
from watchbill.sdk import Check, Outcome, Verdict
from watchbill.state.accounts import queries as accounts
from watchbill.state.alerts import queries as alerts
from watchbill.state.alerts.values import AlertFilter, AlertRow, DeliveryState
from watchbill.state.assets import queries as assets
from watchbill.state.assets.values import AssetFilter
from watchbill.state.controls import actions, queries
from watchbill.state.controls.values import Signal

log = logging.getLogger(__name__)


def assess(data: DataDir, catalog: Catalog, rules: RuleSet, clock: Clock, *, force: bool = False) -> tuple[str, ...]:
    """Run the checks that are due (with ``force`` all), refresh every control's state; returns the changed controls."""
    now = clock.now()
    last = {view.id: view.at for view in queries.checks()}
    taken: dict[str, Any] = {}
    for check in catalog.checks:
        if force or now - last.get(check.id, 0) >= parse_duration(check.every):
            snapshot = {name: _snapshot(name, taken, data, now) for name in check.reads}
            actions.record_result(check, _verdict(check, snapshot), snapshot, now)
    return actions.refresh_states(now, signals(rules))


def signals(rules: RuleSet) -> list[Signal]:
    """What bears on controls beside checks: unresolved alerts, and rules that watch (they support, never prove)."""
    found = [
        Signal(one.control, "alert", one.alert, f"{one.alert} is unresolved: {one.title}", one.opened_at, one.severity)
        for one in alerts.control_alerts()
    ]
    for info in rules.infos.values():
        # Without a moment: one of now would make every look at a control a change of its reasons.
        found += [Signal(control, "rule", info.id, f"watched by: {info.title}", None) for control in info.controls]
    return found


def _verdict(check: Check, snapshot: Mapping[str, Any]) -> Verdict:
    try:
        return check.judge(snapshot)
    except Exception as error:
        # A check that cannot judge says so; it neither passes nor stops the others.
        log.exception("check %s could not judge", check.id)
        return Verdict(Outcome.UNKNOWN, f"the check could not judge: {type(error).__name__}: {error}")


def _snapshot(name: str, taken: dict[str, Any], data: DataDir, now: int) -> Any:
    if name not in taken:
        taken[name] = SNAPSHOTS[name](data, now)
    return taken[name]


def _sources(_data: DataDir, now: int) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "state": one.state.value,
            "events": one.events,
            "quarantined": one.quarantined,
            "skew_ms": None if one.skew is None else one.skew // 1_000_000,
        }
        for one in assets.sources(now=now)
    ]


def _assets(_data: DataDir, now: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        part = assets.assets(AssetFilter(page=page, size=500), now=now)
        found += [
            {
                "name": one.name,
                "criticality": one.criticality.value,
                "owner": one.owner,
                "reviewed": one.reviewed,
                "sources": sorted({seen.source for seen in one.seen_sources}),
            }
            for one in part.items
        ]
        if page >= part.pages:
            return found
        page += 1


def _accounts(_data: DataDir, _now: int) -> list[dict[str, Any]]:
    return [
        {"name": one.email, "role": one.role.value, "mfa": bool(one.mfa), "active": one.is_active}
        for one in accounts.users()
    ]


def _alerts(_data: DataDir, now: int) -> dict[str, Any]:
    wanted = AlertFilter(status=(AlertStatus.OPEN,), size=200)
    waiting: list[AlertRow] = []
    while True:
        page = alerts.alerts(wanted)
        waiting += page.items
        if not page.next:
            break
        wanted = msgspec.structs.replace(wanted, cursor=page.next)
    return {
        "now_s": now // SECOND,
        "total": sum(alerts.counts().status.values()),
        "open": [
            {"id": one.id, "title": one.title, "severity": one.severity.value, "opened_s": one.opened_at // SECOND}
            for one in waiting
        ],
    }


def _channels(_data: DataDir, _now: int) -> list[dict[str, Any]]:
    outcomes = {DeliveryState.SENT: "sent", DeliveryState.FAILED: "failed", DeliveryState.GAVE_UP: "gave-up"}
    found = []
    for channel in alerts.channels():
        newest = (outcomes.get(one.state) for one in alerts.deliveries(channel=channel.id, limit=50))
        last = next((outcome for outcome in newest if outcome), None)
        count = channel.sent + channel.waiting + channel.gave_up
        found.append({"name": channel.name, "enabled": channel.enabled, "deliveries": count, "last": last})
    return found


def _ledger(data: DataDir, now: int) -> dict[str, Any]:
    newest = prove.newest()
    verified = newest and {
        "at_s": newest.at // SECOND,
        "ok": newest.ok,
        "events": newest.events,
        "findings": [] if newest.ok else [f"{newest.place}: {newest.what}"],
    }
    events = sum(Reader(data.ledger, shard).head() for shard in shards(data.ledger))
    return {"now_s": now // SECOND, "events": events, "verified": verified}


def _storage(data: DataDir, _now: int) -> list[dict[str, Any]]:
    parts = {path.stat().st_dev: path for path in (data.root, data.ledger, data.lake)}
    usage = {path: shutil.disk_usage(path) for path in parts.values()}
    return [
        {"name": path.name, "used_bytes": one.used, "total_bytes": one.total} for path, one in sorted(usage.items())
    ]


#: One function for each name that a check may read.
SNAPSHOTS: dict[str, Callable[[DataDir, int], Any]] = {
    "accounts": _accounts,
    "alerts": _alerts,
    "assets": _assets,
    "channels": _channels,
    "ledger": _ledger,
    "sources": _sources,
    "storage": _storage,
}
