"""Watchbill's own events: sources that fall silent, sign-ins, what people did. One JSON object a line."""

from __future__ import annotations

from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

# Event name (or its part before the dot) to (class, activity, status); the rest are Base Events.
_FORMS: dict[str, tuple[int, int, int]] = {
    "sign_in": (ocsf.AUTHENTICATION, 1, ocsf.SUCCESS),
    "sign_in.failed": (ocsf.AUTHENTICATION, 1, ocsf.FAILURE),
    "sign_out": (ocsf.AUTHENTICATION, 2, ocsf.SUCCESS),
    "user.create": (ocsf.ACCOUNT_CHANGE, 1, ocsf.SUCCESS),
    "user.created": (ocsf.ACCOUNT_CHANGE, 1, ocsf.SUCCESS),
    "user.role": (ocsf.ACCOUNT_CHANGE, 7, ocsf.SUCCESS),
    "user.password": (ocsf.ACCOUNT_CHANGE, 3, ocsf.SUCCESS),
    "user.deactivate": (ocsf.ACCOUNT_CHANGE, 5, ocsf.SUCCESS),
    "user.deactivated": (ocsf.ACCOUNT_CHANGE, 5, ocsf.SUCCESS),
    "process.restarted": (ocsf.APPLICATION_LIFECYCLE, 5, ocsf.SUCCESS),
    "export.made": (ocsf.EVENT_LOG_ACTIVITY, 3, ocsf.SUCCESS),
}
_SEVERITIES = {
    "ledger.damaged": 5, "copy.damaged": 5, "copy.behind": 4, "engine.miscount": 5, "anchor.failing": 3, "storage.near_full": 4, "source.silent": 4, "source.gap": 3, "source.parse_failures": 3, "source.replayed": 4, "source.refused": 2,
    "source.delayed": 2, "source.skewed": 2, "delivery.failed": 3, "process.restarted": 2,
}  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate {"watchbill": 1, "event": …, "at": ns, "actor": …, "object": {"kind", "id"}, "detail": {…}}."""
    data = line.data
    if not data or data.get("watchbill") != 1 or not isinstance(data.get("event"), str):
        return None
    native = flat.flatten(data)
    name, at = data["event"], data.get("at")
    class_uid, activity, status = _FORMS.get(name, (ocsf.BASE, ocsf.UNKNOWN, ocsf.SUCCESS))
    values = ocsf.template(class_uid, activity, "Watchbill", "Watchbill", status)
    values["message"] = message = _message(native)
    values["severity_id"] = _SEVERITIES.get(name, values["severity_id"])
    actor, thing = str(native.get("actor", "")), str(native.get("object.id", ""))
    values["actor.user.name"] = actor
    if class_uid == ocsf.AUTHENTICATION:
        values |= {
            "user.name": str(native.get("detail.user") or native.get("detail.email") or actor),
            "service.name": "watchbill",
        }
    elif class_uid == ocsf.ACCOUNT_CHANGE:
        values["user.name"] = str(native.get("detail.email") or thing)
    elif class_uid == ocsf.APPLICATION_LIFECYCLE:
        values["app.name"] = thing or "watchbill"
    elif class_uid == ocsf.EVENT_LOG_ACTIVITY:
        values["log_name"] = "ledger"
    else:
        values["unmapped.event"] = name
        values["unmapped.object.kind"], values["unmapped.object.id"] = str(native.get("object.kind", "")), thing
    if native.get("detail.ip") and class_uid != ocsf.BASE:
        where, address = ocsf.source(str(native["detail.ip"]))
        values[where] = address
    time = at if isinstance(at, int) and at > 0 else 0
    return Event(class_uid, values, native, message, time, host=str(native.get("detail.host", "")) or "watchbill")


def _message(native: dict[str, Any]) -> str:
    """The event in one line, for keyword searches and lists."""
    parts = [f"{native['event']} by {native.get('actor', 'system')}"]
    if native.get("object.id"):
        parts.append(f"{native.get('object.kind', 'object')} {native['object.id']}")
    parts += [f"{name[7:]}={value}" for name, value in native.items() if name.startswith("detail.")]
    return "; ".join(parts)


PARSER = Parser(
    id="watchbill",
    title="Watchbill's own events",
    logsource=LogSource("watchbill", "self"),
    parse=parse,
    keys=(frozenset({"watchbill", "event"}),),
    internal=True,
    rank=5,
    samples=(
        Sample(
            '{"watchbill":1,"event":"source.silent","at":1772618400000000000,"actor":"system","object":{"kind":"source","id":"1-4"},"detail":{"name":"db-01","minutes":30}}',
            ocsf.BASE,
            {"severity_id": 4, "unmapped.event": "source.silent", "unmapped.object.id": "1-4"},
            {"event": "source.silent", "actor": "system", "object.kind": "source", "detail.minutes": 30},
            time="2026-03-04T10:00:00Z",
        ),
        Sample(
            '{"watchbill":1,"event":"sign_in.failed","at":1772618400000000000,"actor":"eve@example.com","object":{"kind":"user","id":"eve@example.com"},"detail":{"ip":"192.0.2.7"}}',
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "eve@example.com", "service.name": "watchbill", "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            '{"watchbill":1,"event":"user.role","at":1772618400000000000,"actor":"root@example.com","object":{"kind":"user","id":"ana@example.com"},"detail":{"role":"administrator"}}',
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 7, "user.name": "ana@example.com", "actor.user.name": "root@example.com"},
            {"detail.role": "administrator"},
        ),
        Sample('{"watchbill":2,"event":5}', None),
    ),
)  # fmt: skip
