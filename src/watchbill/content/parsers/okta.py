"""Okta System Log. Format: https://developer.okta.com/docs/api/openapi/okta-management/management/tag/SystemLog/"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Kind, Line, LogSource, Parser, Sample, Shape, flat, ocsf

_FORM = audit.Form(
    product="Okta",
    vendor="Okta",
    operation=("eventType",),
    actor=("actor.alternateId", "actor.displayName"),
    actor_uid=("actor.id",),
    address=("client.ipAddress",),
    agent=("client.userAgent.rawUserAgent",),
    time=("published",),
    uid=("uuid",),
    detail=("outcome.reason", "displayMessage"),
    entrance="okta",
)
_SOURCE = LogSource("okta", "okta")
_KINDS = {
    "user.session.start": audit.SIGN_IN,
    "user.authentication.sso": audit.SIGN_IN,
    "user.authentication.auth_via_mfa": audit.SIGN_IN,
    "user.session.access_admin_app": audit.SIGN_IN,
    "user.session.end": audit.SIGN_OUT,
    "user.lifecycle.create": audit.USER_CREATED,
    "user.lifecycle.activate": audit.USER_ENABLED,
    "user.lifecycle.reactivate": audit.USER_ENABLED,
    "user.lifecycle.unsuspend": audit.USER_ENABLED,
    "user.lifecycle.suspend": audit.USER_DISABLED,
    "user.lifecycle.deactivate": audit.USER_DISABLED,
    "user.lifecycle.delete.initiated": audit.USER_DELETED,
    "user.account.update_password": audit.PASSWORD_CHANGED,
    "user.account.reset_password": audit.PASSWORD_RESET,
    "user.account.lock": audit.USER_LOCKED,
    "user.account.unlock": audit.USER_UNLOCKED,
    "user.account.privilege.grant": audit.RIGHT_GIVEN,
    "user.account.privilege.revoke": audit.RIGHT_TAKEN,
    "user.mfa.factor.activate": audit.MFA_ENABLED,
    "user.mfa.factor.deactivate": audit.MFA_DISABLED,
    "user.mfa.factor.reset_all": audit.MFA_DISABLED,
    "group.user_membership.add": audit.MEMBER_ADDED,
    "group.user_membership.remove": audit.MEMBER_REMOVED,
    "group.lifecycle.create": audit.GROUP_CREATED,
    "group.lifecycle.delete": audit.GROUP_DELETED,
}
_NAMES = frozenset(
    {"eventType", "displayMessage", "legacyEventType", "securityContext", "debugContext", "authenticationContext"}
)
_RESULTS = {"SUCCESS": False, "ALLOW": False, "FAILURE": True, "DENY": True}


@lru_cache(8_192)
def _shaped(event: object, result: object, *lowered: object) -> Kind | None:
    """Records as Okta spells them; those that a data warehouse has put into lower case are left to ``parse``."""
    if not isinstance(event, str) or not isinstance(result, str) or any(one is not None for one in lowered):
        return None
    constants = {"eventType": event, "outcome.result": result}
    return Kind(_SOURCE, constants, class_uid=_KINDS.get(event, audit.CALL)[0])


_SHAPE = Shape(
    ("eventType", "outcome.result", *sorted(name.lower() for name in _NAMES)), lambda header: _shaped(*header)
)


def parse(line: Line) -> Event | None:
    """Translate one event. The host is the organisation, "okta:<domain>", where the record names it."""
    data = audit.cased(line.data, _NAMES) if line.data else None
    if (
        not data
        or not isinstance(data.get("eventType"), str)
        or not isinstance(data.get("outcome", data.get("actor")), dict)
    ):
        return None
    native = flat.flatten(data)
    kind = _KINDS.get(data["eventType"], audit.CALL)
    user = _target(data, "User", "alternateId") if kind[0] != ocsf.AUTHENTICATION else ""
    right = native.get("debugContext.debugData.privilegeGranted")
    act = audit.Act(
        kind,
        failed=_RESULTS.get(str(native.get("outcome.result"))),
        user=user,
        group=_target(data, "UserGroup", "displayName"),
        right=right if isinstance(right, str) else "",
        resources=tuple(_targets(data)),
        mfa=True if data["eventType"] == "user.authentication.auth_via_mfa" else None,
        host=f"okta:{domain}" if (domain := audit.first(native, ("securityContext.domain",))) else "okta",
    )
    return audit.event(_FORM, line, native, _SOURCE, act)


def _targets(data: dict[str, Any]) -> list[tuple[str, str]]:
    targets = data.get("target")
    return [
        (str(one.get("alternateId") or one.get("displayName") or one.get("id")), str(one.get("type", "")))
        for one in (targets if isinstance(targets, list) else ())
        if isinstance(one, dict)
    ][:20]


def _target(data: dict[str, Any], kind: str, name: str) -> str:
    targets = data.get("target")
    for one in targets if isinstance(targets, list) else ():
        if isinstance(one, dict) and one.get("type") == kind and isinstance(one.get(name), str):
            return str(one[name])
    return ""


def _record(event: str, result: str = "SUCCESS", rest: str = "") -> str:
    return (
        f'{{"actor":{{"alternateId":"ana@example.com","displayName":"Ana","id":"00u1","type":"User"}},"client":{{"ipAddress":"192.0.2.7",'
        f'"userAgent":{{"rawUserAgent":"Mozilla/5.0"}}}},"displayMessage":"something","eventType":"{event}","outcome":{{"result":"{result}"}},'
        f'"published":"2026-03-04T10:00:00.000Z","severity":"INFO","uuid":"u-1","version":"0"{rest}}}'
    )


_EVE = ',"target":[{"id":"00u2","type":"User","alternateId":"eve@example.com","displayName":"Eve"},{"id":"00g1","type":"UserGroup","displayName":"Admins"}]'
PARSER = Parser(
    id="okta",
    title="Okta System Log",
    logsource=_SOURCE,
    parse=parse,
    keys=(
        frozenset({"eventType", "actor", "published"}),
        frozenset({"eventType", "legacyEventType"}),
        frozenset({"eventType", "outcome"}),
        frozenset({"eventtype", "actor", "outcome"}),
    ),
    rank=20,
    shapes=(_SHAPE,),
    samples=(
        Sample(
            _record("user.session.start", "FAILURE"),
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "ana@example.com", "src_endpoint.ip": "192.0.2.7", "service.name": "okta"},
            {"eventType": "user.session.start", "outcome.result": "FAILURE"},
            time="2026-03-04T10:00:00Z",
            host="okta",
        ),
        Sample(
            _record("group.user_membership.add", rest=_EVE),
            ocsf.GROUP_MANAGEMENT,
            {"activity_id": 3, "group.name": "Admins", "user.name": "eve@example.com", "actor.user.name": "ana@example.com"},
        ),
        Sample(
            _record("user.account.privilege.grant", rest=_EVE),
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 7, "user.name": "eve@example.com", "status_id": 1},
        ),
        Sample(
            _record("policy.rule.delete", rest=',"securityContext":{"domain":"example.com"}'),
            ocsf.API_ACTIVITY,
            {"activity_id": 4, "api.operation": "policy.rule.delete"},
            host="okta:example.com",
        ),
        Sample('{"eventType":"x","actor":"y","published":"z"}', None),
    ),
)  # fmt: skip
