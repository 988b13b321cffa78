"""Sysmon for Linux: event XML through syslog, and the JSON that agents make of it.

https://github.com/microsoft/SysmonForLinux
"""

from __future__ import annotations

from watchbill.content.windows.records import read
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf


def parse(line: Line) -> Event | None:
    """Translate one event of Sysmon for Linux."""
    event = read(line)
    return event if event is not None and event.logsource.product == "linux" else None


_EVENT = (
    '<Event><System><Provider Name="Linux-Sysmon" Guid="{ff032593-a8d3-4f13-b0d6-01fc615a0f97}"/><EventID>1</EventID>'
    '<TimeCreated SystemTime="2026-03-04T10:00:00.250000000Z"/><EventRecordID>5</EventRecordID><Correlation/>'
    '<Channel>Linux-Sysmon/Operational</Channel><Computer>app-01</Computer><Security UserId="0"/></System><EventData>'
    '<Data Name="Image">/usr/bin/curl</Data><Data Name="CommandLine">curl http://192.0.2.1/x &amp;</Data>'
    '<Data Name="ProcessId">77</Data><Data Name="User">root</Data><Data Name="ParentImage">/bin/sh</Data></EventData>'
    "</Event>"
)

PARSER = Parser(
    id="sysmon_linux",
    title="Sysmon for Linux",
    logsource=LogSource("linux", "sysmon"),
    parse=parse,
    apps=("sysmon",),
    keys=(frozenset({"Event"}), frozenset({"winlog"}), frozenset({"Channel", "EventID"}), frozenset({"SyslogMessage"})),
    prefixes=('<Event><System><Provider Name="Linux-Sysmon"',),
    rank=21,
    samples=(
        Sample(
            f"<14>Mar  4 10:00:00 app-01 sysmon: {_EVENT}",
            ocsf.PROCESS_ACTIVITY,
            {"process.name": "curl", "process.cmd_line": "curl http://192.0.2.1/x &", "process.pid": 77,
             "process.parent_process.name": "sh", "actor.user.name": "root"},
            {"Image": "/usr/bin/curl", "EventID": 1, "Provider_Name": "Linux-Sysmon"},
            time="2026-03-04T10:00:00.250Z",
            host="app-01",
        ),
        Sample(_EVENT, ocsf.PROCESS_ACTIVITY, native={"CommandLine": "curl http://192.0.2.1/x &"}),
        Sample("<14>Mar  4 10:00:00 app-01 sysmon: Sysmon started", None),
    ),
)  # fmt: skip
