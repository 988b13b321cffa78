"""OpenSSH's server.

Which lines are failed sign-ins (class 3002, status 2) and how often they count: every line below that names a
failure by a peer is one, and says with ``attempt`` what kind of line it is, so that the engine counts an attempt
once however many lines tell of it (engine/normalise/attempts.py). Not failures: PAM modules' own lines (the verdict
is sshd's), a public key of a known user that did not fit (clients offer several), lines that repeat a verdict without
news. What concerns the connection and no user (scans, broken handshakes, closings) is OCSF's SSH Activity, 4007.

User names come from the peer and may imitate the log: a name with spaces is read so that the rightmost address wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

SOURCE = LogSource("linux", "sshd")


def _template(class_uid: int, activity_id: int, status_id: int, **extra: Any) -> dict[str, Any]:
    fixed = {name.replace("__", "."): value for name, value in extra.items()}
    return ocsf.template(class_uid, activity_id, "OpenSSH", "OpenBSD", status_id, fixed)


def _authentication(activity_id: int, status_id: int, **extra: Any) -> dict[str, Any]:
    return _template(ocsf.AUTHENTICATION, activity_id, status_id, service__name="sshd", is_remote=True, **extra)


_SUCCEEDED = _authentication(1, ocsf.SUCCESS)
_FAILED = _authentication(1, ocsf.FAILURE)
_UNDECIDED = _authentication(1, ocsf.OTHER, status="Undecided")
_CLOSED = _template(ocsf.SSH_ACTIVITY, 2, ocsf.SUCCESS)
_OPENED = _template(ocsf.SSH_ACTIVITY, 1, ocsf.SUCCESS)
_REFUSED = _template(ocsf.SSH_ACTIVITY, 5, ocsf.FAILURE)
_BROKEN = _template(ocsf.SSH_ACTIVITY, 4, ocsf.FAILURE)
_NAMELESS = _template(ocsf.SSH_ACTIVITY, 4, ocsf.OTHER, status="Undecided")
_STARTED = _template(ocsf.APPLICATION_LIFECYCLE, 3, ocsf.SUCCESS, app__name="sshd", app__vendor_name="OpenBSD")
_STOPPED = _template(ocsf.APPLICATION_LIFECYCLE, 4, ocsf.SUCCESS, app__name="sshd", app__vendor_name="OpenBSD")
_OTHER = _template(ocsf.BASE, ocsf.UNKNOWN, ocsf.UNKNOWN)

#: OpenSSH's own buffer holds 1,024 bytes (log.c, MSGBUFSIZ): what is longer was not written by it.
_LONGEST = 2_048
_TAIL = r"(?: port (\d+))?(?: on \S+(?: port \d+)?)?(?: (ssh\d?))?"
# A name without spaces may be followed by what the method has to say (": RSA SHA256:…"); with spaces, nothing may.
_VERDICT = re.compile(rf"(\S+) for (invalid user |illegal user )?(\S+) from (\S+){_TAIL}(?:: (.*)| \[preauth\])?$")
_VERDICT_SPACED = re.compile(rf"(\S+) for (invalid user |illegal user )?(.*) from (\S+){_TAIL}(?: \[preauth\])?$")
_INVALID = re.compile(r"(?:user|User) (.*) from (\S+)(?: port (\d+))?(?: \[preauth\])?$")
_PAM = re.compile(r"[^:]*?(?: for (?:illegal|invalid) user| for) (.*) from (\S+?)(?: via \S+)? *$")
_MAXIMUM = re.compile(
    r".* for (?:invalid user |illegal user )?(.*) from (\S+) port (\d+)(?: ssh\d?)?(?: \[preauth\])?$"
)
_WHO_LEFT = re.compile(
    r"(?:\w+ )+?(by|from) (authenticating|invalid|\w+) user (.*) (\S+) port (\d+)(?:: .*)?(?: \[preauth\])?$"
)
_THROWN_OUT = re.compile(r"(authenticating|invalid) user (.*) (\S+) port (\d+)(?:: (.*?))?(?: \[preauth\])?$")
_LEFT = re.compile(r"(?:\w+ )*?(?:by|from|with) (\S+?)(?: port (\d+)|:|$| (?=\[))(.*)$")
_REMOTE = re.compile(r"Server;.*?Remote: ([\d.a-fA-F:]+)-(\d+);")
_REFUSAL = re.compile(r"(.*?) from (\S+) not allowed because (.*)$")
_LAST_PEER = re.compile(r".*\b(?:from|for|with|by) (?:connection from )?(\S+?)(?: port (\d+))?(?:[: ](?!.*from ).*)?$")
_TOO_MANY = re.compile(r"Too many authentication failures(?: for (.*?))?(?: \[preauth\])?$")
_REPEATED = re.compile(r"repeated (\d+) times: \[ ?(.*?)\]?$", re.DOTALL)
_ROOT_REFUSED = re.compile(r"LOGIN REFUSED FROM (\S+)(?: port (\d+))?")
_WRAPPED = re.compile(r"connect from (.*?)(?: \((\S+)\))?$")


def parse(line: Line) -> Event | None:
    """Translate a line of sshd, sshd-session or sshd-auth; PAM modules' lines are left to the parser ``pam``."""
    text = line.text
    if len(text) > _LONGEST:
        return _other(line, text)
    word, _, rest = text.partition(" ")
    form = _FORMS.get(word)
    if form is None:
        if word.startswith(("pam_", "(pam_")) or (word == "PAM" and rest[:1].isdigit()):
            return None
        return _other(line, text)
    return form(line, rest) or _other(line, text)


