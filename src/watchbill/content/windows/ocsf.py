"""Windows events as OCSF 1.8. What has no class of its own stays a base event, with its fields under ``unmapped``.

Numbers and fields: https://learn.microsoft.com/en-us/windows/security/threat-protection/auditing/ and Sysmon's manual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from watchbill.content.windows.fields import account, decimal
from watchbill.sdk import LogSource, ocsf

Fields = Mapping[str, Any]
Values = dict[str, Any]

MODULE_ACTIVITY = 1005
SCRIPT_ACTIVITY = 1009
AUTHORIZE_SESSION = 3003
NETWORK_ACTIVITY = 4001
DNS_ACTIVITY = 4003

_LOGON_TYPES = frozenset({0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13})
_SYSTEM_LOGON = 0
_REMOTE_LOGONS = frozenset({3, 8, 10, 12})
_PROTOCOLS = {"ntlm": 1, "kerberos": 2, "digest": 3}
_UNSAID = frozenset({"", "-", "%%1793", "NULL SID", "S-1-0-0"})
_MOST_PID = 1 << 31
_FILE = {"type_id": 1}


class _What(NamedTuple):
    """The class, activity and status of an event, and what fills in the rest."""

    class_uid: int
    activity: int
    fill: Callable[[Values, Fields], None]
    status: int = ocsf.SUCCESS
    name: str = ""


def class_and_activity(source: LogSource, event_id: int) -> tuple[int, int | None]:
    """The OCSF class and activity that ``event`` gives to events of this source and number; no activity where it knows no more."""
    what = _what(source, event_id)
    return (what.class_uid, what.activity) if what else (ocsf.BASE, None)


def event(source: LogSource, event_id: int, fields: Fields) -> Values:
    """The OCSF event of a record's native fields, without what every event has (time, device)."""
    what = _what(source, event_id)
    vendor = "Microsoft"
    product = "Sysmon" if source.service == "sysmon" else "Windows"
    if what is None:
        values = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, product, vendor)
        for name, value in fields.items():
            if value is not None and not name.startswith("#") and name not in _ENVELOPE:
                values[f"unmapped.{name}"] = value
    else:
        values = ocsf.template(what.class_uid, what.activity, product, vendor, what.status)
        if what.name:
            values["activity_name"] = what.name
        what.fill(values, fields)
    values["metadata.event_code"] = str(event_id)
    for name, path in (("Channel", "metadata.log_name"), ("Provider_Name", "metadata.log_provider")):
        if said := _said(fields, name):
            values[path] = said
    return values


_ENVELOPE = frozenset({"EventID", "Channel", "Provider_Name", "Computer", "Message", "Keywords", "EventRecordID"})


def _what(source: LogSource, event_id: int) -> _What | None:
    return _BY_NUMBER.get((source.service, event_id)) or _BY_CATEGORY.get(source.category)


def _said(fields: Fields, name: str) -> str:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return ""
    text = str(value)
    return "" if text in _UNSAID else text


def _first(fields: Fields, *names: str) -> str:
    return next((said for name in names if (said := _said(fields, name))), "")


def _person(values: Values, fields: Fields, who: str, path: str) -> None:
    """A user whose fields start with ``who`` (Subject, Target, Member …)."""
    for name, attribute in (("UserName", "name"), ("DomainName", "domain"), ("UserSid", "uid"), ("Sid", "uid")):
        if said := _said(fields, who + name):
            values.setdefault(f"{path}.{attribute}", said)


def _subject(values: Values, fields: Fields) -> None:
    _person(values, fields, "Subject", "actor.user")
    if session := _said(fields, "SubjectLogonId"):
        values["actor.session.uid"] = session


def _need_user(values: Values, fields: Fields) -> None:
    if "user.name" not in values and "user.uid" not in values:
        values["user.name"] = _first(fields, "TargetUserName", "SubjectUserName", "AccountName") or "unknown"


