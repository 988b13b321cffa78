"""Azure Monitor: activity log, and Entra ID's audit, sign-in, risk and PIM logs, as Event Hubs and storage give them.

Format: https://learn.microsoft.com/en-us/azure/azure-monitor/platform/resource-logs-schema
"""

from __future__ import annotations

import json
from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.content.parsers import kubernetes
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_UPN = "identity.claims.http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"
_NAME = "identity.claims.http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
_FORM = audit.Form(
    product="Azure",
    vendor="Microsoft",
    operation=("operationName.value", "operationName", "OperationName"),
    actor=(
        "properties.initiatedBy.user.userPrincipalName", "properties.userPrincipalName", "properties.initiatedBy.app.displayName",
        "properties.servicePrincipalName", _UPN, _NAME, "identity.claims.name", "identity.claims.appid", "caller", "identity",
    ),
    actor_uid=("properties.initiatedBy.user.id", "properties.userId"),
    address=("callerIpAddress", "properties.ipAddress", "properties.initiatedBy.user.ipAddress", "httpRequest.clientIpAddress"),
    agent=("properties.userAgent",),
    time=("time", "eventTimestamp", "properties.createdDateTime", "properties.activityDateTime"),
    uid=("properties.id", "correlationId"),
    detail=("properties.resultReason", "resultDescription", "properties.status.failureReason"),
    service=("properties.resourceDisplayName", "properties.loggedByService"),
)  # fmt: skip
#: Categories of Entra ID, in lower case; everything else is the activity log.
_SERVICES = {
    "auditlogs": "auditlogs", "signinlogs": "signinlogs", "noninteractiveusersigninlogs": "signinlogs",
    "serviceprincipalsigninlogs": "signinlogs", "managedidentitysigninlogs": "signinlogs", "userriskevents": "riskdetection",
    "riskyusers": "riskdetection", "serviceprincipalriskevents": "riskdetection",
}  # fmt: skip
_NAMES = frozenset(
    {
        "callerIpAddress",
        "correlationId",
        "durationMs",
        "operationName",
        "operationVersion",
        "resourceId",
        "resultSignature",
        "resultType",
        "tenantId",
        "resultDescription",
    }
)
_KINDS = {
    "add user": audit.USER_CREATED,
    "invite external user": audit.USER_CREATED,
    "add service principal": audit.USER_CREATED,
    "delete user": audit.USER_DELETED,
    "hard delete user": audit.USER_DELETED,
    "enable account": audit.USER_ENABLED,
    "disable account": audit.USER_DISABLED,
    "change user password": audit.PASSWORD_CHANGED,
    "change password (self-service)": audit.PASSWORD_CHANGED,
    "reset user password": audit.PASSWORD_RESET,
    "reset password (self-service)": audit.PASSWORD_RESET,
    "reset password (by admin)": audit.PASSWORD_RESET,
    "add member to role": audit.RIGHT_GIVEN,
    "add eligible member to role": audit.RIGHT_GIVEN,
    "remove member from role": audit.RIGHT_TAKEN,
    "add app role assignment to service principal": audit.RIGHT_GIVEN,
    "user registered security info": audit.MFA_ENABLED,
    "user deleted security info": audit.MFA_DISABLED,
    "admin deleted security info": audit.MFA_DISABLED,
    "disable strong authentication": audit.MFA_DISABLED,
    "add member to group": audit.MEMBER_ADDED,
    "remove member from group": audit.MEMBER_REMOVED,
    "add group": audit.GROUP_CREATED,
    "delete group": audit.GROUP_DELETED,
    "microsoft.insights/diagnosticsettings/delete": audit.LOG_DISABLED,
    "microsoft.insights/diagnosticsettings/write": audit.LOG_ENABLED,
}
_ENDINGS = {"write": 3, "delete": 4, "read": 2, "action": 99}
#: The same facts as the Log Analytics tables and Sigma's rules spell them.
_SPELT = {
    "Category": "properties.category", "OperationName": "operationName", "LoggedByService": "properties.loggedByService",
    "ActivityDisplayName": "properties.activityDisplayName", "activityType": "properties.activityDisplayName",
    "ActivityType": "properties.activityDisplayName", "TargetResources": "properties.targetResources",
    "targetResources": "properties.targetResources", "Status": "properties.result", "ResultType": "resultType",
    "ResultDescription": "resultDescription", "Resultdescription": "resultDescription", "AppDisplayName": "properties.appDisplayName",
    "ResourceDisplayName": "properties.resourceDisplayName", "AuthenticationRequirement": "properties.authenticationRequirement",
    "conditionalAccessStatus": "properties.conditionalAccessStatus", "ConditionalAccessStatus": "properties.conditionalAccessStatus",
    "RiskState": "properties.riskState", "DeviceDetail.deviceId": "properties.deviceDetail.deviceId",
    "DeviceDetail.trusttype": "properties.deviceDetail.trustType", "DeviceDetail.isCompliant": "properties.deviceDetail.isCompliant",
    "ClientApp": "properties.clientAppUsed", "Username": "properties.userPrincipalName", "userAgent": "properties.userAgent",
    "NetworkLocationDetails": "properties.networkLocationDetails", "homeTenantId": "properties.homeTenantId",
    "resourceTenantId": "properties.resourceTenantId", "riskEventType": "properties.riskEventType",
    "CategoryValue": "category", "OperationNameValue": "operationName", "ResourceId": "resourceId",
    "additionalDetails": "properties.additionalDetails",
}  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate one record. The host is the tenant or subscription, "azure:<id>"."""
    data = audit.cased(line.data, _NAMES) if line.data else None
    if not data:
        return None
    if (event := _of_cluster(line, data)) is not None:
        return event
    native: dict[str, Any] = flat.flatten(data)
    operation = audit.first(native, _FORM.operation)
    if not operation or not ("resourceId" in data or "tenantId" in data or "properties" in data):
        return None
    category = audit.first(native, ("category", "Category", "category.value")).lower()
    service = _SERVICES.get(category, "activitylogs")
    if service == "auditlogs" and audit.first(native, ("properties.loggedByService",)) == "PIM":
        service = "pim"
    _respell(native, data, service, operation)
    low = operation.lower()
    kind = audit.SIGN_IN if service == "signinlogs" else _KINDS.get(low.removesuffix(" (permanent)"), audit.CALL)
    if kind is audit.CALL and (ending := _ENDINGS.get(low.rpartition("/")[2])):
        kind = (ocsf.API_ACTIVITY, ending)
    targets = _targets(native)
    where = audit.first(native, ("tenantId", "properties.tenantId")) or _owner(audit.first(native, ("resourceId",)))
    act = audit.Act(
        kind,
        failed=_failed(native, service),
        user=next((name for name, what in targets if what in {"User", "ServicePrincipal"}), ""),
        group=next((name for name, what in targets if what == "Group"), ""),
        right=next((name for name, what in targets if what == "Role"), ""),
        log=audit.first(native, ("resourceId",)).rpartition("/")[2],
        resources=tuple(targets)
        or (((resource, category),) if (resource := audit.first(native, ("resourceId",))) else ()),
        mfa=_mfa(native) if service == "signinlogs" else None,
        host=f"azure:{where}" if where else "azure",
        extra={"cloud.provider": "Azure"} if kind[0] == ocsf.API_ACTIVITY else {},
    )
    return audit.event(_FORM, line, native, LogSource("azure", service), act)


def _of_cluster(line: Line, data: dict[str, Any]) -> Event | None:
    """AKS ships the audit log of its API server as text inside a record."""
    about = data.get("properties")
    if not str(data.get("category", "")).startswith("kube-audit") or not isinstance(about, dict):
        return None
    try:
        inner = json.loads(about.get("log") or "")
    except (ValueError, TypeError, RecursionError):
        return None
    event = kubernetes.translate(line, inner) if isinstance(inner, dict) else None
    where = _owner(str(data.get("resourceId", "")))
    if event is not None and where:
        event.host = f"azure:{where}"
    return event


def _respell(native: dict[str, Any], data: dict[str, Any], service: str, operation: str) -> None:
    audit.respelt(native, _SPELT)
    # What Sigma calls the message of a record is the activity that it names.
    native.setdefault("properties.message", audit.first(native, ("properties.activityDisplayName",)) or operation)
    provider = operation.partition("/")[0]
    if "/" in operation:
        native.setdefault("ResourceProviderValue", provider)
    if service == "signinlogs":
        native["Status"] = "Failure" if _failed(native, service) else "Success"
        native.setdefault("ActivityDetails", "Sign-ins")
    initiated = data.get("properties")
    if isinstance(initiated, dict) and "initiatedBy" in initiated:
        native.setdefault("properties.initiatedBy", audit.first(native, _FORM.actor))
        native.setdefault("Initiatedby", audit.first(native, _FORM.actor))


def _failed(native: dict[str, Any], service: str) -> bool | None:
    if service == "signinlogs":
        code = audit.first(native, ("properties.status.errorCode", "resultType"))
        return code not in {"0", "Success", ""}
    result = audit.first(native, ("properties.result", "resultType", "status.value", "Status")).lower()
    if result in {"success", "succeeded", "start", "started", "accept", "accepted", "0"}:
        return False
    return True if result in {"failure", "failed"} else None


def _mfa(native: dict[str, Any]) -> bool | None:
    wanted = audit.first(native, ("properties.authenticationRequirement",))
    return wanted == "multiFactorAuthentication" if wanted else None


def _targets(native: dict[str, Any]) -> list[tuple[str, str]]:
    targets = native.get("properties.targetResources")
    return [
        (str(one.get("userPrincipalName") or one.get("displayName") or one.get("id") or ""), str(one.get("type", "")))
        for one in (targets if isinstance(targets, list) else ())
        if isinstance(one, dict)
    ][:20]


def _owner(resource: str) -> str:
    parts = resource.strip("/").split("/")
    return parts[1].lower() if len(parts) > 1 and parts[0].lower() in {"subscriptions", "tenants"} else ""


_AUDIT = (
    '{"time":"2026-03-04T10:00:00.0000000Z","resourceId":"/tenants/t-1/providers/Microsoft.aadiam","operationName":"Add member to role","category":"AuditLogs",'
    '"tenantId":"t-1","correlationId":"c-1","properties":{"category":"RoleManagement","activityDisplayName":"Add member to role","loggedByService":"Core Directory","result":"success",'
    '"initiatedBy":{"user":{"userPrincipalName":"ana@example.com","id":"u-1","ipAddress":"192.0.2.7"}},"targetResources":[{"type":"User","userPrincipalName":"eve@example.com"},{"type":"Role","displayName":"Global Administrator"}]}}'
)
_SIGN_IN = (
    '{"time":"2026-03-04T10:00:00.0000000Z","resourceId":"/tenants/t-1/providers/Microsoft.aadiam","operationName":"Sign-in activity","category":"SignInLogs","tenantId":"t-1","resultType":"50126",'
    '"callerIpAddress":"192.0.2.7","properties":{"userPrincipalName":"eve@example.com","appDisplayName":"Portal","resourceDisplayName":"Graph","authenticationRequirement":"singleFactorAuthentication","status":{"errorCode":50126}}}'
)
_ACTIVITY = (
    '{"time":"2026-03-04T10:00:00.0000000Z","resourceId":"/SUBSCRIPTIONS/S-1/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/WEB","operationName":"MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/DELETE",'
    '"category":"Administrative","resultType":"Success","callerIpAddress":"192.0.2.7","identity":{"claims":{"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn":"ana@example.com"}},"properties":{}}'
)
PARSER = Parser(
    id="azure",
    title="Azure activity log and Entra ID logs",
    logsource=LogSource("azure", ""),
    parse=parse,
    keys=(frozenset({"operationName", "category", "resourceId"}), frozenset({"operationName", "category", "tenantId"}), frozenset({"operationName", "category", "properties"}), frozenset({"operationName", "resourceId", "callerIpAddress"}), frozenset({"operationname", "category", "tenantid"})),
    rank=21,
    samples=(
        Sample(
            _AUDIT,
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 7, "status_id": 1, "user.name": "eve@example.com", "actor.user.name": "ana@example.com", "src_endpoint.ip": "192.0.2.7",
             "policies": [{"name": "Global Administrator"}]},
            {"properties.message": "Add member to role", "Category": "RoleManagement", "LoggedByService": "Core Directory"},
            time="2026-03-04T10:00:00Z",
            host="azure:t-1",
        ),
        Sample(
            _SIGN_IN,
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "eve@example.com", "src_endpoint.ip": "192.0.2.7", "is_mfa": False, "service.name": "Graph"},
            {"ResultType": "50126", "Status": "Failure", "AuthenticationRequirement": "singleFactorAuthentication"},
        ),
        Sample(
            _ACTIVITY,
            ocsf.API_ACTIVITY,
            {"activity_id": 4, "status_id": 1, "actor.user.name": "ana@example.com", "cloud.provider": "Azure"},
            {"operationName": "MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/DELETE"},
            host="azure:s-1",
        ),
        Sample(
            '{"time":"2026-03-04T10:00:00.0000000Z","resourceId":"/tenants/t-1/providers/microsoft.aadiam","operationName":"User Risk Detection","category":"UserRiskEvents",'
            '"tenantId":"t-1","properties":{"id":"r-1","riskEventType":"anonymizedIPAddress","riskState":"atRisk","riskLevel":"medium","ipAddress":"192.0.2.7",'
            '"userPrincipalName":"eve@example.com","detectionTimingType":"realtime"}}',
            ocsf.API_ACTIVITY,
            {"actor.user.name": "eve@example.com", "src_endpoint.ip": "192.0.2.7"},
            {"riskEventType": "anonymizedIPAddress", "RiskState": "atRisk"},
        ),
        Sample('{"operationName":{"x":[]},"category":"c","resourceId":"r"}', None),
    ),
)  # fmt: skip