def _native(line: Line) -> dict[str, Any]:
    return {"program": line.app, "pid": line.pid, "host": line.host}


def _sign_in(line: Line, base: dict[str, Any], user: str, peer: str, port: str | None, kind: str) -> Event:
    """``kind`` names the kind of line for counting; "" for a line that is not to be counted."""
    where, address = ocsf.source(peer)
    values = {**base, "user.name": user, where: address}
    native: dict[str, Any] = {
        "program": line.app, "pid": line.pid, "host": line.host, "user": user, "src_ip": address,
    }  # fmt: skip
    if port:
        values["src_endpoint.port"] = native["src_port"] = int(port)
    if kind:
        native["attempt"] = kind
    return Event(ocsf.AUTHENTICATION, values, native, line.text)


def _peer(line: Line, base: dict[str, Any], peer: str, port: str | None, detail: str = "") -> Event:
    where, address = ocsf.source(peer)
    values = {**base, where: address}
    native = {**_native(line), "src_ip": address}
    if port:
        values["src_endpoint.port"] = native["src_port"] = int(port)
    if detail:
        values["status_detail"] = detail
    return Event(values["class_uid"], values, native, line.text)


def _other(line: Line, text: str) -> Event:
    return Event(ocsf.BASE, {**_OTHER, "message": text}, _native(line), text)


def _verdict(rest: str) -> re.Match[str] | None:
    return _VERDICT.match(rest) or _VERDICT_SPACED.match(rest)


def _accepted(line: Line, rest: str) -> Event | None:
    match = _verdict(rest)
    if not match:
        return None
    method, _, user, peer, port, *_ = match.groups()
    event = _sign_in(line, _SUCCEEDED, user, peer, port, "")
    event.native["method"] = event.ocsf["auth_protocol"] = method
    return event


def _failed(line: Line, rest: str) -> Event | None:
    match = _verdict(rest)
    if not match:
        return None
    method, invalid, user, peer, port, *_ = match.groups()
    # A known user's client offers its keys one by one; that one of them does not fit is no failed sign-in.
    offered = method == "publickey" and not invalid
    event = _sign_in(line, _UNDECIDED if offered else _FAILED, user, peer, port, "" if offered else method)
    event.native["method"] = event.ocsf["auth_protocol"] = method
    if invalid:
        event.ocsf["status_detail"] = "invalid user"
    return event


def _partial(line: Line, rest: str) -> Event | None:
    match = _verdict(rest)
    return _sign_in(line, _UNDECIDED, match[3], match[4], match[5], "") if match else None