def _source_endpoint(values: Values, fields: Fields) -> None:
    address = ocsf.canonical_ip(_first(fields, "IpAddress", "ClientAddress", "SourceAddress").removeprefix("::ffff:"))
    if address:
        values["src_endpoint.ip"] = address
    if (port := _port(fields.get("IpPort"))) and address:
        values["src_endpoint.port"] = port
    if name := _first(fields, "WorkstationName", "Workstation", "ClientName").lstrip("\\"):
        values["src_endpoint.hostname"] = name


def _port(value: object) -> int:
    plain = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6 else value
    return plain if isinstance(plain, int) and 0 < plain < 65_536 else 0


def _authentication(values: Values, fields: Fields) -> None:
    _person(values, fields, "Target", "user")
    _need_user(values, fields)
    _subject(values, fields)
    _source_endpoint(values, fields)
    kind = decimal(fields.get("LogonType"))
    if isinstance(kind, str) and kind.isdigit() and len(kind) < 4:
        kind = int(kind)
    if isinstance(kind, int) and not isinstance(kind, bool):
        values["logon_type_id"] = 1 if kind == _SYSTEM_LOGON else kind if kind in _LOGON_TYPES else ocsf.OTHER
        values["is_remote"] = kind in _REMOTE_LOGONS
    package = _said(fields, "AuthenticationPackageName").lower()
    if protocol := _PROTOCOLS.get(package):
        values["auth_protocol_id"] = protocol
    if session := _said(fields, "TargetLogonId"):
        values["session.uid"] = session
    if process := _first(fields, "ProcessName", "CallerProcessName"):
        values["actor.process.name"] = _base(process)
    status = _first(fields, "SubStatus", "Status")
    if values["status_id"] == ocsf.FAILURE and status in {"0x0", "0x00000000"}:
        status = _said(fields, "Status")
    if status:
        values["status_code"] = status


def _explicit(values: Values, fields: Fields) -> None:
    """4648: one user gives another's credentials; whether they are accepted is told by the event that follows."""
    _authentication(values, fields)
    if target := _said(fields, "TargetServerName"):
        values["service.name"] = target


def _ticket(values: Values, fields: Fields) -> None:
    """Kerberos on a domain controller: Status says whether it was granted."""
    _judged_by_status(values, fields)
    _authentication(values, fields)
    values["auth_protocol_id"] = _PROTOCOLS["kerberos"]
    if service := _said(fields, "ServiceName"):
        values["service.name"] = service


def _validation(values: Values, fields: Fields) -> None:
    _judged_by_status(values, fields)
    _authentication(values, fields)
    values["auth_protocol_id"] = _PROTOCOLS["ntlm"]


def _judged_by_status(values: Values, fields: Fields) -> None:
    code = decimal(fields.get("Status"))
    failed = code not in {0, "0", None}
    values["status_id"] = ocsf.FAILURE if failed else ocsf.SUCCESS
    values["severity_id"] = 2 if failed else 1


def _privileges(values: Values, fields: Fields) -> None:
    _person(values, fields, "Subject", "user")
    _need_user(values, fields)
    values["privileges"] = _said(fields, "PrivilegeList").split() or ["unknown"]
    if session := _said(fields, "SubjectLogonId"):
        values["session.uid"] = session


def _account(values: Values, fields: Fields) -> None:
    _person(values, fields, "Target", "user")
    if renamed := _said(fields, "NewTargetUserName"):
        values["user_result.name"] = renamed
        values["user.name"] = _said(fields, "OldTargetUserName") or renamed
    _need_user(values, fields)
    _subject(values, fields)


def _group(values: Values, fields: Fields) -> None:
    name = _said(fields, "TargetUserName")
    values["group.name"] = name or _said(fields, "TargetSid") or "unknown"
    for field, attribute in (("TargetDomainName", "domain"), ("TargetSid", "uid")):
        if said := _said(fields, field):
            values[f"group.{attribute}"] = said
    member, sid = _said(fields, "MemberName"), _said(fields, "MemberSid")
    if member or sid:
        # A distinguished name: its first part is the common name.
        values["user.name"] = member.partition(",")[0].partition("=")[2] or member or sid
        if sid:
            values["user.uid"] = sid
    _subject(values, fields)


