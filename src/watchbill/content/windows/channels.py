"""Which of Sigma's log sources a Windows event is, by its channel and number.

https://github.com/SigmaHQ/sigma-specification/blob/main/specification/sigma-appendix-taxonomy.md
"""

from __future__ import annotations

from watchbill.sdk import LogSource

_CHANNELS = {
    "application": ("Application",),
    "application-experience": (
        "Microsoft-Windows-Application-Experience/Program-Telemetry",
        "Microsoft-Windows-Application-Experience/Program-Compatibility-Assistant",
    ),
    "applocker": (
        "Microsoft-Windows-AppLocker/EXE and DLL", "Microsoft-Windows-AppLocker/MSI and Script",
        "Microsoft-Windows-AppLocker/Packaged app-Deployment", "Microsoft-Windows-AppLocker/Packaged app-Execution",
    ),
    "appmodel-runtime": ("Microsoft-Windows-AppModel-Runtime/Admin",),
    "appxdeployment-server": ("Microsoft-Windows-AppXDeploymentServer/Operational",),
    "appxpackaging-om": ("Microsoft-Windows-AppxPackaging/Operational",),
    "bitlocker": ("Microsoft-Windows-BitLocker/BitLocker Management",),
    "bits-client": ("Microsoft-Windows-Bits-Client/Operational",),
    "capi2": ("Microsoft-Windows-CAPI2/Operational",),
    "certificateservicesclient-lifecycle-system": (
        "Microsoft-Windows-CertificateServicesClient-Lifecycle-System/Operational",
    ),
    "codeintegrity-operational": ("Microsoft-Windows-CodeIntegrity/Operational",),
    "dhcp": ("Microsoft-Windows-DHCP-Server/Operational",),
    "diagnosis-scripted": ("Microsoft-Windows-Diagnosis-Scripted/Operational",),
    "dns-client": ("Microsoft-Windows-DNS Client Events/Operational", "Microsoft-Windows-DNS-Client/Operational"),
    "dns-server": ("DNS Server",),
    "dns-server-analytic": ("Microsoft-Windows-DNS-Server/Analytical", "Microsoft-Windows-DNSServer/Analytical"),
    "dns-server-audit": ("Microsoft-Windows-DNS-Server/Audit", "Microsoft-Windows-DNSServer/Audit"),
    "driver-framework": ("Microsoft-Windows-DriverFrameworks-UserMode/Operational",),
    "firewall-as": ("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall",),
    "hyper-v-worker": ("Microsoft-Windows-Hyper-V-Worker", "Microsoft-Windows-Hyper-V-Worker-Admin"),
    "iis-configuration": ("Microsoft-IIS-Configuration/Operational",),
    "kernel-event-tracing": ("Microsoft-Windows-Kernel-EventTracing", "Microsoft-Windows-Kernel-EventTracing/Admin"),
    "kernel-file": ("Microsoft-Windows-Kernel-File/Analytic",),
    "kernel-shimengine": (
        "Microsoft-Windows-Kernel-ShimEngine/Operational", "Microsoft-Windows-Kernel-ShimEngine/Diagnostic",
    ),
    "ldap": ("Microsoft-Windows-LDAP-Client/Debug",),
    "lsa-server": ("Microsoft-Windows-LSA/Operational",),
    "msexchange-management": ("MSExchange Management",),
    "ntfs": ("Microsoft-Windows-Ntfs/Operational",),
    "ntlm": ("Microsoft-Windows-NTLM/Operational",),
    "openssh": ("OpenSSH/Operational",),
    "powershell": ("Microsoft-Windows-PowerShell/Operational", "PowerShellCore/Operational"),
    "powershell-classic": ("Windows PowerShell",),
    "printservice-admin": ("Microsoft-Windows-PrintService/Admin",),
    "printservice-operational": ("Microsoft-Windows-PrintService/Operational",),
    "security": ("Security",),
    "security-mitigations": (
        "Microsoft-Windows-Security-Mitigations/Kernel Mode", "Microsoft-Windows-Security-Mitigations/User Mode",
        "Microsoft-Windows-Security-Mitigations/KernelMode", "Microsoft-Windows-Security-Mitigations/UserMode",
    ),
    "sense": ("Microsoft-Windows-SENSE/Operational",),
    "microsoft-servicebus-client": ("Microsoft-ServiceBus-Client/Admin", "Microsoft-ServiceBus-Client/Operational"),
    "shell-core": ("Microsoft-Windows-Shell-Core/Operational",),
    "smbclient-connectivity": ("Microsoft-Windows-SmbClient/Connectivity",),
    "smbclient-security": ("Microsoft-Windows-SmbClient/Security",),
    "smbserver-connectivity": ("Microsoft-Windows-SMBServer/Connectivity",),
    "sysmon": ("Microsoft-Windows-Sysmon/Operational", "Linux-Sysmon/Operational"),
    "system": ("System",),
    "taskscheduler": ("Microsoft-Windows-TaskScheduler/Operational",),
    "terminalservices-localsessionmanager": ("Microsoft-Windows-TerminalServices-LocalSessionManager/Operational",),
    "vhdmp": ("Microsoft-Windows-VHDMP/Operational", "Microsoft-Windows-VHDMP-Operational"),
    "windefend": ("Microsoft-Windows-Windows Defender/Operational",),
    "wmi": ("Microsoft-Windows-WMI-Activity/Operational",),
}  # fmt: skip
#: Channel in lower case to Sigma's service.
SERVICES = {channel.lower(): service for service, channels in _CHANNELS.items() for channel in channels}
#: Providers that say which service an event is of where its channel was not kept.
_PROVIDERS = {
    "microsoft-windows-sysmon": "sysmon",
    "linux-sysmon": "sysmon",
    "microsoft-windows-security-auditing": "security",
    "microsoft-windows-powershell": "powershell",
    "powershellcore": "powershell",
    "powershell": "powershell-classic",
    "microsoft-windows-windows defender": "windefend",
}
#: Service and event number to Sigma's category.
_CATEGORIES = {
    "sysmon": {
        1: "process_creation", 2: "file_change", 3: "network_connection", 4: "sysmon_status", 5: "process_termination",
        6: "driver_load", 7: "image_load", 8: "create_remote_thread", 9: "raw_access_thread", 10: "process_access",
        11: "file_event", 12: "registry_event", 13: "registry_set", 14: "registry_rename", 15: "create_stream_hash",
        16: "sysmon_status", 17: "pipe_created", 18: "pipe_created", 19: "wmi_event", 20: "wmi_event",
        21: "wmi_event", 22: "dns_query", 23: "file_delete", 24: "clipboard_capture", 25: "process_tampering",
        26: "file_delete_detected", 27: "file_block_executable", 28: "file_block_shredding",
        29: "file_executable_detected", 255: "sysmon_error",
    },
    "security": {
        4657: "registry_event", 4688: "process_creation", 4689: "process_termination", 5156: "network_connection",
    },
    "powershell": {4103: "ps_module", 4104: "ps_script"},
    "powershell-classic": {400: "ps_classic_start", 600: "ps_classic_provider_start", 800: "ps_classic_script"},
    "dns-client": {3008: "dns_query"},
    "windefend": dict.fromkeys(
        (1006, 1007, 1008, 1009, 1010, 1011, 1012, 1015, 1017, 1018, 1019, 1115, 1116, 1117, 1118, 1119), "antivirus"
    ),
    # Event tracing of the kernel: Create, DeletePath, RenamePath (and its older form), CreateNewFile.
    "kernel-file": {
        12: "file_access", 19: "file_rename", 26: "file_delete", 27: "file_rename", 30: "file_event",
    },
}  # fmt: skip
#: What a registry event did: Sysmon's EventType, and OperationType of Security 4657 (messages of the audit's resource).
_REGISTRY = {
    "createkey": "registry_add", "deletekey": "registry_delete", "deletevalue": "registry_delete",
    "%%1904": "registry_set", "%%1905": "registry_set", "%%1906": "registry_delete",
}  # fmt: skip
_FILE_READ = 4663
#: The event log of Zero Networks' RPC Firewall, which Sigma has as a product of its own.
_RPC_FIREWALL = "rpcfw"


def logsource(channel: str, provider: str, event_id: int, operation: str = "", object_type: str = "") -> LogSource:
    """The log source of an event. ``operation`` is its EventType or OperationType, ``object_type`` its ObjectType.

    A channel that Sigma does not name gives no service: only rules for all of Windows are for its events.
    """
    if channel.lower() == _RPC_FIREWALL:
        return LogSource("rpc_firewall", "", "application")
    service = SERVICES.get(channel.lower()) or (_PROVIDERS.get(provider.lower(), "") if not channel else "")
    category = _CATEGORIES.get(service, {}).get(event_id, "")
    if category == "registry_event":
        category = _REGISTRY.get(operation.lower(), category)
    elif service == "security" and event_id == _FILE_READ and object_type == "File":
        category = "file_access"
    product = "linux" if "linux" in {channel[:5].lower(), provider[:5].lower()} else "windows"
    return LogSource(product, service, category)
