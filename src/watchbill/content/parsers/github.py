"""GitHub audit log, of an organisation or enterprise, as streamed or exported in JSON.

Format: https://docs.github.com/en/organizations/keeping-your-organization-secure/managing-security-settings-for-your-organization/audit-log-events-for-your-organization
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Kind, Line, LogSource, Parser, Sample, Shape, flat, ocsf

_FORM = audit.Form(
    product="GitHub",
    vendor="GitHub",
    operation=("action",),
    actor=("actor",),
    actor_uid=("actor_id",),
    address=("actor_ip",),
    agent=("user_agent",),
    time=("@timestamp", "created_at"),
    uid=("_document_id",),
    entrance="github",
)
_SOURCE = LogSource("github", "audit")
_KINDS = {
    "org.add_member": audit.MEMBER_ADDED,
    "org.remove_member": audit.MEMBER_REMOVED,
    "org.add_outside_collaborator": audit.MEMBER_ADDED,
    "org.remove_outside_collaborator": audit.MEMBER_REMOVED,
    "team.add_member": audit.MEMBER_ADDED,
    "team.remove_member": audit.MEMBER_REMOVED,
    "team.create": audit.GROUP_CREATED,
    "team.destroy": audit.GROUP_DELETED,
    "repo.add_member": audit.RIGHT_GIVEN,
    "repo.remove_member": audit.RIGHT_TAKEN,
    "org.update_member": audit.RIGHT_GIVEN,
    "user.login": audit.SIGN_IN,
    "user.failed_login": audit.SIGN_IN,
    "org.sso_response": audit.SIGN_IN,
    "business.sso_response": audit.SIGN_IN,
    "two_factor_authentication.enabled": audit.MFA_ENABLED,
    "two_factor_authentication.disabled": audit.MFA_DISABLED,
    "audit_log_streaming.destroy": audit.LOG_DISABLED,
    "audit_log_streaming.create": audit.LOG_ENABLED,
    "business.audit_log_streaming.destroy": audit.LOG_DISABLED,
}


@lru_cache(8_192)
def _shaped(action: object, actor: object, org: object) -> Kind | None:
    if not isinstance(action, str) or "." not in action or not isinstance(actor, str) or not isinstance(org, str):
        return None
    return Kind(_SOURCE, {"action": action, "org": org}, class_uid=_KINDS.get(action, audit.CALL)[0])


_SHAPE = Shape(("action", "actor", "org"), lambda header: _shaped(*header))


def parse(line: Line) -> Event | None:
    """Translate one entry. The host is the organisation, "github:<name>"."""
    data = line.data
    action = data.get("action") if data else None
    if not data or not isinstance(action, str) or "." not in action or not isinstance(data.get("actor"), str):
        return None
    native: dict[str, Any] = flat.flatten(data)
    where = audit.first(native, ("org", "business", "org_id"))
    right = audit.first(native, ("permission", "new_permission", "new_role"))
    act = audit.Act(
        _KINDS.get(action, audit.CALL),
        failed=action == "user.failed_login" or audit.first(native, ("result",)) == "failure",
        user=audit.first(native, ("user",)),
        group=audit.first(native, ("team", "org", "business")),
        log="audit log",
        right=right,
        resources=tuple((text, kind) for name, kind in _RESOURCES if (text := audit.first(native, (name,)))),
        host=f"github:{where}" if where else "github",
    )
    return audit.event(_FORM, line, native, _SOURCE, act)


_RESOURCES = (
    ("repo", "repository"),
    ("repository", "repository"),
    ("team", "team"),
    ("user", "user"),
    ("name", "name"),
)


def _record(action: str, rest: str = "") -> str:
    return f'{{"@timestamp":1772618400000,"action":"{action}","actor":"ana","actor_id":7,"actor_ip":"192.0.2.7","org":"example","_document_id":"d1"{rest}}}'


PARSER = Parser(
    id="github",
    title="GitHub audit log",
    logsource=_SOURCE,
    parse=parse,
    keys=(
        frozenset({"action", "actor", "@timestamp", "_document_id"}),
        frozenset({"action", "actor", "org"}),
        frozenset({"action", "actor", "created_at"}),
        frozenset({"action", "actor", "actor_id"}),
    ),
    rank=22,
    shapes=(_SHAPE,),
    samples=(
        Sample(
            _record("org.add_member", ',"user":"eve"'),
            ocsf.GROUP_MANAGEMENT,
            {"activity_id": 3, "group.name": "example", "user.name": "eve", "actor.user.name": "ana", "src_endpoint.ip": "192.0.2.7"},
            {"action": "org.add_member"},
            time="2026-03-04T10:00:00Z",
            host="github:example",
        ),
        Sample(
            _record("repo.destroy", ',"repo":"example/web"'),
            ocsf.API_ACTIVITY,
            {"activity_id": 4, "api.operation": "repo.destroy", "resources": [{"name": "example/web", "type": "repository"}]},
        ),
        Sample(_record("two_factor_authentication.disabled"), ocsf.ACCOUNT_CHANGE, {"activity_id": 11, "user.name": "ana"}),
        Sample('{"action":"opened","actor":"ana","org":"example"}', None),
    ),
)  # fmt: skip