def _event_log(values: Values, fields: Fields) -> None:
    # 104 names the cleared log in its data, 1102 is about the log that it stands in.
    values["log_name"] = _said(fields, "Channel") or "unknown"
    values["log_provider"] = _said(fields, "Provider_Name") or "Microsoft-Windows-Eventlog"
    _subject(values, fields)


def _job(values: Values, fields: Fields) -> None:
    values["job.name"] = _said(fields, "TaskName") or "unknown"
    if user := account(fields.get("SubjectDomainName"), fields.get("SubjectUserName")):
        values["job.user.name"] = user
    content = _first(fields, "TaskContent", "TaskContentNew")
    command = _between(content, "<Command>", "</Command>")
    if command:
        values["job.cmd_line"] = f"{command} {_between(content, '<Arguments>', '</Arguments>')}".strip()


def _between(text: str, start: str, end: str) -> str:
    _, found, rest = text.partition(start)
    return rest.partition(end)[0] if found else ""


def _service(values: Values, fields: Fields) -> None:
    values["app.name"] = _said(fields, "ServiceName") or "unknown"
    values["app.vendor_name"] = "unknown"
    if path := _first(fields, "ImagePath", "ServiceFileName"):
        values["app.path"] = path
    _subject(values, fields)


def _process(values: Values, fields: Fields) -> None:
    _program(values, fields, "process", "Image", ("NewProcessId", "ProcessId"))
    if command := _said(fields, "CommandLine"):
        values["process.cmd_line"] = command
    if folder := _said(fields, "CurrentDirectory"):
        values["process.working_directory"] = folder
    if user := _said(fields, "User"):
        values["process.user.name"] = values["actor.user.name"] = user
    if identity := _said(fields, "ProcessGuid"):
        values["process.uid"] = identity
    _program(values, fields, "process.parent_process", "ParentImage", ("ParentProcessId",))
    _program(values, fields, "actor.process", "ParentImage", ("ParentProcessId",))
    if parent := _said(fields, "ParentCommandLine"):
        values["process.parent_process.cmd_line"] = parent
    if "actor.process.name" not in values and "actor.user.name" not in values:
        values["actor.process.name"] = values["process.name"]
    if (hashes := _hashes(fields)) and "process.file.name" in values:
        values["process.file.hashes"] = hashes


def _hashes(fields: Fields) -> list[dict[str, Any]]:
    names = {"md5": ("MD5", 1), "sha1": ("SHA-1", 2), "sha256": ("SHA-256", 3)}
    return [
        {"algorithm": spelled, "algorithm_id": number, "value": said}
        for name, (spelled, number) in names.items()
        if (said := _said(fields, name))
    ]


def _program(values: Values, fields: Fields, path: str, image: str, ids: tuple[str, ...]) -> None:
    full = _said(fields, image)
    if full:
        name = _base(full)
        values[f"{path}.name"] = name
        if "\\" in full or "/" in full:
            values |= {f"{path}.file.name": name, f"{path}.file.path": full, f"{path}.file.type_id": 1}
    elif path == "process":
        values["process.name"] = "unknown"
    for name in ids:
        number = decimal(fields.get(name))
        if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 11:
            number = int(number)
        if isinstance(number, int) and not isinstance(number, bool) and 0 < number < _MOST_PID:
            values[f"{path}.pid"] = number
            return


def _base(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2] or path


def _acting(values: Values, fields: Fields) -> None:
    """The process that did something, and its user."""
    _program(values, fields, "actor.process", "Image", ("ProcessId",))
    if user := _said(fields, "User"):
        values["actor.user.name"] = user
    elif "actor.process.name" not in values:
        values["actor.process.name"] = "unknown"


def _file(values: Values, fields: Fields) -> None:
    path = _first(fields, "TargetFilename", "FileName", "ObjectName") or "unknown"
    values |= {"file.name": _base(path), "file.path": path, "file.type_id": 1}
    if hashes := _hashes(fields):
        values["file.hashes"] = hashes
    _acting(values, fields)


