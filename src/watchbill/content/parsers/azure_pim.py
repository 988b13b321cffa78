"""Alerts of Privileged Identity Management, as Microsoft Graph gives them: alerts and the incidents behind them.

Format: https://learn.microsoft.com/en-us/graph/api/resources/unifiedrolemanagementalert and …alertincident
"""

from __future__ import annotations

from typing import Any

from watchbill.content.audit_logs import first, moment
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

DETECTION_FINDING = 2004
_TYPE = "#microsoft.graph."
#: Graph's name of an alert's definition, to the type of its incidents, by which Sigma's rules know it.
_INCIDENTS = {
    name: f"{name[0].lower()}{name[1:]}Incident"
    for name in (
        "RedundantAssignmentAlert", "SequentialActivationRenewalsAlert", "StaleSignInAlert", "InvalidLicenseAlert",
        "TooManyGlobalAdminsAssignedToTenantAlert", "NoMfaOnRoleActivationAlert",
    )
} | {"RolesAssignedOutsidePimAlert": "rolesAssignedOutsidePrivilegedIdentityManagementAlertConfiguration"}  # fmt: skip
_SAME = {
    "rolesAssignedOutsidePrivilegedIdentityManagementAlertIncident": _INCIDENTS["RolesAssignedOutsidePimAlert"],
}


def parse(line: Line) -> Event | None:
    """Translate an alert that is active, or one of its incidents. The host is the tenant where the record names it."""
    data = line.data
    kind = _kind(data) if data else ""
    if not data or not kind or data.get("isActive") is False:
        return None
    native: dict[str, Any] = flat.flatten(data)
    native.setdefault("riskEventType", kind)
    values = ocsf.template(DETECTION_FINDING, 1, "Privileged Identity Management", "Microsoft")
    uid = first(native, ("id",)) or kind
    values |= {"severity_id": 3, "finding_info.title": kind, "finding_info.uid": uid[:400], "cloud.provider": "Azure"}
    if user := first(native, ("assigneeUserPrincipalName", "assigneeDisplayName")):
        values["actor.user.name"] = user
    time = next((at for name in _TIMES if (at := moment(native.get(name)))), 0)
    tenant = first(native, ("tenantId",)) or (uid.split("_")[1] if uid.count("_") > 1 else "")
    return Event(DETECTION_FINDING, values, native, line.text, time, host=f"azure:{tenant}" if tenant else "azure")


_TIMES = ("lastModifiedDateTime", "activationCreatedDateTime", "assignmentCreatedDateTime", "lastScannedDateTime")


def _kind(data: dict[str, Any]) -> str:
    said, definition = data.get("@odata.type"), data.get("alertDefinitionId")
    if isinstance(said, str) and said.startswith(_TYPE) and said.endswith("AlertIncident"):
        name = said.removeprefix(_TYPE)
        return _SAME.get(name, name)
    return _INCIDENTS.get(definition.rpartition("_")[2], "") if isinstance(definition, str) else ""


PARSER = Parser(
    id="azure_pim",
    title="Entra Privileged Identity Management alerts",
    logsource=LogSource("azure", "pim"),
    parse=parse,
    keys=(frozenset({"alertDefinitionId", "scopeId"}), frozenset({"@odata.type", "id"})),
    rank=22,
    samples=(
        Sample(
            '{"id":"DirectoryRole_t-1_TooManyGlobalAdminsAssignedToTenantAlert","alertDefinitionId":"DirectoryRole_t-1_TooManyGlobalAdminsAssignedToTenantAlert",'
            '"scopeId":"/","scopeType":"DirectoryRole","incidentCount":3,"isActive":true,"lastModifiedDateTime":"2026-03-04T10:00:00Z"}',
            DETECTION_FINDING,
            {"finding_info.title": "tooManyGlobalAdminsAssignedToTenantAlertIncident"},
            {"riskEventType": "tooManyGlobalAdminsAssignedToTenantAlertIncident"},
            time="2026-03-04T10:00:00Z",
            host="azure:t-1",
        ),
        Sample(
            '{"@odata.type":"#microsoft.graph.noMfaOnRoleActivationAlertIncident","id":"i-1","roleDisplayName":"Owner",'
            '"assigneeUserPrincipalName":"eve@example.com","activationCreatedDateTime":"2026-03-04T10:00:00Z"}',
            DETECTION_FINDING,
            {"actor.user.name": "eve@example.com"},
            {"riskEventType": "noMfaOnRoleActivationAlertIncident"},
        ),
        Sample('{"id":"x_y_StaleSignInAlert","alertDefinitionId":"x_y_StaleSignInAlert","scopeId":"/","isActive":false}', None),
        Sample('{"@odata.type":"#microsoft.graph.user","id":"u-1"}', None),
    ),
)  # fmt: skip
