"""Windows event log records: JSON as people export it, and event XML. The forms are told in content/windows/shapes.py."""

from __future__ import annotations

import json
from collections.abc import Mapping

from watchbill.content.windows.records import read
from watchbill.content.windows.shapes import FORMS
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_NAMESPACE = "schemas.microsoft.com/win/2004/08/events"


def parse(line: Line) -> Event | None:
    """Translate one event; those of Sysmon for Linux are left to its own parser."""
    event = read(line)
    return event if event is not None and event.logsource.product != "linux" else None


def _sniff(text: str) -> bool:
    return "<Event" in text and _NAMESPACE in text


def _evtx(channel: str, provider: str, event_id: int, data: Mapping[str, object], user_data: str = "") -> str:
    system = {
        "Provider": {"#attributes": {"Name": provider}},
        "EventID": event_id,
        "TimeCreated": {"#attributes": {"SystemTime": "2026-03-04T10:00:00.123456Z"}},
        "EventRecordID": 17,
        "Channel": channel,
        "Computer": "ws-01.example.com",
    }
    part = {"UserData": {user_data: data}} if user_data else {"EventData": data}
    return json.dumps({"Event": {"#attributes": {"xmlns": f"http://{_NAMESPACE}/event"}, "System": system, **part}})


def _sysmon(event_id: int, **data: object) -> str:
    return _evtx("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon", event_id, data)


def _security(event_id: int, **data: object) -> str:
    return _evtx("Security", "Microsoft-Windows-Security-Auditing", event_id, data)


_SUBJECT = {"SubjectUserSid": "S-1-5-21-1-2-3-500", "SubjectUserName": "ana", "SubjectDomainName": "EXAMPLE"}
_XML = (
    f'<Event xmlns="http://{_NAMESPACE}/event"><System><Provider Name="Microsoft-Windows-Security-Auditing"/>'
    '<EventID>4625</EventID><TimeCreated SystemTime="2026-03-04T10:00:00.5Z"/><EventRecordID>9</EventRecordID>'
    "<Channel>Security</Channel><Computer>dc-01.example.com</Computer></System><EventData>"
    '<Data Name="TargetUserName">eve</Data><Data Name="TargetDomainName">EXAMPLE</Data><Data Name="Status">0xc000006d'
    '</Data><Data Name="SubStatus">0xc000006a</Data><Data Name="LogonType">3</Data><Data Name="IpAddress">192.0.2.7'
    '</Data><Data Name="ProcessName">-</Data></EventData></Event>'
)

