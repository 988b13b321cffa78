"""Microsoft 365 unified audit log (Office 365 Management Activity API).

Format: https://learn.microsoft.com/en-us/office/office-365-management-api/office-365-management-activity-api-schema
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Kind, Line, LogSource, Parser, Sample, Shape, flat, ocsf

_FORM = audit.Form(
    product="Microsoft 365",
    vendor="Microsoft",
    operation=("Operation",),
    service=("Workload",),
    actor=("UserId", "UserKey"),
    actor_uid=("UserKey",),
    address=("ClientIP", "ClientIPAddress", "ActorIpAddress", "SenderIp"),
    agent=("UserAgent",),
    time=("CreationTime",),
    uid=("Id",),
    detail=("LogonError", "ResultStatusDetail"),
)
_KINDS = {
    "UserLoggedIn": audit.SIGN_IN,
    "UserLoginFailed": audit.SIGN_IN,
    "MailboxLogin": audit.SIGN_IN,
    "Add user.": audit.USER_CREATED,
    "Delete user.": audit.USER_DELETED,
    "Disable account.": audit.USER_DISABLED,
    "Enable account.": audit.USER_ENABLED,
    "Change user password.": audit.PASSWORD_CHANGED,
    "Reset user password.": audit.PASSWORD_RESET,
    "Add member to role.": audit.RIGHT_GIVEN,
    "Remove member from role.": audit.RIGHT_TAKEN,
    "Add-RoleGroupMember": audit.RIGHT_GIVEN,
    "Add-MailboxPermission": audit.RIGHT_GIVEN,
    "Remove-MailboxPermission": audit.RIGHT_TAKEN,
    "Disable Strong Authentication.": audit.MFA_DISABLED,
    "Add member to group.": audit.MEMBER_ADDED,
    "Remove member from group.": audit.MEMBER_REMOVED,
    "Add group.": audit.GROUP_CREATED,
    "Delete group.": audit.GROUP_DELETED,
    "MemberAdded": audit.MEMBER_ADDED,
    "MemberRemoved": audit.MEMBER_REMOVED,
}
_SERVICES = {
    "Exchange": "exchange",
    "SecurityComplianceCenter": "threat_management",
    "ThreatIntelligence": "threat_management",
}
_GOOD = frozenset({"success", "succeeded", "true", "partiallysucceeded"})


@lru_cache(8_192)
def _shaped(operation: object, workload: object, result: object, name: object, *foreign: object) -> Kind | None:
    """Records without a list of further properties, whose names are fields, too: those are left to ``parse``."""
    if not isinstance(operation, str) or not isinstance(workload, str) or any(one is not None for one in foreign):
        return None
    if not isinstance(result, str | None) or not isinstance(name, str | None):
        return None
    constants = {"Operation": operation, "Workload": workload, **_said(operation, workload, result or "", name or "")}
    return Kind(_source(workload), constants, class_uid=_KINDS.get(operation, audit.CALL)[0])


def _source(workload: str) -> LogSource:
    return LogSource("m365", _SERVICES.get(workload, "audit"))


def _failed(operation: str, result: str) -> bool | None:
    return operation == "UserLoginFailed" or (result.lower() not in _GOOD if result else None)


def _said(operation: str, workload: str, result: str, name: str) -> dict[str, str]:
    """What rules ask for besides: alerts of the compliance centre are known to them by their names."""
    said = {"eventSource": workload} if workload else {}
    status = "failure" if _failed(operation, result) else "success"
    return {**said, "eventName": name or operation.rstrip("."), "status": status}


_SHAPE = Shape(
    ("Operation", "Workload", "ResultStatus", "Name", "ExtendedProperties", "eventSource", "eventName", "status"),
    lambda header: _shaped(*header),
)


def parse(line: Line) -> Event | None:
    """Translate one record. The host is the organisation, "m365:<id>"."""
    data = line.data
    if not data or not isinstance(data.get("Operation"), str) or not isinstance(data.get("Workload", ""), str):
        return None
    native: dict[str, Any] = flat.flatten(data)
    operation, workload = data["Operation"], data.get("Workload", "")
    for key, value in (audit.of_named(data.get("ExtendedProperties"), "Name", "Value")).items():
        native.setdefault(key, value)
    result = audit.first(native, ("ResultStatus",))
    for key, value in _said(operation, workload, result, audit.first(native, ("Name",))).items():
        native.setdefault(key, value)
    organisation = audit.first(native, ("OrganizationId", "OrganizationName"))
    target = audit.first(native, ("TargetUserOrGroupName", "ObjectId"))
    kind = _KINDS.get(operation, audit.CALL)
    act = audit.Act(
        kind,
        failed=_failed(operation, result),
        user=target if kind[0] in {ocsf.ACCOUNT_CHANGE, ocsf.GROUP_MANAGEMENT} else "",
        group=_group(native),
        resources=((target, audit.first(native, ("ItemType",)) or workload or "object"),) if target else (),
        host=f"m365:{organisation}" if organisation else "m365",
    )
    return audit.event(_FORM, line, native, _source(workload), act)


def _group(native: dict[str, Any]) -> str:
    changed = audit.of_named(native.get("ModifiedProperties"), "Name", "NewValue")
    name = changed.get("Group.DisplayName") or changed.get("Role.DisplayName") or native.get("TeamName") or ""
    return name.strip('"') if isinstance(name, str) else ""


def _record(operation: str, workload: str, rest: str = "") -> str:
    return (
        f'{{"CreationTime":"2026-03-04T10:00:00","Id":"i-1","Operation":"{operation}","OrganizationId":"o-1","RecordType":15,"UserId":"ana@example.com",'
        f'"UserKey":"k-1","UserType":0,"Version":1,"Workload":"{workload}","ClientIP":"192.0.2.7:4242","ObjectId":"eve@example.com"{rest}}}'
    )


PARSER = Parser(
    id="microsoft365",
    title="Microsoft 365 unified audit log",
    logsource=LogSource("m365", ""),
    parse=parse,
    keys=(frozenset({"Operation", "Workload"}), frozenset({"Operation", "CreationTime", "RecordType"})),
    rank=20,
    shapes=(_SHAPE,),
    samples=(
        Sample(
            _record("UserLoginFailed", "AzureActiveDirectory", ',"ResultStatus":"Success","LogonError":"InvalidUserNameOrPassword"'),
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "ana@example.com", "src_endpoint.ip": "192.0.2.7", "service.name": "AzureActiveDirectory"},
            {"Operation": "UserLoginFailed"},
            time="2026-03-04T10:00:00Z",
            host="m365:o-1",
        ),
        Sample(
            _record("Add-MailboxPermission", "Exchange", ',"ResultStatus":"True"'),
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 7, "status_id": 1, "user.name": "eve@example.com"},
            {"eventSource": "Exchange", "status": "success"},
        ),
        Sample(_record("New-InboxRule", "Exchange"), ocsf.API_ACTIVITY, {"activity_id": 1, "api.operation": "New-InboxRule"}),
        Sample(
            _record("AlertTriggered", "SecurityComplianceCenter", ',"Name":"Mass download by one user","ResultStatus":"Success"'),
            ocsf.API_ACTIVITY,
            {"api.operation": "AlertTriggered"},
            {"eventSource": "SecurityComplianceCenter", "eventName": "Mass download by one user", "status": "success"},
        ),
        Sample('{"Operation":7,"Workload":"x"}', None),
    ),
)  # fmt: skip
