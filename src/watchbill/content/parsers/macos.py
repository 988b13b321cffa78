"""macOS's unified log, as ``log stream --style ndjson`` and ``log show --style json`` write it.

Fields: https://developer.apple.com/documentation/os/viewing-log-messages and log(1). What sshd, sudo, su and PAM say
there is what they say elsewhere, and is read by their own parsers.
"""

from __future__ import annotations

from typing import Any

from watchbill.content.audit_logs import moment
from watchbill.content.parsers import pam, sshd, su, sudo
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_BASE = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "Unified Log", "Apple")
#: Apple's message types as OCSF severities.
_SEVERITIES = {"Fault": 5, "Error": 3}
#: Whose messages have parsers, by the name of the program.
_READERS = {
    "sshd": (sshd.parse, pam.parse), "sshd-session": (sshd.parse, pam.parse), "sudo": (sudo.parse, pam.parse),
    "su": (su.parse, pam.parse), "login": (pam.parse,),
}  # fmt: skip


def parse(line: Line) -> Event | None:
    """Translate one entry. The host is what the transport says: the record does not name it."""
    data = line.data
    message = data.get("eventMessage") if data else None
    image = data.get("processImagePath") if data else None
    if not data or not isinstance(message, str) or not isinstance(image, str):
        return None
    program = image.rpartition("/")[2]
    native: dict[str, Any] = flat.flatten(data) | {"Image": image, "ProcessName": program}
    event = _read(line, data, program, message)
    if event is None:
        values: dict[str, Any] = {**_BASE, "message": message[:2_048]}
        values["severity_id"] = _SEVERITIES.get(str(data.get("messageType")), 1)
        for name, path in (("subsystem", "metadata.log_provider"), ("category", "metadata.log_name")):
            if isinstance(said := data.get(name), str) and said:
                values[path] = said
        event = Event(ocsf.BASE, values, {}, message)
    event.native = {**event.native, **native}
    event.time = moment(_spelled(data.get("timestamp")))
    event.logsource = LogSource("macos", program.lower() if program in _READERS else "")
    return event


def _read(line: Line, data: dict[str, Any], program: str, message: str) -> Event | None:
    """What the program's own parser makes of its message."""
    if program not in _READERS:
        return None
    pid = data.get("processID")
    said = Line(message, line.received, host=line.host, app=program, pid=str(pid) if isinstance(pid, int) else "")
    return next((event for read in _READERS[program] if (event := read(said)) is not None), None)


def _spelled(time: Any) -> Any:
    """A time that ends with "+0100" with a colon in that, as RFC 3339 has it."""
    if isinstance(time, str) and len(time) > 5 and time[-5] in "+-" and time[-4:].isdigit():
        return f"{time[:-2]}:{time[-2:]}"
    return time


def _entry(image: str, message: str, rest: str = "") -> str:
    return (
        f'{{"timestamp":"2026-03-04 11:00:00.250000+0100","eventMessage":"{message}","eventType":"logEvent","messageType":"Default",'
        f'"subsystem":"com.example.app","category":"main","processImagePath":"{image}","processID":77,"userID":501,"traceID":5,'
        f'"machTimestamp":9,"threadID":3{rest}}}'
    )


PARSER = Parser(
    id="macos",
    title="macOS unified log",
    logsource=LogSource("macos"),
    parse=parse,
    keys=(frozenset({"eventMessage", "processImagePath"}),),
    rank=20,
    samples=(
        Sample(
            _entry("/usr/libexec/example", "it went wrong"),
            ocsf.BASE,
            {"message": "it went wrong", "metadata.log_provider": "com.example.app"},
            {"Image": "/usr/libexec/example", "processID": 77},
            time="2026-03-04T10:00:00.250Z",
        ),
        Sample(
            _entry("/usr/sbin/sshd", "Failed password for root from 192.0.2.7 port 4242 ssh2"),
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "root", "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            _entry("/usr/bin/sudo", "     ana : TTY=ttys000 ; PWD=/Users/ana ; USER=root ; COMMAND=/bin/ls"),
            ocsf.PROCESS_ACTIVITY,
            {"process.cmd_line": "/bin/ls"},
        ),
        Sample('{"eventMessage":7,"processImagePath":"/x"}', None),
    ),
)  # fmt: skip