def _invalid(line: Line, rest: str) -> Event | None:
    match = _INVALID.match(rest)
    if not match:
        return None
    event = _sign_in(line, _FAILED, match[1], match[2], match[3], "invalid user")
    event.ocsf["status_detail"] = "invalid user"
    return event


def _error(line: Line, rest: str) -> Event | None:
    if rest.startswith("PAM: "):
        match = _PAM.match(rest, 5)
        return _sign_in(line, _FAILED, match[1], match[2], None, "pam") if match else None
    if rest.startswith("maximum authentication attempts exceeded"):
        match = _MAXIMUM.match(rest)
        if not match:
            return None
        event = _sign_in(line, _FAILED, match[1], match[2], match[3], "maximum")
        event.ocsf["status_detail"] = "maximum authentication attempts exceeded"
        return event
    word, _, tail = rest.partition(" ")
    if word in {"Received", "Connection", "kex_exchange_identification:"}:
        return _FORMS[word](line, tail)
    return None


def _fatal(line: Line, rest: str) -> Event | None:
    word, _, tail = rest.partition(" ")
    form = _FORMS.get(word)
    found = form(line, tail) if form in {_broken, _connection} else None
    return found or _nameless(line, rest)


def _nameless(line: Line, rest: str) -> Event:
    """A broken connection without its peer: the engine knows that from the connection's earlier lines."""
    values = {**_NAMELESS, "status_detail": rest[:200]}
    return Event(ocsf.SSH_ACTIVITY, values, _native(line), line.text)


def _server_says(line: Line, rest: str) -> Event | None:
    match = _REMOTE.match(rest)
    return _peer(line, _OPENED, match[1], match[2]) if match else None


def _connection(line: Line, rest: str) -> Event | None:
    """Connection closed|reset by …, Connection from …"""
    preauth = rest.endswith("[preauth]")
    if " user " in rest and (match := _WHO_LEFT.match(f"Connection {rest}")):
        return _left(line, match, preauth=preauth)
    match = _LEFT.match(rest)
    if not match:
        return None
    if rest.startswith("from "):
        return _peer(line, _OPENED, match[1], match[2])
    return _peer(line, _BROKEN if preauth else _CLOSED, match[1], match[2], "closed before sign-in" if preauth else "")


def _left(line: Line, match: re.Match[str], *, preauth: bool) -> Event | None:
    _, state, user, peer, port = match.groups()
    if preauth or state in {"authenticating", "invalid"}:
        event = _sign_in(line, _FAILED, user, peer, port, "left")
        event.ocsf["status_detail"] = "left before sign-in" if state != "invalid" else "invalid user"
        return event
    return None


def _disconnected(line: Line, rest: str) -> Event | None:
    """Disconnected from [user|invalid user|authenticating user NAME] …"""
    preauth = rest.endswith("[preauth]")
    if match := _WHO_LEFT.match(f"Disconnected {rest}"):
        return _left(line, match, preauth=preauth)
    if match := re.match(r"from user (.*) (\S+) port (\d+)$", rest):
        event = _peer(line, _CLOSED, match[2], match[3])
        event.native["user"] = match[1]
        return event
    match = _LEFT.match(rest)
    return _peer(line, _BROKEN if preauth else _CLOSED, match[1], match[2]) if match else None


def _disconnecting(line: Line, rest: str) -> Event | None:
    """The server ends it: "Too many authentication failures" repeats what has been told with the address."""
    if match := _THROWN_OUT.match(rest):
        _, user, peer, port, why = match.groups()
        told = bool(why) and why.startswith("Too many")
        event = _sign_in(line, _UNDECIDED if told else _FAILED, user, peer, port, "" if told else "thrown out")
        if why:
            event.ocsf["status_detail"] = why
        return event
    return None


def _disconnecting_all(line: Line, rest: str) -> Event | None:
    """Old servers say "Disconnecting: …" without the address."""
    match = _TOO_MANY.match(rest)
    if not match:
        return None
    user = match[1] or ""
    # The engine knows the peer from the connection's earlier lines, and makes it a failure by that peer.
    values = {**_UNDECIDED, "user.name": user, "status_detail": "Too many authentication failures"}
    return Event(ocsf.AUTHENTICATION, values, {**_native(line), "user": user, "attempt": "maximum"}, line.text)