PARSER = Parser(
    id="windows",
    title="Windows event log",
    logsource=LogSource("windows"),
    parse=parse,
    keys=(
        frozenset({"Event"}), frozenset({"winlog"}), frozenset({"Channel", "EventID"}),
        frozenset({"log_name", "event_id"}), frozenset({"channel", "event_id"}), frozenset({"LogName", "EventCode"}),
        frozenset({"win"}), frozenset({"data", "agent"}),
    ),
    prefixes=("<Event ", "<Event>", "<?xml "),
    sniff=_sniff,
    rank=20,
    shapes=tuple(form.shape for form in FORMS),
    samples=(
        Sample(
            _sysmon(1, Image="C:\\Windows\\cmd.exe", CommandLine="cmd /c whoami", ProcessId=42, User="EXAMPLE\\ana",
                    ParentImage="C:\\Windows\\explorer.exe", Hashes="MD5=00,IMPHASH=11"),
            ocsf.PROCESS_ACTIVITY,
            {"activity_id": 1, "process.name": "cmd.exe", "process.cmd_line": "cmd /c whoami", "process.pid": 42,
             "process.parent_process.name": "explorer.exe", "actor.user.name": "EXAMPLE\\ana",
             "metadata.event_code": "1", "metadata.uid": "17"},
            {"EventID": 1, "Image": "C:\\Windows\\cmd.exe", "Imphash": "11", "Provider_Name": "Microsoft-Windows-Sysmon",
             "Computer": "ws-01.example.com"},
            time="2026-03-04T10:00:00.123456Z",
            host="ws-01.example.com",
        ),
        Sample(
            _security(4688, NewProcessName="C:\\Windows\\net.exe", NewProcessId="0x2bc", ProcessId="0x10",
                      ParentProcessName="C:\\Windows\\cmd.exe", MandatoryLabel="S-1-16-12288", TargetUserName="-", **_SUBJECT),
            ocsf.PROCESS_ACTIVITY,
            {"process.name": "net.exe", "process.pid": 700, "actor.user.name": "EXAMPLE\\ana"},
            {"Image": "C:\\Windows\\net.exe", "ParentImage": "C:\\Windows\\cmd.exe", "IntegrityLevel": "High",
             "User": "EXAMPLE\\ana", "ParentProcessId": 16, "ProcessId": "0x10"},
        ),
        Sample(
            _XML,
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "eve", "user.domain": "EXAMPLE", "logon_type_id": 3,
             "src_endpoint.ip": "192.0.2.7", "status_code": "0xc000006a", "is_remote": True},
            {"EventID": 4625, "Channel": "Security", "LogonType": "3", "ProcessName": "-"},
            time="2026-03-04T10:00:00.500Z",
            host="dc-01.example.com",
        ),
        Sample(
            f"<13>Mar  4 10:00:00 dc-01 winevent: {_XML}", ocsf.AUTHENTICATION, {"user.name": "eve"},
            host="dc-01.example.com",
        ),
        Sample(
            '{"@timestamp":"2026-03-04T10:00:00.5Z","message":"An account was logged on","host":{"name":"ws-02"},"winlog":'
            '{"channel":"Security","event_id":"4624","provider_name":"Microsoft-Windows-Security-Auditing","record_id":5,'
            '"event_data":{"TargetUserName":"ana","LogonType":"10","IpAddress":"192.0.2.8","TargetLogonId":"0x3e8"}}}',
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 1, "user.name": "ana", "logon_type_id": 10, "session.uid": "0x3e8"},
            {"EventID": 4624, "LogonType": "10", "Message": "An account was logged on"},
            time="2026-03-04T10:00:00.500Z",
            host="ws-02",
        ),
        Sample(
            '{"EventTime":"2026-03-04 11:00:00","UtcTime":"2026-03-04 10:00:00.250","Hostname":"ws-03","Channel":'
            '"Microsoft-Windows-Sysmon/Operational","SourceName":"Microsoft-Windows-Sysmon","EventID":13,"EventType":'
            '"SetValue","TargetObject":"HKLM\\\\Software\\\\A","Details":"x"}',
            ocsf.BASE,
            {"unmapped.TargetObject": "HKLM\\Software\\A"},
            {"TargetObject": "HKLM\\Software\\A", "EventType": "SetValue"},
            time="2026-03-04T10:00:00.250Z",
            host="ws-03",
        ),
        Sample(
            '{"data":{"win":{"system":{"providerName":"Microsoft-Windows-Security-Auditing","eventID":"4720","channel":'
            '"Security","computer":"dc-01.example.com","systemTime":"2026-03-04T10:00:00Z"},"eventdata":'
            '{"targetUserName":"eve","subjectUserName":"ana"}}},"agent":{"id":"001"}}',
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 1, "user.name": "eve", "actor.user.name": "ana"},
            {"EventID": 4720, "TargetUserName": "eve"},
            host="dc-01.example.com",
        ),
        Sample(
            _security(4732, TargetUserName="Administrators", TargetSid="S-1-5-32-544", MemberSid="S-1-5-21-1-2-3-1105",
                      MemberName="CN=eve,CN=Users,DC=example,DC=com", **_SUBJECT),
            ocsf.GROUP_MANAGEMENT,
            {"activity_id": 3, "group.name": "Administrators", "user.name": "eve", "actor.user.name": "ana"},
        ),
        Sample(_security(4672, PrivilegeList="SeDebugPrivilege\n\t\tSeBackupPrivilege", **_SUBJECT), 3003,
               {"privileges": ["SeDebugPrivilege", "SeBackupPrivilege"], "user.name": "ana"}),
        Sample(_security(4771, TargetUserName="eve", Status="0x18", IpAddress="::ffff:192.0.2.9"), ocsf.AUTHENTICATION,
               {"status_id": 2, "status_code": "0x18", "src_endpoint.ip": "192.0.2.9", "auth_protocol_id": 2}),
        Sample(_security(4740, TargetUserName="eve", **_SUBJECT), ocsf.ACCOUNT_CHANGE, {"activity_id": 9}),
        Sample(
            _security(4698, TaskName="\\Tidy", TaskContent="<Task><Command>a.exe</Command><Arguments>-x</Arguments></Task>",
                      **_SUBJECT),
            ocsf.SCHEDULED_JOB_ACTIVITY, {"activity_id": 1, "job.name": "\\Tidy", "job.cmd_line": "a.exe -x"},
        ),
        Sample(
            _evtx("Security", "Microsoft-Windows-Eventlog", 1102, _SUBJECT, "LogFileCleared"),
            ocsf.EVENT_LOG_ACTIVITY, {"activity_id": 1, "log_name": "Security", "actor.user.name": "ana"},
            {"SubjectUserName": "ana"},
        ),
        Sample(
            _evtx("System", "Microsoft-Windows-Eventlog", 104, {"Channel": "Application", **_SUBJECT}, "LogFileCleared"),
            ocsf.EVENT_LOG_ACTIVITY, {"log_name": "Application"}, {"Channel": "Application", "EventID": 104},
        ),
        Sample(
            _evtx("System", "Service Control Manager", 7045, {"ServiceName": "svc", "ImagePath": "C:\\a.exe"}),
            ocsf.APPLICATION_LIFECYCLE, {"activity_id": 1, "app.name": "svc"},
        ),
        Sample(
            _evtx("Windows PowerShell", "PowerShell", 400, {"Data": {"#text": ["Available", "HostName=ConsoleHost"]}}),
            ocsf.BASE, native={"Data": ["Available", "HostName=ConsoleHost"]},
        ),
        Sample(
            _security(4657, ObjectName="\\REGISTRY\\MACHINE\\SOFTWARE\\A", ObjectValueName="B", OperationType="%%1905",
                      NewValue="1", ProcessName="C:\\r.exe", **_SUBJECT),
            ocsf.BASE, native={"TargetObject": "HKLM\\SOFTWARE\\A\\B", "Details": "1", "EventType": "SetValue"},
        ),
        Sample(
            _sysmon(3, Image="C:\\a.exe", Initiated=True, SourceIp="192.0.2.1", DestinationIp="2001:db8::1",
                    DestinationPort="443", Protocol="tcp"),
            4001, {"dst_endpoint.ip": "2001:db8::1", "dst_endpoint.port": 443, "connection_info.direction_id": 2},
        ),
        Sample(
            _evtx("RPCFW", "RPCFWP", 3, {"Data": {"#text": [
                "NdrServerCall2", "700", "C:\\Windows\\lsass.exe", "ncacn_ip_tcp", "49664", "192.0.2.7",
                "e3514235-4b06-11d1-ab04-00c04fc2dcd2", "3", "EXAMPLE\\ana", "RPC_C_AUTHN_LEVEL_PKT_PRIVACY", "9",
            ]}}),
            ocsf.BASE,
            native={"EventLog": "RPCFW", "EventID": 3, "InterfaceUuid": "e3514235-4b06-11d1-ab04-00c04fc2dcd2", "OpNum": "3",
                    "ClientNetworkAddress": "192.0.2.7"},
        ),
        Sample(_sysmon(22, QueryName="a.example", Image="C:\\a.exe"), 4003, {"query.hostname": "a.example"}),
        Sample(_sysmon(11, TargetFilename="C:\\t\\a.txt", Image="C:\\a.exe"), ocsf.FILE_ACTIVITY,
               {"activity_id": 1, "file.name": "a.txt", "actor.process.name": "a.exe"}),
        Sample('{"Event":"order placed","System":1}', None),
        Sample('{"Channel":3,"EventID":"x"}', None),
        Sample('{"data":{"id":1},"agent":"x"}', None),
        Sample('<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>', None),
        Sample("<html><Event></html>", None),
    ),
)  # fmt: skip
