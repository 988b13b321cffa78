"""Google Workspace activity reports (admin, login, drive, groups, token …), one activity a record.

Format: https://developers.google.com/workspace/admin/reports/reference/rest/v1/activities/list
"""

from __future__ import annotations

from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_FORM = audit.Form(
    product="Workspace",
    vendor="Google",
    operation=("eventName",),
    service=("eventService",),
    actor=("actor.email", "actor.profileId"),
    actor_uid=("actor.profileId",),
    address=("ipAddress",),
    time=("id.time",),
    uid=("id.uniqueQualifier",),
)
_KINDS = {
    "login_success": audit.SIGN_IN,
    "login_failure": audit.SIGN_IN,
    "logout": audit.SIGN_OUT,
    "2sv_enroll": audit.MFA_ENABLED,
    "2sv_disable": audit.MFA_DISABLED,
    "password_edit": audit.PASSWORD_CHANGED,
    "CREATE_USER": audit.USER_CREATED,
    "DELETE_USER": audit.USER_DELETED,
    "SUSPEND_USER": audit.USER_DISABLED,
    "UNSUSPEND_USER": audit.USER_ENABLED,
    "CHANGE_PASSWORD": audit.PASSWORD_RESET,
    "TURN_OFF_2_STEP_VERIFICATION": audit.MFA_DISABLED,
    "GRANT_ADMIN_PRIVILEGE": audit.RIGHT_GIVEN,
    "GRANT_DELEGATED_ADMIN_PRIVILEGES": audit.RIGHT_GIVEN,
    "REVOKE_ADMIN_PRIVILEGE": audit.RIGHT_TAKEN,
    "ASSIGN_ROLE": audit.RIGHT_GIVEN,
    "UNASSIGN_ROLE": audit.RIGHT_TAKEN,
    "ADD_GROUP_MEMBER": audit.MEMBER_ADDED,
    "REMOVE_GROUP_MEMBER": audit.MEMBER_REMOVED,
    "CREATE_GROUP": audit.GROUP_CREATED,
    "DELETE_GROUP": audit.GROUP_DELETED,
}
_USERS = ("USER_EMAIL", "user_email", "affected_email_address")
_GROUPS = ("GROUP_EMAIL", "group_email")


def parse(line: Line) -> Event | None:
    """Translate one activity; of a report with several events the first names it. The host is the customer's domain."""
    data = line.data
    about = data.get("id") if data else None
    if not data or not isinstance(about, dict) or not isinstance(about.get("applicationName"), str):
        return None
    event = data.get("events", data)
    if isinstance(event, list):
        event = event[0] if event else {}
    name = event.get("name") if isinstance(event, dict) else None
    if not isinstance(name, str):
        return None
    native: dict[str, Any] = flat.flatten(data)
    given = event.get("parameters")
    parameters = given if isinstance(given, dict) else audit.of_named(given)
    application = about["applicationName"]
    native.setdefault("eventName", name)
    native.setdefault("eventService", f"{application}.googleapis.com")
    for key, value in parameters.items():
        native.setdefault(key, value)
        native.setdefault(str(key).lower(), value)
    domain = audit.first(native, ("ownerDomain",)) or audit.first(native, ("actor.email",)).rpartition("@")[2]
    resource = audit.first(parameters, ("doc_title", "doc_id", "APPLICATION_NAME", "app_name", "SETTING_NAME"))
    act = audit.Act(
        _KINDS.get(name, audit.CALL),
        failed=name.endswith("_failure"),
        user=audit.first(parameters, _USERS),
        group=audit.first(parameters, _GROUPS),
        right=audit.first(parameters, ("ROLE_NAME", "PRIVILEGE_NAME")),
        resources=((resource, application),) if resource else (),
        host=f"workspace:{domain}" if domain else "workspace",
    )
    return audit.event(_FORM, line, native, LogSource("gcp", f"google_workspace.{application}"), act)


def _record(application: str, name: str, parameters: str = "[]") -> str:
    return (
        f'{{"kind":"admin#reports#activity","id":{{"time":"2026-03-04T10:00:00Z","uniqueQualifier":"-7","applicationName":"{application}","customerId":"C1"}},'
        f'"actor":{{"callerType":"USER","email":"ana@example.com","profileId":"1"}},"ipAddress":"192.0.2.7","events":[{{"type":"T","name":"{name}","parameters":{parameters}}}]}}'
    )


PARSER = Parser(
    id="google_workspace",
    title="Google Workspace activity reports",
    logsource=LogSource("gcp", "google_workspace"),
    parse=parse,
    keys=(frozenset({"id", "actor", "events"}), frozenset({"id", "name", "type"}), frozenset({"id", "actor", "name"})),
    rank=21,
    samples=(
        Sample(
            _record("admin", "ADD_GROUP_MEMBER", '[{"name":"USER_EMAIL","value":"eve@example.com"},{"name":"GROUP_EMAIL","value":"admins@example.com"}]'),
            ocsf.GROUP_MANAGEMENT,
            {"activity_id": 3, "user.name": "eve@example.com", "group.name": "admins@example.com", "actor.user.name": "ana@example.com"},
            {"eventName": "ADD_GROUP_MEMBER", "eventService": "admin.googleapis.com", "user_email": "eve@example.com"},
            time="2026-03-04T10:00:00Z",
            host="workspace:example.com",
        ),
        Sample(_record("login", "login_failure"), ocsf.AUTHENTICATION, {"status_id": 2, "src_endpoint.ip": "192.0.2.7", "service.name": "login.googleapis.com"}),
        Sample(
            _record("drive", "download", '[{"name":"doc_title","value":"Plan"}]'),
            ocsf.API_ACTIVITY,
            {"activity_id": 2, "api.operation": "download", "resources": [{"name": "Plan", "type": "drive"}]},
        ),
        Sample('{"id":{"applicationName":7},"actor":{},"events":[]}', None),
    ),
)  # fmt: skip
