"""Google Cloud audit logs (Admin Activity, Data Access, Policy Denied), also those of Google Workspace that arrive this way.

Format: https://cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog
"""

from __future__ import annotations

from typing import Any

from watchbill.content import audit_logs as audit
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_FORM = audit.Form(
    product="Cloud Audit Logs",
    vendor="Google",
    operation=("protoPayload.methodName",),
    service=("protoPayload.serviceName",),
    actor=("protoPayload.authenticationInfo.principalEmail", "protoPayload.authenticationInfo.principalSubject"),
    address=("protoPayload.requestMetadata.callerIp", "protoPayload.requestMetadata.callerIP"),
    agent=("protoPayload.requestMetadata.callerSuppliedUserAgent",),
    time=("timestamp", "receiveTimestamp"),
    uid=("insertId",),
    detail=("protoPayload.status.message",),
)
_SOURCE = LogSource("gcp", "gcp.audit")
_NAMES = frozenset({"protoPayload", "logName", "insertId", "receiveTimestamp"})
_KINDS = {
    "google.iam.admin.v1.CreateServiceAccount": audit.USER_CREATED,
    "google.iam.admin.v1.DeleteServiceAccount": audit.USER_DELETED,
    "google.iam.admin.v1.DisableServiceAccount": audit.USER_DISABLED,
    "google.iam.admin.v1.EnableServiceAccount": audit.USER_ENABLED,
    "google.logging.v2.ConfigServiceV2.DeleteSink": audit.LOG_DISABLED,
    "google.logging.v2.LoggingServiceV2.DeleteLog": audit.LOG_DELETED,
    "google.login.LoginService.loginSuccess": audit.SIGN_IN,
    "google.login.LoginService.loginFailure": audit.SIGN_IN,
    "google.login.LoginService.logout": audit.SIGN_OUT,
}
#: Workspace's own logs arrive through Cloud Logging under these service names.
_WORKSPACE = {
    "login.googleapis.com": LogSource("gcp", "google_workspace.login"),
    "admin.googleapis.com": LogSource("gcp", "google_workspace.admin"),
}


def parse(line: Line) -> Event | None:
    """Translate one entry. The host is the project, "gcp:<id>", so that a project can be an asset."""
    data = audit.cased(line.data, _NAMES) if line.data else None
    payload = data.get("protoPayload") if data else None
    if not data or not isinstance(payload, dict) or not isinstance(payload.get("methodName"), str):
        return None
    native: dict[str, Any] = flat.flatten(data)
    method, service = payload["methodName"], audit.first(native, ("protoPayload.serviceName",))
    native.setdefault("gcp.audit.method_name", method)
    for name in [one for one in native if one.startswith(("protoPayload.", "resource.", "logName"))]:
        native.setdefault(f"data.{name}", native[name])
    if "resource.type" in native:
        native.setdefault("data.protoPayload.resource.type", native["resource.type"])
    if "logName" in native:
        native.setdefault("data.protoPayload.logName", native["logName"])
    logsource = _WORKSPACE.get(service, _SOURCE)
    if logsource is not _SOURCE:
        native.setdefault("eventService", service)
        native.setdefault("eventName", method.rpartition(".")[2])
    project = audit.first(native, ("resource.labels.project_id",)) or _project(audit.first(native, ("logName",)))
    code = native.get("protoPayload.status.code")
    resource = audit.first(native, ("protoPayload.resourceName",))
    act = audit.Act(
        _KINDS.get(method, audit.CALL),
        failed=method.endswith("loginFailure") or code not in {None, 0} or _refused(native),
        user=resource.rpartition("/")[2] if method in _KINDS and _KINDS[method][0] == ocsf.ACCOUNT_CHANGE else "",
        log=resource.rpartition("/")[2],
        resources=((resource, audit.first(native, ("resource.type",))),) if resource else (),
        host=f"gcp:{project}" if project else "gcp",
        extra=_cloud(project, native, code),
    )
    return audit.event(_FORM, line, native, logsource, act)


def _refused(native: dict[str, Any]) -> bool:
    asked = native.get("protoPayload.authorizationInfo")
    return any(
        isinstance(one, dict) and one.get("granted") is False for one in (asked if isinstance(asked, list) else ())
    )


def _project(log_name: str) -> str:
    kind, _, rest = log_name.partition("/")
    return rest.partition("/")[0] if kind == "projects" else ""


def _cloud(project: str, native: dict[str, Any], code: Any) -> dict[str, Any]:
    extra: dict[str, Any] = {"cloud.provider": "GCP"}
    if project:
        extra["cloud.project_uid"] = project
    for name in ("resource.labels.location", "resource.labels.region", "resource.labels.zone"):
        if text := audit.first(native, (name,)):
            extra["cloud.region"] = text
            break
    if isinstance(code, int) and code:
        extra["status_code"] = str(code)
    return extra


def _record(method: str, service: str, status: str = "{}") -> str:
    return (
        f'{{"insertId":"i1","logName":"projects/shop/logs/cloudaudit.googleapis.com%2Factivity","protoPayload":{{"@type":"type.googleapis.com/google.cloud.audit.AuditLog",'
        f'"authenticationInfo":{{"principalEmail":"ana@example.com"}},"methodName":"{method}","requestMetadata":{{"callerIp":"192.0.2.7","callerSuppliedUserAgent":"gcloud"}},'
        f'"resourceName":"projects/shop/global/firewalls/web","serviceName":"{service}","status":{status}}},"resource":{{"labels":{{"project_id":"shop"}},"type":"gce_firewall_rule"}},'
        f'"severity":"NOTICE","timestamp":"2026-03-04T10:00:00Z"}}'
    )


PARSER = Parser(
    id="google_cloud",
    title="Google Cloud audit logs",
    logsource=_SOURCE,
    parse=parse,
    keys=(frozenset({"protoPayload"}), frozenset({"protopayload", "logname"})),
    rank=20,
    samples=(
        Sample(
            _record("v1.compute.firewalls.delete", "compute.googleapis.com"),
            ocsf.API_ACTIVITY,
            {
                "activity_id": 4, "status_id": 1, "api.operation": "v1.compute.firewalls.delete", "api.service.name": "compute.googleapis.com",
                "actor.user.name": "ana@example.com", "src_endpoint.ip": "192.0.2.7", "cloud.provider": "GCP",
            },
            {"gcp.audit.method_name": "v1.compute.firewalls.delete", "data.protoPayload.serviceName": "compute.googleapis.com"},
            time="2026-03-04T10:00:00Z",
            host="gcp:shop",
        ),
        Sample(
            _record("google.login.LoginService.loginFailure", "login.googleapis.com", '{"code":16}'),
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "ana@example.com", "service.name": "login.googleapis.com"},
            {"eventName": "loginFailure"},
        ),
        Sample(_record("google.iam.admin.v1.CreateServiceAccount", "iam.googleapis.com"), ocsf.ACCOUNT_CHANGE, {"activity_id": 1}),
        Sample('{"protoPayload":{},"logName":"x"}', None),
    ),
)  # fmt: skip
