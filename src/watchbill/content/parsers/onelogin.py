"""OneLogin events. Format: https://developers.onelogin.com/api-docs/2/events/event-resource"""

from __future__ import annotations

from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_FORM = audit.Form(
    product="OneLogin",
    vendor="OneLogin",
    operation=("event_type_name", "operation_name", "event_type_id"),
    actor=("actor_user_name", "user_name"),
    actor_uid=("actor_user_id", "user_id"),
    address=("ipaddr",),
    time=("created_at", "event_timestamp"),
    uid=("id", "uuid"),
    detail=("error_description", "notes"),
    service=("app_name",),
    entrance="onelogin",
)
_SOURCE = LogSource("onelogin", "onelogin.events")
#: https://developers.onelogin.com/api-docs/1/events/event-types : (kind, whether it failed)
_KINDS = {
    "5": (audit.SIGN_IN, False), "6": (audit.SIGN_IN, True), "7": (audit.SIGN_OUT, False), "8": (audit.SIGN_IN, False),
    "9": (audit.SIGN_IN, True), "11": (audit.PASSWORD_CHANGED, False), "13": (audit.USER_CREATED, False),
    "16": (audit.USER_ENABLED, False), "17": (audit.USER_DELETED, False), "19": (audit.USER_LOCKED, False),
    "21": (audit.USER_UNLOCKED, False), "24": (audit.MFA_ENABLED, False), "26": (audit.MFA_DISABLED, False),
    "72": (audit.RIGHT_GIVEN, False), "532": (audit.USER_LOCKED, False),
}  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate one event. The host is the account, "onelogin:<id>"."""
    data = line.data
    if not data or "event_type_id" not in data or isinstance(data["event_type_id"], (dict, list)):
        return None
    native: dict[str, Any] = flat.flatten(data)
    kind, failed = _KINDS.get(str(data["event_type_id"]), (audit.CALL, False))
    account = audit.first(native, ("account_id",))
    act = audit.Act(
        kind,
        failed=failed or bool(audit.first(native, ("error_description",))),
        user=audit.first(native, ("user_name",)),
        right=audit.first(native, ("role_name", "privilege_name")),
        resources=tuple(
            (text, name) for name in ("app_name", "role_name", "policy_name") if (text := audit.first(native, (name,)))
        ),
        host=f"onelogin:{account}" if account else "onelogin",
    )
    return audit.event(_FORM, line, native, _SOURCE, act)


PARSER = Parser(
    id="onelogin",
    title="OneLogin events",
    logsource=_SOURCE,
    parse=parse,
    keys=(frozenset({"event_type_id", "account_id"}), frozenset({"event_type_id", "ipaddr"}), frozenset({"event_type_id", "user_name"})),
    rank=20,
    samples=(
        Sample(
            '{"account_id":7,"actor_user_name":"ana","created_at":"2026-03-04T10:00:00Z","event_type_id":6,"id":1,"ipaddr":"192.0.2.7","user_name":"ana"}',
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "ana", "src_endpoint.ip": "192.0.2.7"},
            {"event_type_id": 6},
            time="2026-03-04T10:00:00Z",
            host="onelogin:7",
        ),
        Sample('{"account_id":7,"event_type_id":149,"ipaddr":"192.0.2.7","user_name":"ana"}', ocsf.API_ACTIVITY, {"api.operation": "149"}),
        Sample('{"event_type_id":[],"account_id":1}', None),
    ),
)  # fmt: skip
