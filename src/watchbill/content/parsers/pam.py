"""Linux-PAM's modules, whatever service they work for (login, su, sudo, vsftpd, dovecot, gdm …).

For sshd the module's "authentication failure" is no verdict of its own: another module may still accept, and sshd
says itself how it ended. For sudo and su it counts as one kind of line of the attempt.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

#: Names of users and hosts that long are an attack on the expressions below.
_LONGEST = 2_048
_SERVICES = {
    "sshd": LogSource("linux", "sshd"),
    "sudo": LogSource("linux", "sudo"),
    "su": LogSource("linux", "su"),
    "cron": LogSource("linux", "cron"),
    "crond": LogSource("linux", "cron"),
}
_AUTH = LogSource("linux", "auth")
_HEAD = re.compile(r"\(?(pam_\w+)\)?(?:\(([^:)]*)(?::(\w+))?\))?:? (.*)", re.DOTALL)
_MORE = re.compile(r"PAM (\d+) more authentication failures?; (.*)")
# Values may imitate keys: "rhost" is what stands last before an optional " user=", or before the injected one.
_FAILURE = re.compile(
    r"(?:logname=(?P<logname>.*?) )?(?:uid=(?P<uid>\S*) )?(?:euid=(?P<euid>\S*) )?(?:tty=(?P<tty>.*?) )?"
    r"ruser=(?P<ruser>.*) rhost=(?P<rhost>\S*)(?: +user=(?P<user>.*?))? *(?: \[preauth\])?$"
)
_INJECTED_USER = re.compile(r"ruser=(?P<ruser>\S*) rhost=(?P<rhost>\S*) +user=(?P<user>.*)$")
_SESSION = re.compile(
    r"session (opened|closed) for user ([^(\s]+)(?:\(uid=(\d+)\))?(?: by (?:(\S*?)\(uid=(\d+)\)|(\S+)))?"
)
_PASSWORD = re.compile(r"password changed for (\S+)")
_LOCKED = re.compile(
    r"(?:Consecutive login failures for user|user) (\S+).*(?:temporarily locked|account (?:temporarily )?locked)"
)
_ABOUT = re.compile(r'(?:by|for) user "([^"]*)"')
_LOGIN = re.compile(
    r"FAILED LOGIN (?:\(?\d+\)? |SESSION )?(?:on '?(?P<tty>[^']*?)'? )?(?:FROM '?(?P<peer>[^' ]*)'? )?FOR '?(?P<user>.*?)'?, "
)
_SIGNED_IN = re.compile(r"(?:ROOT )?LOGIN ON (\S+)(?: BY (\S+))?(?: FROM (\S+))?")


def parse(line: Line) -> Event | None:
    """Translate a PAM module's line, and login's own."""
    text = line.text
    if len(text) > _LONGEST:
        return None
    if line.app == "login" and (event := _login(line)):
        return event
    if match := _MORE.match(text):
        # The same failures have been told one by one already.
        return _failure(line, _service(line, ""), match[2], counted=False)
    if _sniff(text):
        return _failure(line, _service(line, ""), text.partition("; ")[2], counted=True)
    match = _HEAD.match(text)
    if not match:
        return None
    module, named, _, rest = match.groups()
    service = _service(line, named or "")
    if rest.startswith(("authentication failure", "auth could not identify")):
        # Old lines without the service in brackets are all that was written then.
        counted = not (service == "sshd" and named)
        return _failure(line, service, rest.partition("; ")[2], counted=counted)
    if session := _SESSION.match(rest):
        return _session(line, service, session)
    if changed := _PASSWORD.match(rest):
        values = {**_template(ocsf.ACCOUNT_CHANGE, 3, ocsf.SUCCESS), "user.name": changed[1]}
        return _event(line, service, values, {"user": changed[1]})
    if module in {"pam_faillock", "pam_tally2", "pam_tally"} and (locked := _LOCKED.match(rest)):
        values = {**_template(ocsf.ACCOUNT_CHANGE, 9, ocsf.SUCCESS), "user.name": locked[1]}
        return _event(line, service, values, {"user": locked[1]})
    values = {**_template(ocsf.BASE, ocsf.UNKNOWN, ocsf.UNKNOWN), "message": text}
    native: dict[str, Any] = {}
    if about := _ABOUT.search(rest):
        values["actor.user.name"] = native["user"] = about[1]
    return _event(line, service, values, native)


def _service(line: Line, named: str) -> str:
    if named and named not in {"auth", "account", "session", "system-auth"}:
        return named
    return line.app.rpartition("/")[2].lower() or "pam"


@cache
def _fixed(class_uid: int, activity_id: int, status_id: int) -> dict[str, Any]:
    values = ocsf.template(class_uid, activity_id, "Linux-PAM", "Linux-PAM", status_id)
    if activity_id == ocsf.OTHER:
        values["activity_name"] = "Session Open"
    return values


def _template(class_uid: int, activity_id: int, status_id: int) -> dict[str, Any]:
    return dict(_fixed(class_uid, activity_id, status_id))


def _event(line: Line, service: str, values: dict[str, Any], native: dict[str, Any]) -> Event:
    facts = {"program": line.app, "pid": line.pid, "host": line.host, "service": service, **native}
    return Event(values["class_uid"], values, facts, line.text, logsource=_SERVICES.get(service, _AUTH))


def _failure(line: Line, service: str, rest: str, *, counted: bool) -> Event:
    native: dict[str, Any] = {}
    match = _INJECTED_USER.search(rest) if " rhost=" in rest.partition("user=")[2].partition(" user=")[2] else None
    match = match or _FAILURE.search(rest)
    if match:
        native = {name: value for name, value in match.groupdict().items() if value is not None}
    actor, peer = native.get("ruser", ""), native.get("rhost", "")
    user = native.get("user") or actor or native.get("logname", "")
    values = _template(ocsf.AUTHENTICATION, 1, ocsf.FAILURE if counted else ocsf.OTHER)
    values |= {"user.name": user, "service.name": service, "is_remote": bool(peer)}
    if not counted:
        values["status"] = "Undecided"
    if actor and actor != user:
        values["actor.user.name"] = actor
    elif service == "sudo" and user:
        values["actor.user.name"] = user
    if peer:
        where, address = ocsf.source(peer)
        values[where] = native["src_ip"] = address
    if counted:
        native["attempt"] = "pam"
    return _event(line, service, values, native)


def _session(line: Line, service: str, match: re.Match[str]) -> Event:
    """A session's start is a logon only where nothing else tells of it; its end is a logoff."""
    what, user, _, by, _, by_name = match.groups()
    actor = by or (by_name or "").partition("(")[0]
    if what == "closed":
        values = _template(ocsf.AUTHENTICATION, 2, ocsf.SUCCESS)
    elif service in _TOLD_ELSEWHERE:
        values = _template(ocsf.AUTHENTICATION, ocsf.OTHER, ocsf.SUCCESS)
    else:
        values = _template(ocsf.AUTHENTICATION, 1, ocsf.SUCCESS)
    values |= {"user.name": user, "service.name": service}
    native = {"user": user, "session": what}
    if actor:
        values["actor.user.name"] = native["by"] = actor
    return _event(line, service, values, native)


