"""Which events a rule is for: Sigma's log source, or the OCSF class for ``taxonomy: ocsf``."""

from __future__ import annotations

import msgspec

from watchbill.sdk.events import WIDER_CATEGORY, LogSource

#: OCSF 1.8 classes by their caption in snake case (https://schema.ocsf.io/1.8.0/classes).
OCSF_CLASSES = {
    "base_event": 0,
    "file_system_activity": 1001, "kernel_extension_activity": 1002, "kernel_activity": 1003,
    "memory_activity": 1004, "module_activity": 1005, "scheduled_job_activity": 1006, "process_activity": 1007,
    "event_log_activity": 1008, "script_activity": 1009, "peripheral_activity": 1010,
    "security_finding": 2001, "vulnerability_finding": 2002, "compliance_finding": 2003, "detection_finding": 2004,
    "incident_finding": 2005, "data_security_finding": 2006, "application_security_posture_finding": 2007,
    "iam_analysis_finding": 2008,
    "account_change": 3001, "authentication": 3002, "authorize_session": 3003, "entity_management": 3004,
    "user_access_management": 3005, "group_management": 3006,
    "network_activity": 4001, "http_activity": 4002, "dns_activity": 4003, "dhcp_activity": 4004,
    "rdp_activity": 4005, "smb_activity": 4006, "ssh_activity": 4007, "ftp_activity": 4008, "email_activity": 4009,
    "network_file_activity": 4010, "email_file_activity": 4011, "email_url_activity": 4012, "ntp_activity": 4013,
    "tunnel_activity": 4014,
    "device_inventory_info": 5001, "device_config_state": 5002, "user_inventory_info": 5003,
    "operating_system_patch_state": 5004, "kernel_object_query": 5006, "file_query": 5007, "folder_query": 5008,
    "admin_group_query": 5009, "job_query": 5010, "module_query": 5011, "network_connection_query": 5012,
    "networks_query": 5013, "peripheral_device_query": 5014, "process_query": 5015, "service_query": 5016,
    "user_session_query": 5017, "user_query": 5018, "device_config_state_change": 5019,
    "software_inventory_info": 5020, "osint_inventory_info": 5021, "startup_item_query": 5022,
    "cloud_resources_inventory_info": 5023, "live_evidence_info": 5040,
    "web_resources_activity": 6001, "application_lifecycle": 6002, "api_activity": 6003,
    "web_resource_access_activity": 6004, "datastore_activity": 6005, "file_hosting_activity": 6006,
    "scan_activity": 6007, "application_error": 6008,
    "remediation_activity": 7001, "file_remediation_activity": 7002, "process_remediation_activity": 7003,
    "network_remediation_activity": 7004,
    "drone_flights_activity": 8001, "airborne_broadcast_activity": 8002,
}  # fmt: skip


class Route(msgspec.Struct, frozen=True, cache_hash=True):
    """What an event must be for a rule to look at it. Empty and None ask nothing."""

    product: str = ""
    service: str = ""
    category: str = ""
    class_uid: int | None = None

    @property
    def space(self) -> str:
        """Which of the event's two sets of fields the rule speaks of."""
        return "native" if self.class_uid is None else "ocsf"

    def takes(self, source: LogSource, class_uid: int) -> bool:
        return (
            (self.class_uid is None or self.class_uid == class_uid)
            and self.product in {"", source.product}
            and self.service in {"", source.service}
            and self.category in {"", source.category, WIDER_CATEGORY.get(source.category)}
        )