def _received(line: Line, rest: str) -> Event | None:
    """Received disconnect from … / Received signal 15; terminating."""
    if rest.startswith("signal"):
        return _lifecycle(line, _STOPPED)
    match = _LEFT.match(rest)
    if not match:
        return None
    reason = match[3].lstrip(": ").removesuffix(" [preauth]")
    failed = rest.endswith("[preauth]") or reason.endswith(("Auth fail", "Auth cancel"))
    return _peer(line, _BROKEN if failed else _CLOSED, match[1], match[2], reason)


def _user(line: Line, rest: str) -> Event | None:
    """User NAME from PEER not allowed because …"""
    match = _REFUSAL.match(rest)
    if match:
        event = _sign_in(line, _FAILED, match[1], match[2], None, "not allowed")
        event.ocsf["status_detail"] = match[3]
        return event
    name, _, why = rest.partition(" not allowed because ")
    if not why:
        return None
    values = {**_UNDECIDED, "user.name": name, "status_detail": why}
    return Event(ocsf.AUTHENTICATION, values, {**_native(line), "user": name}, line.text)


def _root(line: Line, rest: str) -> Event | None:
    match = _ROOT_REFUSED.match(rest)
    return _sign_in(line, _FAILED, "root", match[1], match[2], "not allowed") if match else None


def _refused(line: Line, rest: str) -> Event | None:
    match = _WRAPPED.match(rest)
    return _peer(line, _REFUSED, match[2] or match[1], None, "refused by TCP wrappers") if match else None


def _broken(line: Line, rest: str) -> Event | None:
    """Handshakes that come to nothing: scanners, wrong protocols, time-outs."""
    match = _LAST_PEER.match(rest)
    if not match or not (ocsf.canonical_ip(match[1]) or match[2]):
        return _nameless(line, rest)
    return _peer(line, _BROKEN, match[1], match[2], rest.partition(" from ")[0][:120])


def _server(line: Line, rest: str) -> Event | None:
    return _lifecycle(line, _STARTED) if rest.startswith("listening on") else None


def _lifecycle(line: Line, base: dict[str, Any]) -> Event:
    return Event(ocsf.APPLICATION_LIFECYCLE, dict(base), _native(line), line.text)


def _message(line: Line, rest: str) -> Event | None:
    """What rsyslog writes as "message repeated N times: [ … ]" is the inner line with a count."""
    match = _REPEATED.match(rest)
    if not match or match[2].startswith("message repeated"):
        return None
    inner = Line(match[2].strip(), line.received, line.time, line.host, line.app, line.pid)
    event = parse(inner)
    if event is None:
        return None
    event.ocsf["count"] = min(int(match[1][:9]), 1_000_000)
    event.message = line.text
    return event


_FORMS: dict[str, Callable[[Line, str], Event | None]] = {
    "Accepted": _accepted,
    "Failed": _failed,
    "Partial": _partial,
    "Postponed": _partial,
    "Invalid": _invalid,
    "Illegal": _invalid,
    "error:": _error,
    "maximum": lambda line, rest: _error(line, f"maximum {rest}"),
    "fatal:": _fatal,
    "Connection": _connection,
    "Disconnected": _disconnected,
    "Disconnecting": _disconnecting,
    "Disconnecting:": _disconnecting_all,
    "Received": _received,
    "User": _user,
    "ROOT": _root,
    "refused": _refused,
    "Refused": _refused,
    "Did": _broken,
    "Bad": _broken,
    "Magic": _broken,
    "banner": _broken,
    "ssh_dispatch_run_fatal:": _broken,
    "kex_exchange_identification:": _broken,
    "Timeout": _broken,
    "Unable": _broken,
    "Server": _server,
    "SSH:": _server_says,
    "message": _message,
}

_LINE = "Mar  4 10:00:00 web-01 sshd[211]: "


