"""Bitbucket Data Center's audit log. Format: https://confluence.atlassian.com/bitbucketserver/audit-log-events-776640423.html"""

from __future__ import annotations

from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_FORM = audit.Form(
    product="Bitbucket",
    vendor="Atlassian",
    operation=("auditType.action",),
    actor=("author.name", "author.id"),
    actor_uid=("author.id",),
    address=("source",),
    time=("timestamp", "timestamp.epochSecond"),
    entrance="bitbucket",
)
_SOURCE = LogSource("bitbucket", "audit")
_KINDS = {
    "user created": audit.USER_CREATED, "user deleted": audit.USER_DELETED, "user added to group": audit.MEMBER_ADDED,
    "user removed from group": audit.MEMBER_REMOVED, "group created": audit.GROUP_CREATED, "group deleted": audit.GROUP_DELETED,
    "user login": audit.SIGN_IN, "user logged in": audit.SIGN_IN,
    "audit log configuration updated": (ocsf.EVENT_LOG_ACTIVITY, 9),
}  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate one entry."""
    data = line.data
    kind = data.get("auditType") if data else None
    if not data or not isinstance(kind, dict) or not isinstance(kind.get("action"), str):
        return None
    native: dict[str, Any] = flat.flatten(data)
    action = kind["action"].lower()
    failed = "failed" in action
    affected = data.get("affectedObjects")
    objects = [one for one in (affected if isinstance(affected, list) else ()) if isinstance(one, dict)]
    named = {str(one.get("type", "")).lower(): str(one.get("name", "")) for one in objects}
    act = audit.Act(
        audit.SIGN_IN if action.startswith("user login") else _KINDS.get(action, audit.CALL),
        failed=failed,
        user=named.get("user", ""),
        group=named.get("group", ""),
        log="audit log",
        resources=tuple(
            (str(one.get("name", "")), str(one.get("type", ""))) for one in objects[:20] if one.get("name")
        ),
        host=audit.first(native, ("node", "system")),
    )
    return audit.event(_FORM, line, native, _SOURCE, act)


def _record(action: str, affected: str = "[]") -> str:
    return (
        f'{{"affectedObjects":{affected},"auditType":{{"action":"{action}","category":"Users and groups","level":"BASE"}},"author":{{"id":"1","name":"ana","type":"NORMAL"}},'
        f'"source":"192.0.2.7","system":"bitbucket.example.com","timestamp":"2026-03-04T10:00:00Z","version":"1.0"}}'
    )


PARSER = Parser(
    id="bitbucket",
    title="Bitbucket Data Center audit log",
    logsource=_SOURCE,
    parse=parse,
    keys=(frozenset({"auditType", "author"}),),
    rank=20,
    samples=(
        Sample(
            _record("User added to group", '[{"name":"eve","type":"USER"},{"name":"admins","type":"GROUP"}]'),
            ocsf.GROUP_MANAGEMENT,
            {"activity_id": 3, "user.name": "eve", "group.name": "admins", "actor.user.name": "ana", "src_endpoint.ip": "192.0.2.7"},
            {"auditType.action": "User added to group"},
            time="2026-03-04T10:00:00Z",
            host="bitbucket.example.com",
        ),
        Sample(_record("User login failed(SSH)"), ocsf.AUTHENTICATION, {"activity_id": 1, "status_id": 2, "user.name": "ana"}),
        Sample(_record("Repository deleted", '[{"name":"web","type":"REPOSITORY"}]'), ocsf.API_ACTIVITY, {"activity_id": 4}),
        Sample('{"auditType":"x","author":{}}', None),
    ),
)  # fmt: skip