def _module(values: Values, fields: Fields) -> None:
    path = _said(fields, "ImageLoaded") or "unknown"
    values |= {"module.file.name": _base(path), "module.file.path": path, "module.file.type_id": 1}
    if hashes := _hashes(fields):
        values["module.file.hashes"] = hashes
    _acting(values, fields)


def _other_process(values: Values, fields: Fields) -> None:
    """One process reaches into another."""
    _program(
        values, {"Image": fields.get("TargetImage"), "Id": fields.get("TargetProcessId")}, "process", "Image", ("Id",)
    )
    _program(
        values, {"Image": fields.get("SourceImage"), "Id": fields.get("SourceProcessId")}, "actor.process", "Image", ("Id",)
    )  # fmt: skip
    values.setdefault("actor.process.name", "unknown")


def _network(values: Values, fields: Fields) -> None:
    for side, path in (("Source", "src_endpoint"), ("Destination", "dst_endpoint")):
        if address := ocsf.canonical_ip(_said(fields, f"{side}Ip")):
            values[f"{path}.ip"] = address
        if port := _port(fields.get(f"{side}Port")):
            values[f"{path}.port"] = port
        if name := _said(fields, f"{side}Hostname"):
            values[f"{path}.hostname"] = name
    if "dst_endpoint.ip" not in values and "dst_endpoint.hostname" not in values:
        values["dst_endpoint.hostname"] = "unknown"
    if image := _said(fields, "Image"):
        values["actor.process.name"] = _base(image)
    if user := _said(fields, "User"):
        values["actor.user.name"] = user
    initiated = str(fields.get("Initiated", "")).lower()
    values["connection_info.direction_id"] = {"true": 2, "false": 1}.get(initiated, 0)
    if protocol := _said(fields, "Protocol").lower():
        values["connection_info.protocol_name"] = {"6": "tcp", "17": "udp", "1": "icmp"}.get(protocol, protocol)


def _dns(values: Values, fields: Fields) -> None:
    values["query.hostname"] = _said(fields, "QueryName") or "unknown"
    if image := _said(fields, "Image"):
        values["actor.process.name"] = _base(image)
    if user := _said(fields, "User"):
        values["actor.user.name"] = user
    # The name server is not told; the class wants one end of the conversation.
    values["src_endpoint.hostname"] = _said(fields, "Computer") or "unknown"


def _script(values: Values, fields: Fields) -> None:
    values |= {"script.script_content.value": _said(fields, "ScriptBlockText"), "script.type_id": 2}
    if path := _said(fields, "Path"):
        values |= {"script.file.name": _base(path), "script.file.path": path, "script.file.type_id": 1}
    if identity := _said(fields, "ScriptBlockId"):
        values["script.uid"] = identity
    values["actor.process.name"] = "powershell"


_S, _F, _U = ocsf.SUCCESS, ocsf.FAILURE, ocsf.UNKNOWN


def _accounts() -> dict[int, _What]:
    activities = {
        4720: 1, 4722: 2, 4723: 3, 4724: 4, 4725: 5, 4726: 6, 4740: 9, 4767: 12,
        4741: 1, 4743: 6,
    }  # fmt: skip
    found = {number: _What(ocsf.ACCOUNT_CHANGE, activity, _account) for number, activity in activities.items()}
    for number, name in ((4738, "Change"), (4742, "Change"), (4781, "Rename")):
        found[number] = _What(ocsf.ACCOUNT_CHANGE, ocsf.OTHER, _account, _S, name)
    return found


