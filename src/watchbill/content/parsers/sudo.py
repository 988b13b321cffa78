"""sudo: commands run as somebody else, refusals and wrong passwords."""

from __future__ import annotations

import re
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_HEAD = re.compile(r"\s*(?:\(command continued\)|(\S+) :) (.*)", re.DOTALL)
_WRONG = re.compile(r"(\d+) incorrect password attempts?")
_KNOWN = frozenset({"HOST", "TTY", "PWD", "CHROOT", "USER", "GROUP", "TSID", "ENV", "COMMAND", "CWD"})

_LAUNCHED = ocsf.template(ocsf.PROCESS_ACTIVITY, 1, "sudo", "sudo", ocsf.SUCCESS)
_REFUSED = ocsf.template(ocsf.PROCESS_ACTIVITY, 1, "sudo", "sudo", ocsf.FAILURE)
_FAILED = ocsf.template(
    ocsf.AUTHENTICATION, 1, "sudo", "sudo", ocsf.FAILURE, {"service.name": "sudo", "is_remote": False}
)


def parse(line: Line) -> Event | None:
    """Translate "who : [reason ;] TTY=… ; PWD=… ; USER=… ; COMMAND=…"; PAM's lines are left to the parser ``pam``."""
    match = _HEAD.match(line.text)
    if not match or match[1] is None:
        return None
    actor, rest = match.groups()
    reason, fields = _split(rest)
    if not fields:
        return None
    native = {"program": line.app, "pid": line.pid, "host": line.host, "actor": actor, **fields}
    if reason:
        native["reason"] = reason
    target = fields.get("USER", "root")
    if wrong := _WRONG.match(reason):
        values = {
            **_FAILED,
            "user.name": target,
            "actor.user.name": actor,
            "status_detail": reason,
            "count": int(wrong[1]),
        }
        native["attempt"] = "sudo"
        return Event(ocsf.AUTHENTICATION, values, native, line.text)
    values = {**(_REFUSED if reason else _LAUNCHED), "actor.user.name": actor, "process.user.name": target}
    if reason:
        values["status_detail"] = reason
    values |= _process(fields.get("COMMAND", ""), line.pid)
    return Event(ocsf.PROCESS_ACTIVITY, values, native, line.text)


def _split(rest: str) -> tuple[str, dict[str, str]]:
    """The command is the last field and may hold anything, " ; USER=" too: nothing after COMMAND= is cut."""
    head, mark, command = rest.partition("COMMAND=")
    fields: dict[str, str] = {}
    reasons = []
    for part in head.split(" ; "):
        name, sign, value = part.strip().rstrip(";").strip().partition("=")
        if sign and name in _KNOWN:
            fields[name] = value
        elif name and not sign:
            reasons.append(name)
    if mark:
        fields["COMMAND"] = command
    return "; ".join(reasons), fields


def _process(command: str, pid: str) -> dict[str, Any]:
    path = command.partition(" ")[0]
    name = path.rpartition("/")[2] or path or "sudo"
    values: dict[str, Any] = {"process.cmd_line": command, "process.name": name}
    if pid.isdigit() and len(pid) < 10:
        values["actor.process.pid"], values["actor.process.name"] = int(pid), "sudo"
    if path.startswith("/"):
        values |= {"process.file.path": path, "process.file.name": name, "process.file.type_id": 1}
    return values


_LINE = "Mar  4 10:00:00 db-01 sudo[88]: "

PARSER = Parser(
    id="sudo",
    title="sudo",
    logsource=LogSource("linux", "sudo"),
    parse=parse,
    apps=("sudo",),
    rank=10,
    samples=(
        Sample(
            _LINE + "     ana : TTY=pts/0 ; PWD=/home/ana ; USER=root ; COMMAND=/usr/bin/systemctl stop rsyslog",
            ocsf.PROCESS_ACTIVITY,
            {
                "activity_id": 1, "status_id": 1, "actor.user.name": "ana", "process.user.name": "root",
                "process.name": "systemctl", "process.file.path": "/usr/bin/systemctl",
                "process.cmd_line": "/usr/bin/systemctl stop rsyslog",
            },
            {"USER": "root", "COMMAND": "/usr/bin/systemctl stop rsyslog", "PWD": "/home/ana"},
        ),
        Sample(
            _LINE + "ana : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
            ocsf.AUTHENTICATION,
            {"status_id": 2, "count": 3, "user.name": "root", "actor.user.name": "ana", "service.name": "sudo"},
        ),
        Sample(
            _LINE + "eve : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/cat /etc/shadow",
            ocsf.PROCESS_ACTIVITY,
            {"status_id": 2, "actor.user.name": "eve", "status_detail": "user NOT in sudoers"},
        ),
        # The command is the user's own text and must not change who did what.
        Sample(
            _LINE + "eve : TTY=pts/1 ; PWD=/ ; USER=www ; COMMAND=/bin/echo x ; USER=root ; COMMAND=/bin/ls",
            ocsf.PROCESS_ACTIVITY,
            {"process.user.name": "www", "process.name": "echo"},
        ),
        Sample(_LINE + "pam_unix(sudo:session): session opened for user root by ana(uid=1000)", None),
    ),
)  # fmt: skip
