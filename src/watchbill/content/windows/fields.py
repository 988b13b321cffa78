"""Fields under the names that Sigma's rules use, where Windows writes them under others.

The generic categories are spelled as Sysmon does; the security log, Defender and event tracing write the same facts in
their own way. Each entry: the field, what it is made of, and how (see ``sdk.shapes.Derived``).
"""

from __future__ import annotations

from collections.abc import Callable

from watchbill.sdk import LogSource

Recipe = tuple[tuple[str, ...], Callable[..., object] | None]

_INTEGRITY = {
    "s-1-16-0": "Untrusted", "s-1-16-4096": "Low", "s-1-16-8192": "Medium", "s-1-16-8448": "MediumPlus",
    "s-1-16-12288": "High", "s-1-16-16384": "System", "s-1-16-20480": "ProtectedProcess",
}  # fmt: skip
_UNSAID = {"", "-", None}
_OUTBOUND = "%%14593"
_HIVES = (
    ("\\registry\\machine\\", "HKLM\\"),
    ("\\registry\\user\\", "HKU\\"),
)
_OPERATIONS = {"%%1904": "SetValue", "%%1905": "SetValue", "%%1906": "DeleteValue"}


def account(*parts: object) -> str | None:
    r"""DOMAIN\name, from pairs of domain and name: the first pair whose name is said."""
    for domain, name in zip(parts[::2], parts[1::2], strict=True):
        if name not in _UNSAID:
            return str(name) if domain in _UNSAID else f"{domain}\\{name}"
    return None


def decimal(value: object) -> object:
    """A number that may be written in hex ("0x2bc"), as Sysmon writes it."""
    if isinstance(value, str) and value[:2].lower() == "0x":
        try:
            return int(value, 16) if len(value) <= 18 else value
        except ValueError:
            return value
    return value


def registry_path(key: object, value_name: object) -> str | None:
    r"""\REGISTRY\MACHINE\… and a value's name as one path below HKLM or HKU."""
    if not isinstance(key, str):
        return None
    for kernel, short in _HIVES:
        if key[: len(kernel)].lower() == kernel:
            key = short + key[len(kernel) :]
            break
    return key if value_name in _UNSAID else f"{key}\\{value_name}"


def _hash(name: str) -> Recipe:
    start = f"{name}="

    def pick(hashes: object) -> str | None:
        if not isinstance(hashes, str):
            return None
        return next((part[len(start) :] for part in hashes.split(",") if part[: len(start)].upper() == start), None)

    return ("Hashes",), pick


def _integrity(label: object) -> str | None:
    return _INTEGRITY.get(label.lower()) if isinstance(label, str) else None


def _operation(number: object) -> str | None:
    return _OPERATIONS.get(number) if isinstance(number, str) else None


def _initiated(direction: object) -> str | None:
    return None if direction is None else "true" if direction == _OUTBOUND else "false"


def _listed(*values: object) -> list[object] | None:
    return [value for value in values if value is not None] or None


_SUBJECT: Recipe = ("SubjectDomainName", "SubjectUserName"), account
_HASHES: dict[str, Recipe] = {
    "md5": _hash("MD5"), "sha1": _hash("SHA1"), "sha256": _hash("SHA256"), "imphash": _hash("IMPHASH"),
    "Imphash": _hash("IMPHASH"),
}  # fmt: skip
_REGISTRY: dict[str, Recipe] = {
    "TargetObject": (("ObjectName", "ObjectValueName"), registry_path),
    "Details": (("NewValue",), None),
    "EventType": (("OperationType",), _operation),
    "Image": (("ProcessName",), None),
    "User": _SUBJECT,
}
_BY_KIND: dict[tuple[str, str], dict[str, Recipe]] = {
    ("security", "process_creation"): {
        "Image": (("NewProcessName",), None),
        "ParentImage": (("ParentProcessName",), None),
        "ParentProcessId": (("ProcessId",), decimal),
        "User": (("TargetDomainName", "TargetUserName", "SubjectDomainName", "SubjectUserName"), account),
        "LogonId": (("SubjectLogonId",), None),
        "IntegrityLevel": (("MandatoryLabel",), _integrity),
    },
    ("security", "process_termination"): {"Image": (("ProcessName",), None), "User": _SUBJECT},
    ("security", "network_connection"): {
        "Image": (("Application",), None),
        "SourceIp": (("SourceAddress",), None),
        "DestinationIp": (("DestAddress",), None),
        "DestinationPort": (("DestPort",), None),
        "Initiated": (("Direction",), _initiated),
    },
    ("security", "file_access"): {
        "FileName": (("ObjectName",), None),
        "TargetFilename": (("ObjectName",), None),
        "Image": (("ProcessName",), None),
        "User": _SUBJECT,
    },
    ("windefend", "antivirus"): {
        "Signature": (("Threat Name", "ThreatName"), None),
        "ThreatName": (("Threat Name",), None),
        "Filename": (("Path",), None),
    },
    **{("security", category): _REGISTRY for category in ("registry_event", "registry_set", "registry_delete")},
}  # fmt: skip
_WITH_HASHES = {
    "process_creation", "image_load", "driver_load", "create_stream_hash", "file_delete", "file_delete_detected",
    "file_block_executable", "file_block_shredding", "file_executable_detected",
}  # fmt: skip
#: What classic logs write without names: a list in an EVTX file, param1 … in Winlogbeat.
_CLASSIC = {"powershell-classic", "application", "system", "msexchange-management", ""}
_PARAMETERS: Recipe = tuple(f"param{number}" for number in range(1, 21)), _listed


#: RPC Firewall writes a list; the places are those of its message file (an RPC server function was called).
_RPC_CALL = {
    "Function": 1, "ProcessID": 2, "ImagePath": 3, "Protocol": 4, "Endpoint": 5, "ClientNetworkAddress": 6,
    "InterfaceUuid": 7, "OpNum": 8, "SecurityID": 9, "AuthenticationLevel": 10, "AuthenticationService": 11,
    "ClientPort": 12, "ServerNetworkAddress": 13, "ServerPort": 14,
}  # fmt: skip


def _at(place: int) -> Recipe:
    def pick(values: object, parameter: object) -> object:
        return values[place - 1] if isinstance(values, list) and len(values) >= place else parameter

    return ("Data", f"param{place}"), pick


_RPC_FIREWALL: dict[str, Recipe] = {
    "EventLog": (("Data",), lambda _: "RPCFW"), **{name: _at(place) for name, place in _RPC_CALL.items()}
}  # fmt: skip


def recipes(source: LogSource) -> dict[str, Recipe]:
    """What an event of this source can be asked for under Sigma's names; the paths are within the event's data."""
    if source.product == "rpc_firewall":
        return _RPC_FIREWALL
    found = dict(_BY_KIND.get((source.service, source.category), {}))
    if source.service == "sysmon" and source.category in _WITH_HASHES:
        found |= _HASHES
    if source.service in _CLASSIC:
        found["Data"] = _PARAMETERS
    return found
