"""Cisco Duo: authentication and administrator logs of its Admin API. Format: https://duo.com/docs/adminapi#logs"""

from __future__ import annotations

from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_FORM = audit.Form(
    product="Duo",
    vendor="Cisco",
    operation=("action", "event_type"),
    service=("application.name",),
    actor=("user.name", "username"),
    actor_uid=("user.key",),
    address=("access_device.ip",),
    time=("isotimestamp", "timestamp"),
    uid=("txid",),
    detail=("reason", "description"),
    entrance="duo",
)
_SOURCE = LogSource("cisco", "duo")
_KINDS = {
    "admin_create": audit.USER_CREATED, "admin_delete": audit.USER_DELETED, "user_create": audit.USER_CREATED,
    "user_delete": audit.USER_DELETED, "admin_login": audit.SIGN_IN, "admin_login_error": audit.SIGN_IN,
    "admin_reset_password": audit.PASSWORD_RESET, "bypass_create": audit.MFA_DISABLED, "phone_create": audit.MFA_ENABLED,
    "group_create": audit.GROUP_CREATED, "group_delete": audit.GROUP_DELETED, "admin_lockout": audit.USER_LOCKED,
}  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate one event."""
    data = line.data
    if not data:
        return None
    native: dict[str, Any] = flat.flatten(data)
    if isinstance(data.get("access_device"), dict) and data.get("event_type") in {"authentication", "enrollment"}:
        result = audit.first(native, ("result",))
        act = audit.Act(
            audit.SIGN_IN, failed=result in {"denied", "failure", "fraud"}, mfa=bool(audit.first(native, ("factor",)))
        )
        return audit.event(_FORM, line, native, _SOURCE, act)
    action = data.get("action")
    if not isinstance(action, str) or "isotimestamp" not in data or "username" not in data:
        return None
    target = audit.first(native, ("object",))
    act = audit.Act(
        _KINDS.get(action, audit.CALL),
        failed=action.endswith("_error"),
        user=target,
        group=target,
        resources=((target, "object"),) if target else (),
    )
    return audit.event(_FORM, line, native, _SOURCE, act)


PARSER = Parser(
    id="duo",
    title="Cisco Duo",
    logsource=_SOURCE,
    parse=parse,
    keys=(frozenset({"access_device", "event_type"}), frozenset({"action", "isotimestamp", "username"})),
    rank=20,
    samples=(
        Sample(
            '{"access_device":{"ip":"192.0.2.7"},"application":{"name":"VPN"},"event_type":"authentication","factor":"duo_push","isotimestamp":"2026-03-04T10:00:00.000000+00:00",'
            '"reason":"user_marked_fraud","result":"fraud","txid":"t-1","user":{"key":"u","name":"ana"}}',
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "ana", "src_endpoint.ip": "192.0.2.7", "service.name": "VPN", "is_mfa": True},
            {"event_type": "authentication", "reason": "user_marked_fraud"},
            time="2026-03-04T10:00:00Z",
        ),
        Sample(
            '{"action":"bypass_create","description":"{}","isotimestamp":"2026-03-04T10:00:00+00:00","object":"eve","timestamp":1772618400,"username":"ana"}',
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 11, "user.name": "eve", "actor.user.name": "ana"},
        ),
        Sample('{"action":"x","isotimestamp":"y","user":7,"access_device":[],"event_type":"authentication"}', None),
    ),
)  # fmt: skip