#: Services whose own lines tell of the sign-in, or whose sessions are not people's.
_TOLD_ELSEWHERE = frozenset(
    {"sshd", "sudo", "su", "su-l", "cron", "crond", "systemd-user", "login", "atd", "runuser", "runuser-l", "polkit-1"}
)


def _login(line: Line) -> Event | None:
    if match := _LOGIN.match(line.text):
        values = _template(ocsf.AUTHENTICATION, 1, ocsf.FAILURE)
        values |= {"user.name": match["user"], "service.name": "login", "is_remote": bool(match["peer"])}
        native = {"user": match["user"], "tty": match["tty"] or "", "attempt": "login"}
        if match["peer"]:
            where, address = ocsf.source(match["peer"])
            values[where] = address
        return _event(line, "login", values, native)
    if match := _SIGNED_IN.match(line.text):
        user = match[2] or "root"
        values = _template(ocsf.AUTHENTICATION, 1, ocsf.SUCCESS)
        values |= {"user.name": user, "service.name": "login", "is_remote": bool(match[3])}
        if match[3]:
            where, address = ocsf.source(match[3])
            values[where] = address
        return _event(line, "login", values, {"user": user, "tty": match[1]})
    return None


def _sniff(text: str) -> bool:
    return text.startswith("authentication failure; logname=")


PARSER = Parser(
    id="pam",
    title="Linux-PAM modules of any service",
    logsource=_AUTH,
    parse=parse,
    apps=("login",),
    prefixes=("pam_", "(pam_", "PAM "),
    sniff=_sniff,
    rank=20,
    samples=(
        Sample(
            "Mar  4 10:00:00 ftp-01 vsftpd[7]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=ana rhost=192.0.2.7",
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "ana", "src_endpoint.ip": "192.0.2.7", "service.name": "vsftpd"},
            {"rhost": "192.0.2.7", "attempt": "pam"},
        ),
        # A user name that imitates the host field, in both places where it can stand.
        Sample(
            "Mar  4 10:00:00 ftp-01 vsftpd[7]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser=x rhost=198.51.100.1 rhost=192.0.2.7",
            ocsf.AUTHENTICATION,
            {"status_id": 2, "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            "Mar  4 10:00:00 ftp-01 vsftpd[7]: pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser= rhost=192.0.2.7 user=x rhost=198.51.100.1",
            ocsf.AUTHENTICATION,
            {"status_id": 2, "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            "Mar  4 10:00:00 web-01 sshd[7]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=root",
            ocsf.AUTHENTICATION,
            {"status_id": 99, "user.name": "root", "src_endpoint.ip": "192.0.2.7", "service.name": "sshd"},
        ),
        Sample(
            "Mar  4 10:00:00 web-01 gdm-password]: pam_unix(gdm-password:session): session opened for user ana(uid=1000) by (uid=0)",
            ocsf.AUTHENTICATION,
            {"status_id": 1, "activity_id": 1, "user.name": "ana"},
        ),
        Sample(
            "Mar  4 10:00:00 web-01 sshd[7]: pam_unix(sshd:session): session closed for user ana",
            ocsf.AUTHENTICATION,
            {"activity_id": 2, "user.name": "ana"},
        ),
        Sample(
            "Mar  4 10:00:00 web-01 passwd[7]: pam_unix(passwd:chauthtok): password changed for ana",
            ocsf.ACCOUNT_CHANGE,
            {"activity_id": 3, "user.name": "ana"},
        ),
        Sample(
            "Mar  4 10:00:00 web-01 login[7]: FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure",
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "root", "service.name": "login"},
        ),
        Sample("Mar  4 10:00:00 web-01 app[7]: user said pam_unix(x:auth): authentication failure", None),
    ),
)  # fmt: skip
