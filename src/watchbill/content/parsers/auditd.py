"""The Linux audit trail (/var/log/audit/audit.log, or the same lines through syslog), one record a line.

Records of one kernel event share their id, kept as ``audit_id``. Untrusted values are hex in the log (the kernel
writes them so when they hold spaces, quotes or control characters) and are decoded here.
Source: https://github.com/linux-audit/audit-documentation/wiki
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from watchbill.content.loggers import LOGGERS
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

SOURCE = LogSource("linux", "auditd")
_HEAD = re.compile(r"(?:node=(\S+) )?type=(\S+) msg=audit\((\d{1,12})\.(\d{1,9}):(\d+)\): ?(.*)", re.DOTALL)
_FIELD = re.compile(r"""(?<![^\s('{,:])([\w-]+(?:\[\d+\])?)=("[^"]*"|'[^']*'|[^\s,)'}]*)""")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+$")
_ENCODED = frozenset(
    {"proctitle", "comm", "exe", "name", "cwd", "key", "acct", "cmd", "data", "path", "dir", "vm", "new-comm"}
)
_UNSET = frozenset({"?", "(null)", "(none)", "4294967295", ""})
_LAUNCHES = frozenset(
    {("c000003e", "59"), ("c000003e", "322"), ("40000003", "11"), ("c00000b7", "221"), ("40000028", "11")}
)
_WITH_SOURCE = frozenset({ocsf.ACCOUNT_CHANGE, ocsf.GROUP_MANAGEMENT, ocsf.EVENT_LOG_ACTIVITY})
_MOST_ARGUMENTS = 256


def _values(class_uid: int, activity: int, status: int = ocsf.UNKNOWN, **extra: Any) -> dict[str, Any]:
    fixed = {name.replace("__", "."): value for name, value in extra.items()}
    return ocsf.template(class_uid, activity, "auditd", "Linux", status, fixed)


def parse(line: Line) -> Event | None:
    """Translate one record of the audit trail."""
    match = _HEAD.match(line.text)
    if not match:
        return None
    node, kind, seconds, fraction, serial, rest = match.groups()
    # The enriched format puts names for the numbers behind a group separator.
    plain, _, enriched = rest.partition(r"\x1d")
    native: dict[str, Any] = {"type": kind, "audit_id": f"{seconds}.{fraction}:{serial}"}
    message = _fields(native, kind, plain)
    _fields(native, kind, enriched)
    if message:
        native["msg"] = message
    form = _FORMS.get(kind)
    values = form(native) if form else _other(native, plain)
    _who(values, native)
    time = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))
    return Event(values["class_uid"], values, native, line.text, time, host=node or "")


def _who(values: dict[str, Any], native: dict[str, Any]) -> None:
    """Who did it, by the sign-in that it goes back to (auid), else by the process's user; and through what."""
    login = _known(native, "auid")
    if "actor.user.uid" not in values and (uid := login or _known(native, "uid")):
        values["actor.user.uid"] = uid
    name = native.get("AUID" if login else "UID", "unset")
    if name != "unset":
        values.setdefault("actor.user.name", name)
    if values["class_uid"] == ocsf.PROCESS_ACTIVITY:
        return
    program = _known(native, "comm") or _known(native, "exe").rpartition("/")[2]
    if program:
        values["actor.process.name"] = program
        if native.get("pid", "").isdigit() and len(native["pid"]) < 10:
            values["actor.process.pid"] = int(native["pid"])
    peer = _known(native, "addr")
    if peer and values["class_uid"] in _WITH_SOURCE and ocsf.canonical_ip(peer):
        values["src_endpoint.ip"] = ocsf.canonical_ip(peer)


def _fields(native: dict[str, Any], kind: str, text: str) -> str:
    """Read key=value pairs into ``native``; those in a user space message (msg='…') too, which is returned."""
    message = ""
    at = text.find("msg='")
    if at >= 0:
        message = text[at + 5 :].rstrip().removesuffix("'")
        text = text[:at]
    for part in (text, message):
        for name, value in _FIELD.findall(part):
            if name not in native:
                native[name] = _value(name, value, kind)
    return message


def _value(name: str, value: str, kind: str) -> str:
    if value[:1] in {'"', "'"}:
        return value[1:-1]
    argument = kind == "EXECVE" and name[:1] == "a" and name[1:2].isdigit()
    if (argument or name in _ENCODED) and len(value) > 1 and _HEX.match(value):
        decoded = bytes.fromhex(value).rstrip(b"\0").replace(b"\0", b" ")
        text = decoded.decode("utf-8", "backslashreplace")
        return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return value


def _status(native: dict[str, Any]) -> int:
    said = native.get("res") or native.get("result") or native.get("success") or ""
    if said in {"success", "1", "yes"}:
        return ocsf.SUCCESS
    return ocsf.FAILURE if said in {"failed", "0", "no", "fail"} else ocsf.UNKNOWN


def _known(native: dict[str, Any], name: str) -> str:
    value = native.get(name, "")
    return "" if value in _UNSET else value


def _process(native: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    exe = _known(native, "exe")
    name = exe.rpartition("/")[2] or _known(native, "comm")
    if name:
        values["process.name"] = name
    if exe.startswith("/"):
        values |= {"process.file.path": exe, "process.file.name": name, "process.file.type_id": 1}
    for key, path in (("pid", "process.pid"), ("ppid", "process.parent_process.pid")):
        if native.get(key, "").isdigit() and len(native[key]) < 10:
            values[path] = int(native[key])
    if uid := _known(native, "uid"):
        values["process.user.uid"] = uid
        if native.get("UID"):
            values["process.user.name"] = native["UID"]
    return values


def _syscall(native: dict[str, Any]) -> dict[str, Any]:
    launch = (native.get("arch"), native.get("syscall")) in _LAUNCHES or native.get("SYSCALL") in {"execve", "execveat"}
    values = _values(ocsf.PROCESS_ACTIVITY, 1 if launch else ocsf.OTHER, _status(native))
    values["severity_id"] = 1  # a system call fails all day long
    if not launch:
        values["activity_name"] = "System Call"
    values |= _process(native)
    values["actor.user.uid"] = _known(native, "auid") or _known(native, "uid") or "unset"
    return values


def _execve(native: dict[str, Any]) -> dict[str, Any]:
    count = min(int(native["argc"]), _MOST_ARGUMENTS) if native.get("argc", "").isdigit() else _MOST_ARGUMENTS
    arguments = []
    for number in range(count):
        argument = native.get(f"a{number}")
        if argument is None:
            break
        arguments.append(argument)
    command = native["cmdline"] = " ".join(arguments)
    values = _values(ocsf.PROCESS_ACTIVITY, 1, actor__process__name="auditd")
    first = arguments[0] if arguments else ""
    values |= {"process.cmd_line": command, "process.name": first.rpartition("/")[2] or first or "unknown"}
    return values


def _proctitle(native: dict[str, Any]) -> dict[str, Any]:
    title = native.get("proctitle", "")
    values = _values(ocsf.PROCESS_ACTIVITY, ocsf.OTHER, activity_name="Process Title", actor__process__name="auditd")
    return {
        **values,
        "process.cmd_line": title,
        "process.name": title.partition(" ")[0].rpartition("/")[2] or "unknown",
    }


def _path(native: dict[str, Any]) -> dict[str, Any]:
    activity = {"CREATE": 1, "DELETE": 4, "NORMAL": 14}.get(native.get("nametype") or native.get("objtype", ""), 0)
    path = _known(native, "name") or "unknown"
    name = path.rstrip("/").rpartition("/")[2] or path
    values = _values(ocsf.FILE_ACTIVITY, activity, file__path=path, file__name=name, actor__process__name="auditd")
    values["file.type_id"] = 2 if native.get("mode", "").startswith("04") else 1
    return values


def _account(activity: int, name: str = "") -> Callable[[dict[str, Any]], dict[str, Any]]:
    def form(native: dict[str, Any]) -> dict[str, Any]:
        values = _values(ocsf.ACCOUNT_CHANGE, activity, _status(native))
        if name:
            values["activity_name"] = name
        return {**values, **_user(native)}

    return form


def _user(native: dict[str, Any]) -> dict[str, Any]:
    name, uid = _known(native, "acct"), _known(native, "id")
    values = {"user.name": name} if name else {}
    if uid or not name:
        values["user.uid"] = uid or _known(native, "uid") or "unknown"
    if native.get("ID"):
        values.setdefault("user.name", native["ID"])
    return values


def _group(activity: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def form(native: dict[str, Any]) -> dict[str, Any]:
        values = _values(ocsf.GROUP_MANAGEMENT, activity, _status(native))
        group = _known(native, "grp") or _known(native, "acct")
        values["group.name" if group else "group.uid"] = group or _known(native, "id") or "unknown"
        return values

    return form


def _group_change(native: dict[str, Any]) -> dict[str, Any]:
    """GRP_MGMT, and what USER_MGMT says of groups: "op=add-user-to-group grp=…"."""
    operation = native.get("op", "")
    if "grp" not in native and "group" not in operation:
        return _account(ocsf.OTHER, "Update")(native)
    activity = 3 if operation.startswith("add-user") else 4 if operation.startswith("delete-user") else ocsf.OTHER
    activity = 6 if operation.startswith("add-group") else 5 if operation.startswith("delete-group") else activity
    values = {**_group(activity)(native), **_user(native)}
    if activity == ocsf.OTHER:
        values["activity_name"] = operation or "Update"
    return values


def _sign_in(kind: str, activity: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def form(native: dict[str, Any]) -> dict[str, Any]:
        status = _status(native)
        values = _values(ocsf.AUTHENTICATION, activity, status)
        if activity == ocsf.OTHER:
            values["activity_name"] = kind
        service = _known(native, "exe").rpartition("/")[2] or "pam"
        values |= {**_user(native), "service.name": service}
        peer = _known(native, "addr") or _known(native, "hostname")
        values["is_remote"] = bool(peer) and peer not in {"127.0.0.1", "::1"}
        if peer:
            where, address = ocsf.source(peer)
            values[where] = address
        if status == ocsf.FAILURE and activity == 1:
            native["attempt"] = kind
        return values

    return form


def _command(native: dict[str, Any]) -> dict[str, Any]:
    command = native.get("cmd", "")
    path = command.partition(" ")[0]
    values = _values(ocsf.PROCESS_ACTIVITY, 1, _status(native))
    values |= {"process.cmd_line": command, "process.name": path.rpartition("/")[2] or "unknown"}
    if path.startswith("/"):
        values |= {"process.file.path": path, "process.file.name": path.rpartition("/")[2], "process.file.type_id": 1}
    values["actor.user.uid"] = _known(native, "auid") or _known(native, "uid") or "unset"
    return values


def _log(activity: int, name: str = "") -> Callable[[dict[str, Any]], dict[str, Any]]:
    def form(native: dict[str, Any]) -> dict[str, Any]:
        values = _values(ocsf.EVENT_LOG_ACTIVITY, activity, _status(native), log_name="auditd", log_provider="auditd")
        if name:
            values["activity_name"] = name
        return values

    return form


def _configuration(native: dict[str, Any]) -> dict[str, Any]:
    enabled, operation = native.get("audit_enabled"), native.get("op", "")
    activity = 10 if enabled == "0" else 9 if enabled and native.get("old") == "0" else ocsf.OTHER
    values = _log(activity)(native)
    if activity == ocsf.OTHER:
        values["activity_name"] = operation or "Configure"
    return {**values, "status_detail": operation or f"audit_enabled={enabled}"}


def _service(activity: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def form(native: dict[str, Any]) -> dict[str, Any]:
        unit = _known(native, "unit") or "unknown"
        if logger := LOGGERS.get(unit):
            values = _values(ocsf.EVENT_LOG_ACTIVITY, 6 if activity == 3 else 7, _status(native))
            return {**values, "log_name": logger, "log_provider": logger}
        return {**_values(ocsf.APPLICATION_LIFECYCLE, activity, _status(native)), "app.name": unit}

    return form


def _system(activity: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def form(native: dict[str, Any]) -> dict[str, Any]:
        return {**_values(ocsf.APPLICATION_LIFECYCLE, activity, _status(native)), "app.name": "system"}

    return form


def _other(native: dict[str, Any], text: str) -> dict[str, Any]:
    severity = 4 if native["type"].startswith(("ANOM_", "INTEGRITY_")) else 1
    return {**_values(ocsf.BASE, ocsf.UNKNOWN, _status(native), message=text), "severity_id": severity}


_FORMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "SYSCALL": _syscall,
    "EXECVE": _execve,
    "PROCTITLE": _proctitle,
    "PATH": _path,
    "USER_AUTH": _sign_in("USER_AUTH", 1),
    "USER_LOGIN": _sign_in("USER_LOGIN", 1),
    "USER_ERR": _sign_in("USER_ERR", ocsf.OTHER),
    "USER_ACCT": _sign_in("USER_ACCT", ocsf.OTHER),
    "USER_START": _sign_in("USER_START", ocsf.OTHER),
    "USER_END": _sign_in("USER_END", 2),
    "USER_LOGOUT": _sign_in("USER_LOGOUT", 2),
    "CRED_ACQ": _sign_in("CRED_ACQ", ocsf.OTHER),
    "CRED_DISP": _sign_in("CRED_DISP", ocsf.OTHER),
    "CRED_REFR": _sign_in("CRED_REFR", ocsf.OTHER),
    "USER_CMD": _command,
    "ADD_USER": _account(1),
    "DEL_USER": _account(6),
    "ACCT_LOCK": _account(9),
    "ACCT_UNLOCK": _account(12),
    "USER_CHAUTHTOK": _account(3),
    "USER_MGMT": _group_change,
    "GRP_MGMT": _group_change,
    "ADD_GROUP": _group(6),
    "DEL_GROUP": _group(5),
    "CONFIG_CHANGE": _configuration,
    "DAEMON_START": _log(6),
    "DAEMON_RESUME": _log(6),
    "DAEMON_END": _log(7),
    "DAEMON_ABORT": _log(7),
    "DAEMON_ROTATE": _log(5),
    "DAEMON_CONFIG": _log(ocsf.OTHER, "Configure"),
    "SERVICE_START": _service(3),
    "SERVICE_STOP": _service(4),
    "SYSTEM_BOOT": _system(3),
    "SYSTEM_SHUTDOWN": _system(4),
}

_ID = "msg=audit(1772618400.123:77): "
_BY = "pid=900 uid=0 auid=1000 ses=3 "

PARSER = Parser(
    id="auditd",
    title="Linux audit trail",
    logsource=SOURCE,
    parse=parse,
    apps=("audispd", "audisp-syslog", "audisp"),
    prefixes=("type=", "node="),
    rank=30,
    samples=(
        Sample(
            "type=EXECVE " + _ID + 'argc=3 a0="/usr/bin/cat" a1=2F7461622061 a2="x"',
            ocsf.PROCESS_ACTIVITY,
            {"activity_id": 1, "process.cmd_line": "/usr/bin/cat /tab a x", "process.name": "cat"},
            {"type": "EXECVE", "a0": "/usr/bin/cat", "a1": "/tab a", "audit_id": "1772618400.123:77"},
            time="2026-03-04T10:00:00.123Z",
        ),
        Sample(
            "node=db-01 type=SYSCALL " + _ID + 'arch=c000003e syscall=59 success=yes exit=0 a0=55 items=2 ppid=1 pid=900 auid=1000 uid=0 comm="rm" exe="/usr/bin/rm" key="cleaning"',
            ocsf.PROCESS_ACTIVITY,
            {"activity_id": 1, "status_id": 1, "process.file.path": "/usr/bin/rm", "process.pid": 900, "actor.user.uid": "1000"},
            {"exe": "/usr/bin/rm", "key": "cleaning", "a0": "55"},
            host="db-01",
        ),
        Sample(
            "type=PATH " + _ID + 'item=1 name="/etc/shadow" inode=7 mode=0100640 nametype=NORMAL',
            ocsf.FILE_ACTIVITY,
            {"file.path": "/etc/shadow", "file.name": "shadow"},
            {"name": "/etc/shadow", "nametype": "NORMAL"},
        ),
        Sample(
            "type=USER_LOGIN " + _ID + _BY + 'msg=\'op=login acct=28696E76616C6964207573657229 exe="/usr/sbin/sshd" hostname=? addr=192.0.2.7 terminal=sshd res=failed\'',
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "(invalid user)", "src_endpoint.ip": "192.0.2.7", "service.name": "sshd"},
            {"acct": "(invalid user)", "res": "failed", "attempt": "USER_LOGIN"},
        ),
        Sample(
            "type=USER_CMD " + _ID + _BY + "msg='cwd=\"/\" cmd=636174202F6574632F736861646F77 terminal=pts/0 res=success'",
            ocsf.PROCESS_ACTIVITY,
            {"process.cmd_line": "cat /etc/shadow", "status_id": 1},
            {"cmd": "cat /etc/shadow"},
        ),
        Sample(
            "type=ADD_USER " + _ID + _BY + 'msg=\'op=adding user id=1005 exe="/usr/sbin/useradd" hostname=db-01 addr=? terminal=pts/0 res=success\'',
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 1, "user.uid": "1005", "actor.user.uid": "1000"},
        ),
        Sample(
            "type=DAEMON_END " + _ID + "op=terminate auid=0 pid=1 subj=system res=success",
            ocsf.EVENT_LOG_ACTIVITY,
            {"activity_id": 7, "log_name": "auditd", "status_id": 1},
        ),
        Sample(
            "type=CONFIG_CHANGE " + _ID + "op=set audit_enabled=0 old=1 auid=1000 ses=3 res=1",
            ocsf.EVENT_LOG_ACTIVITY,
            {"activity_id": 10, "log_name": "auditd"},
            {"audit_enabled": "0"},
        ),
        Sample(
            "type=SERVICE_STOP " + _ID + "pid=1 uid=0 auid=4294967295 ses=4294967295 msg='unit=rsyslog comm=\"systemd\" exe=\"/usr/lib/systemd/systemd\" hostname=? addr=? terminal=? res=success'",
            ocsf.EVENT_LOG_ACTIVITY,
            {"activity_id": 7, "log_name": "rsyslog"},
            {"unit": "rsyslog"},
        ),
        Sample("type=anything else", None),
    ),
)  # fmt: skip
