"""macOS Endpoint Security events, as Apple's ``eslogger`` writes them: one JSON object a line.

Its manual calls the format no API; it is modelled after es_message_t, whose members are described at
https://developer.apple.com/documentation/endpointsecurity/es_message_t . Fields get the names that Sigma's taxonomy
gives to process creations and file events; everything else stays under Apple's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from watchbill.content.audit_logs import moment
from watchbill.content.windows import ocsf as endpoint
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_PRODUCT = {"metadata.product.name": "Endpoint Security", "metadata.product.vendor_name": "Apple"}
Part = Mapping[str, Any]
Made = tuple[dict[str, Any], LogSource]
Make = Callable[[Part, dict[str, Any]], Made]
_UNSAID: Part = {}
_LONGEST = 32_768


def parse(line: Line) -> Event | None:
    """Translate one message. The host is what the transport says: the record does not name it."""
    data = line.data
    happened, process = (_part(data, "event"), _part(data, "process")) if data else (_UNSAID, _UNSAID)
    kind = next(iter(happened), "")
    if not data or len(happened) != 1 or not process or "schema_version" not in data:
        return None
    about = _part(happened, kind)
    native: dict[str, Any] = {
        "event": kind,
        "Image": _path(process, "executable"),
        "ProcessId": _part(process, "audit_token").get("pid"),
        "User": _user(process),
        "SigningId": process.get("signing_id"),
        "TeamId": process.get("team_id"),
    }
    values, source = _MADE.get(kind, _of_another)(about, native)
    native = {name: value for name, value in native.items() if value is not None and value != ""}
    values |= _PRODUCT | {"metadata.event_code": kind}
    if isinstance(number := data.get("global_seq_num"), int):
        values["metadata.sequence"] = number
    return Event(values["class_uid"], values, native, line.text, moment(data.get("time")), source)


def _part(of: Part | None, name: str) -> Part:
    value = of.get(name) if of else None
    return value if isinstance(value, dict) else _UNSAID


def _path(of: Part, name: str) -> str:
    path = _part(of, name).get("path")
    return path if isinstance(path, str) else ""


def _user(process: Part) -> str | None:
    """The number of the effective user: names are not said."""
    number = _part(process, "audit_token").get("euid")
    return str(number) if isinstance(number, int) else None


def _executed(about: Part, native: dict[str, Any]) -> Made:
    """What ran before is the parent of what runs now: the same one after a fork."""
    target = _part(about, "target")
    arguments = about.get("args")
    words = [one for one in arguments if isinstance(one, str)] if isinstance(arguments, list) else []
    native |= {
        "ParentImage": native["Image"],
        "ParentProcessId": target.get("ppid"),
        "Image": _path(target, "executable"),
        "CommandLine": " ".join(words)[:_LONGEST],
        "CurrentDirectory": _path(about, "cwd"),
        "ProcessId": _part(target, "audit_token").get("pid"),
        "User": _user(target) or native["User"],
        "SigningId": target.get("signing_id"),
        "TeamId": target.get("team_id"),
        "ScriptPath": _path(about, "script"),
    }
    return _like_sysmon("process_creation", native)


def _ended(about: Part, native: dict[str, Any]) -> Made:
    native["ExitCode"] = about.get("stat")
    return _like_sysmon("process_termination", native)


def _file(category: str, *places: str) -> Make:
    """An event about the file at the first of these places that names one."""

    def make(about: Part, native: dict[str, Any]) -> Made:
        native["TargetFilename"] = next((path for place in places if (path := _named(_part(about, place)))), "")
        if source := _path(about, "source"):
            native["SourceFilename"] = source
        return _like_sysmon(category, native)

    return make


def _named(part: Part) -> str:
    """The path of a file: a file itself, or a destination that says a folder and a name, or a file that was there."""
    if isinstance(path := part.get("path"), str):
        return path
    if there := _path(part, "existing_file"):
        return there
    new = _part(part, "new_path")
    folder, name = _path(new, "dir"), new.get("filename")
    return f"{folder.rstrip('/')}/{name}" if folder and isinstance(name, str) else folder


def _like_sysmon(category: str, native: dict[str, Any]) -> Made:
    source = LogSource("macos", "", category)
    return endpoint.event(source, 0, native), source


def _closed(about: Part, native: dict[str, Any]) -> Made:
    """A file that was written to is told when it is closed."""
    if about.get("modified") is not True:
        return _of_another(about, native)
    return _file("file_change", "target")(about, native)


def _signed_in(service: str) -> Make:
    def make(about: Part, native: dict[str, Any]) -> Made:
        native |= flat.flatten(dict(about))
        worked = about.get("success") is True
        values = ocsf.template(ocsf.AUTHENTICATION, 1, "", "", ocsf.SUCCESS if worked else ocsf.FAILURE)
        user = next(
            (one for name in ("username", "to_username") if isinstance(one := about.get(name), str) and one), "unknown"
        )
        values |= {"user.name": user, "service.name": service, "is_remote": service == "sshd"}
        if isinstance(actor := about.get("from_username"), str) and actor:
            values["actor.user.name"] = actor
        if isinstance(address := about.get("source_address"), str) and address:
            where, found = ocsf.source(address)
            values[where] = found
        return values, LogSource("macos", service)

    return make


def _of_another(about: Part, native: dict[str, Any]) -> Made:
    native |= {f"{native['event']}.{name}": value for name, value in flat.flatten(dict(about)).items()}
    source = LogSource("macos")
    values = endpoint.event(source, 0, native)
    values["message"] = f"{native['event']} by {native['Image'] or 'a process'}"
    return values, source


_MADE: dict[str, Make] = {
    "exec": _executed,
    "exit": _ended,
    "create": _file("file_event", "destination"),
    "rename": _file("file_rename", "destination"),
    "unlink": _file("file_delete", "target"),
    "write": _file("file_change", "target"),
    "close": _closed,
    "openssh_login": _signed_in("sshd"),
    "login_login": _signed_in("login"),
    "sudo": _signed_in("sudo"),
    "su": _signed_in("su"),
}
_PROCESS = (
    '{"audit_token":{"pid":77,"euid":501,"ruid":501},"ppid":70,"executable":{"path":"%s","path_truncated":false},'
    '"signing_id":"com.apple.example","team_id":null}'
)


def _message(event: str, image: str = "/bin/zsh") -> str:
    return (
        f'{{"schema_version":1,"mach_time":5,"event_type":9,"version":7,"seq_num":1,"global_seq_num":17,'
        f'"time":"2026-03-04T10:00:00.250000000Z","process":{_PROCESS % image},"action_type":1,"event":{event}}}'
    )


_EXEC = (
    f'{{"exec":{{"target":{_PROCESS % "/usr/bin/curl"},"args":["curl","-o","/tmp/x","http://192.0.2.1/x"],'
    '"cwd":{"path":"/Users/ana"},"script":null}}'
)
PARSER = Parser(
    id="eslogger",
    title="macOS Endpoint Security (eslogger)",
    logsource=LogSource("macos"),
    parse=parse,
    keys=(frozenset({"schema_version", "event", "process", "event_type"}),),
    rank=20,
    samples=(
        Sample(
            _message(_EXEC),
            ocsf.PROCESS_ACTIVITY,
            {"activity_id": 1, "process.name": "curl", "process.pid": 77, "process.cmd_line": "curl -o /tmp/x http://192.0.2.1/x",
             "process.parent_process.name": "zsh", "actor.user.name": "501", "metadata.product.vendor_name": "Apple"},
            {"Image": "/usr/bin/curl", "ParentImage": "/bin/zsh", "CommandLine": "curl -o /tmp/x http://192.0.2.1/x",
             "CurrentDirectory": "/Users/ana"},
            time="2026-03-04T10:00:00.250Z",
        ),
        Sample(
            _message('{"create":{"destination_type":1,"destination":{"new_path":{"dir":{"path":"/Library/LaunchDaemons"},"filename":"x.plist","mode":420}}}}'),
            ocsf.FILE_ACTIVITY,
            {"activity_id": 1, "file.name": "x.plist", "actor.process.name": "zsh"},
            {"TargetFilename": "/Library/LaunchDaemons/x.plist", "Image": "/bin/zsh"},
        ),
        Sample(
            _message('{"rename":{"source":{"path":"/Users/ana/a"},"destination_type":0,"destination":{"existing_file":{"path":"/Users/ana/b"}}}}'),
            ocsf.FILE_ACTIVITY, {"activity_id": 5}, {"SourceFilename": "/Users/ana/a", "TargetFilename": "/Users/ana/b"},
        ),
        Sample(
            _message('{"unlink":{"target":{"path":"/var/log/system.log"},"parent_dir":{"path":"/var/log"}}}', "/bin/rm"),
            ocsf.FILE_ACTIVITY, {"activity_id": 4, "file.path": "/var/log/system.log"},
        ),
        Sample(_message('{"close":{"modified":true,"target":{"path":"/etc/hosts"}}}'), ocsf.FILE_ACTIVITY, {"activity_id": 6}),
        Sample(_message('{"exit":{"stat":0}}'), ocsf.PROCESS_ACTIVITY, {"activity_id": 2}),
        Sample(
            _message('{"openssh_login":{"success":false,"result_type":5,"source_address_type":1,"source_address":"192.0.2.7","username":"root","has_uid":false}}'),
            ocsf.AUTHENTICATION, {"status_id": 2, "user.name": "root", "src_endpoint.ip": "192.0.2.7", "service.name": "sshd"},
        ),
        Sample(
            _message('{"sudo":{"success":true,"from_username":"ana","to_username":"root","command":"/bin/ls"}}'),
            ocsf.AUTHENTICATION, {"status_id": 1, "user.name": "root", "actor.user.name": "ana"}, {"command": "/bin/ls"},
        ),
        Sample(_message('{"mount":{"statfs":{"f_mntonname":"/Volumes/X"}}}'), ocsf.BASE, native={"mount.statfs.f_mntonname": "/Volumes/X"}),
        Sample('{"schema_version":1,"event":{"exec":3},"process":7,"event_type":9}', None),
        Sample('{"schema_version":1,"event":{},"process":{"a":1},"event_type":9}', None),
    ),
)  # fmt: skip