def _groups() -> dict[int, _What]:
    #: Security and distribution groups; local, global and universal ones.
    numbers = {
        6: (4727, 4731, 4754, 4744, 4749, 4759), 3: (4728, 4732, 4756, 4746, 4751, 4761),
        4: (4729, 4733, 4757, 4747, 4752, 4762), 5: (4730, 4734, 4758, 4748, 4753, 4763),
    }  # fmt: skip
    found = {
        number: _What(ocsf.GROUP_MANAGEMENT, activity, _group) for activity, of in numbers.items() for number in of
    }
    for number in (4735, 4737, 4755, 4745, 4750, 4760, 4764):
        found[number] = _What(ocsf.GROUP_MANAGEMENT, ocsf.OTHER, _group, _S, "Change")
    return found


_SECURITY = {
    4624: _What(ocsf.AUTHENTICATION, 1, _authentication),
    4625: _What(ocsf.AUTHENTICATION, 1, _authentication, _F),
    4634: _What(ocsf.AUTHENTICATION, 2, _authentication),
    4647: _What(ocsf.AUTHENTICATION, 2, _authentication),
    4648: _What(ocsf.AUTHENTICATION, 1, _explicit, _U),
    4672: _What(AUTHORIZE_SESSION, 1, _privileges),
    4768: _What(ocsf.AUTHENTICATION, 3, _ticket),
    4769: _What(ocsf.AUTHENTICATION, 4, _ticket),
    4770: _What(ocsf.AUTHENTICATION, 5, _ticket),
    4771: _What(ocsf.AUTHENTICATION, 1, _ticket, _F),
    4776: _What(ocsf.AUTHENTICATION, ocsf.OTHER, _validation, _S, "Credential Validation"),
    4697: _What(ocsf.APPLICATION_LIFECYCLE, 1, _service),
    4698: _What(ocsf.SCHEDULED_JOB_ACTIVITY, 1, _job),
    4699: _What(ocsf.SCHEDULED_JOB_ACTIVITY, 3, _job),
    4700: _What(ocsf.SCHEDULED_JOB_ACTIVITY, 4, _job),
    4701: _What(ocsf.SCHEDULED_JOB_ACTIVITY, 5, _job),
    4702: _What(ocsf.SCHEDULED_JOB_ACTIVITY, 2, _job),
    1100: _What(ocsf.EVENT_LOG_ACTIVITY, 7, _event_log),
    1102: _What(ocsf.EVENT_LOG_ACTIVITY, 1, _event_log),
    **_accounts(),
    **_groups(),
}
_SYSTEM = {104: _What(ocsf.EVENT_LOG_ACTIVITY, 1, _event_log), 7045: _What(ocsf.APPLICATION_LIFECYCLE, 1, _service)}
_BY_NUMBER: dict[tuple[str, int], _What] = {
    **{("security", number): what for number, what in _SECURITY.items()},
    **{("system", number): what for number, what in _SYSTEM.items()},
}
_BY_CATEGORY: dict[str, _What] = {
    "process_creation": _What(ocsf.PROCESS_ACTIVITY, 1, _process),
    "process_termination": _What(ocsf.PROCESS_ACTIVITY, 2, _process),
    "process_access": _What(ocsf.PROCESS_ACTIVITY, 3, _other_process),
    "create_remote_thread": _What(ocsf.PROCESS_ACTIVITY, 4, _other_process),
    "file_event": _What(ocsf.FILE_ACTIVITY, 1, _file),
    "file_access": _What(ocsf.FILE_ACTIVITY, 14, _file),
    "file_change": _What(ocsf.FILE_ACTIVITY, 6, _file),
    "file_delete": _What(ocsf.FILE_ACTIVITY, 4, _file),
    "file_delete_detected": _What(ocsf.FILE_ACTIVITY, 4, _file),
    "file_executable_detected": _What(ocsf.FILE_ACTIVITY, 1, _file),
    "file_rename": _What(ocsf.FILE_ACTIVITY, 5, _file),
    "image_load": _What(MODULE_ACTIVITY, 1, _module),
    "driver_load": _What(MODULE_ACTIVITY, 1, _module),
    "network_connection": _What(NETWORK_ACTIVITY, 1, _network),
    "dns_query": _What(DNS_ACTIVITY, 1, _dns),
    "ps_script": _What(SCRIPT_ACTIVITY, 1, _script),
}