def _failure(text: str, user: str, peer: str, kind: str, **native: Any) -> Sample:
    values = {"status_id": 2, "user.name": user, "src_endpoint.ip": peer, "service.name": "sshd"}
    return Sample(_LINE + text, ocsf.AUTHENTICATION, values, {"attempt": kind, "pid": "211", **native}, host="web-01")


PARSER = Parser(
    id="sshd",
    title="OpenSSH server",
    logsource=SOURCE,
    parse=parse,
    apps=("sshd", "sshd-session", "sshd-auth", "dropbear-sshd"),
    rank=10,
    samples=(
        _failure("Failed password for root from 192.0.2.7 port 4242 ssh2", "root", "192.0.2.7", "password", src_port=4242),
        _failure("Failed password for invalid user oracle from 2001:db8::7 port 4242 ssh2", "oracle", "2001:db8::7", "password"),
        _failure("Invalid user admin from 192.0.2.7 port 50000", "admin", "192.0.2.7", "invalid user"),
        _failure("Invalid user  from 192.0.2.7 port 50000", "", "192.0.2.7", "invalid user"),
        # A user name that imitates the log must not frame somebody else.
        _failure(
            "Failed password for invalid user x from 198.51.100.1 port 22 ssh2 from 192.0.2.7 port 4242 ssh2",
            "x from 198.51.100.1 port 22 ssh2", "192.0.2.7", "password",
        ),
        _failure("Invalid user a from 198.51.100.1 port 1 from 192.0.2.7 port 2", "a from 198.51.100.1 port 1", "192.0.2.7", "invalid user"),
        _failure(
            "Connection closed by invalid user b 198.51.100.1 port 9 192.0.2.7 port 22 [preauth]",
            "b 198.51.100.1 port 9", "192.0.2.7", "left",
        ),
        _failure("error: PAM: Authentication failure for ana from 192.0.2.7", "ana", "192.0.2.7", "pam"),
        _failure(
            "error: maximum authentication attempts exceeded for root from 192.0.2.7 port 4 ssh2 [preauth]",
            "root", "192.0.2.7", "maximum",
        ),
        _failure("User ana from 192.0.2.7 not allowed because not listed in AllowUsers", "ana", "192.0.2.7", "not allowed"),
        Sample(
            _LINE + "message repeated 5 times: [ Failed password for root from 192.0.2.7 port 4 ssh2]",
            ocsf.AUTHENTICATION,
            {"status_id": 2, "count": 5, "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            _LINE + "Accepted publickey for deploy from 203.0.113.5 port 51022 ssh2: ED25519 SHA256:abc",
            ocsf.AUTHENTICATION,
            {"status_id": 1, "activity_id": 1, "user.name": "deploy", "src_endpoint.ip": "203.0.113.5", "auth_protocol": "publickey"},
            {"user": "deploy", "method": "publickey"},
        ),
        Sample(
            _LINE + "Failed publickey for deploy from 203.0.113.5 port 51022 ssh2: RSA SHA256:abc",
            ocsf.AUTHENTICATION,
            {"status_id": 99, "user.name": "deploy"},
        ),
        Sample(_LINE + "Connection closed by 192.0.2.7 port 4 [preauth]", ocsf.SSH_ACTIVITY, {"src_endpoint.ip": "192.0.2.7", "status_id": 2}),
        Sample(_LINE + "Received disconnect from 192.0.2.7 port 4:11: disconnected by user", ocsf.SSH_ACTIVITY, {"activity_id": 2, "status_id": 1}),
        Sample(
            _LINE + "Unable to negotiate with 192.0.2.7 port 4: no matching cipher found. Their offer: none [preauth]",
            ocsf.SSH_ACTIVITY,
            {"activity_id": 4, "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(_LINE + "Server listening on 0.0.0.0 port 22.", ocsf.APPLICATION_LIFECYCLE, {"app.name": "sshd", "activity_id": 3}),
        Sample(_LINE + "pam_unix(sshd:auth): check pass; user unknown", None),
    ),
)  # fmt: skip
