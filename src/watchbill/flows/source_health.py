"""Sources are watched for what a rule then alerts on: silence, unread records, delay, clocks that differ (row D5).

Each trouble is put on the trail, and so into the ledger, once a day while it lasts.
"""

from __future__ import annotations

import json

from watchbill.core.clock import DAY, MINUTE, SECOND
from watchbill.core.paths import DataDir
from watchbill.state.assets import actions, queries
from watchbill.state.assets.tally import RECORDED_TRANSPORTS
from watchbill.state.assets.values import HourCount, SourceState, SourceView
from watchbill.state.trail import actions as trail
from watchbill.state.trail import queries as entries
from watchbill.state.trail.values import SYSTEM, TrailFilter

#: So many records of an hour that could not be read, and so large a share of it, are a trouble.
FEWEST_UNREAD, SHARE_UNREAD = 20, 0.01
#: When even the fastest record of an hour took longer than this, delivery is late.
LATE = 5 * MINUTE
#: When even the slowest clock reading of an hour lies this far in the future, the source's clock is wrong.
AHEAD = MINUTE


def watch_sources(now: int) -> None:
    """Look at every live source, and tell of what is wrong with it."""
    actions.watch_silence(now)
    for source in queries.sources(now=now):
        if source.transport in RECORDED_TRANSPORTS or now - source.last_seen > DAY:
            continue
        for hour in queries.source_hours(source.id, now=now, days=1)[-2:]:
            for action, detail in _troubles(hour):
                _tell(source, action, detail, now)


def watch_receivers(data: DataDir, now: int) -> None:
    """Tell of what the receiving process says that it cannot read or store."""
    try:
        status = json.loads((data.run / "collect-status.json").read_text())
    except (OSError, ValueError):
        return  # not started yet, or being written at this moment: the next look comes in seconds
    known = {(one.name, one.transport): one for one in queries.sources(now=now)}
    for one in status["sources"]:
        source = known.get((one["name"], one["transport"]))
        reason = (one["reason"] or one["last_error"]) if one["state"] in {"unreadable", "failed"} else ""
        if source is not None:
            if reason or source.state is SourceState.UNREADABLE:
                actions.note_unreadable(source.shard, source.number, source.name, source.transport, reason, now)
        elif reason:
            _tell_once("source.unreadable", one["name"], {"name": one["name"], "reason": reason[:300]}, now)
    if trouble := status["ledger"]["trouble"]:
        _tell_once("source.unreadable", "ledger", {"name": "ledger", "reason": trouble[:300]}, now)


def _troubles(hour: HourCount) -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    if hour.quarantined >= max(FEWEST_UNREAD, SHARE_UNREAD * hour.events):
        found.append(("source.parse_failures", {"quarantined": hour.quarantined, "events": hour.events}))
    if hour.least_delay is not None and hour.least_delay > LATE:
        found.append(("source.delayed", {"seconds": hour.least_delay // SECOND}))
    if hour.least_delay is not None and hour.least_delay < -AHEAD:
        found.append(("source.skewed", {"seconds_ahead": -hour.least_delay // SECOND}))
    return found


def _tell(source: SourceView, action: str, detail: dict[str, object], now: int) -> None:
    host = queries.most_critical_of(source.name)
    _tell_once(action, source.id, {"name": source.name, **({"host": host} if host else {}), **detail}, now)


def _tell_once(action: str, source_id: str, detail: dict[str, object], now: int) -> None:
    """Once a day: more often would only add noise to an alert that is open anyway."""
    if not entries.entries(TrailFilter(action=action, kind="source", object_id=source_id, start=now - DAY, limit=1)):
        trail.record(SYSTEM, action, "source", source_id, detail, now)
