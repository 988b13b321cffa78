"""Apache httpd: access log (common, combined, with virtual host) and error log with its refused sign-ins."""

from __future__ import annotations

import re
from typing import Any

from watchbill.content import web_logs
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

SOURCE = LogSource("", "apache", "webserver")
# Date (absent through syslog), module and level, process, cause, client and message code, text.
_ERROR = re.compile(
    r"(?:\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)? \d{4}\] )?"
    r"\[(?:([\w-]*):)?(emerg|alert|crit|error|warn|notice|info|debug|trace\d)\] "
    r"(?:\[pid (\d+)(?::tid (\d+))?\] )?(?:([^\[]{0,120}?): )?(?:\[(?:client|remote) (\[[^\]]*\](?::\d+)?|[^\]]*)\] )?(?:(AH\d+): )?(.*)$"
)
_PORT = re.compile(r"\[?(.*?)\]?(?::(\d{1,5}))?$")
_SIGN_IN = (
    (re.compile(r"(?:Digest: )?user [`'](.*)' in realm .* not found"), "user not found"),
    (re.compile(r"(?:Digest: )?user (.*): password mismatch"), "password mismatch"),
    (re.compile(r"user (.*?[^:]?):? authentication failure for "), "password mismatch"),
    (re.compile(r"user (.*) not found(?:: |$)"), "user not found"),
    (re.compile(r"Authorization of user (.*) to access .* failed"), "not authorized"),
    (re.compile(r"user (.*): authorization failure for "), "not authorized"),
    (re.compile(r"access to .* failed, reason: user '?(.*?)'? does not meet"), "not authorized"),
    (re.compile(r"client used wrong authentication scheme"), "wrong scheme"),
    (
        re.compile(
            r"(?:Digest: )?invalid nonce (?!.* - hash is not)|(?:Digest: )?(?:client used |user .*: )?nonce expired"
        ),
        "invalid nonce",
    ),
    (
        re.compile(
            r"(?:Digest: )?(?:realm mismatch|unknown algorithm|invalid qop|received invalid|uri mismatch|missing )"
        ),
        "invalid digest",
    ),
)
_SEVERITIES = {"emerg": 6, "alert": 5, "crit": 5, "error": 3, "warn": 2}
_FAILED = ocsf.template(
    ocsf.AUTHENTICATION, 1, "httpd", "Apache", ocsf.FAILURE, {"service.name": "apache", "is_remote": True}
)
_HTTP = ocsf.template(ocsf.HTTP_ACTIVITY, ocsf.UNKNOWN, "httpd", "Apache", extra={"app_name": "httpd"})
_BASE = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "httpd", "Apache")


def parse(line: Line) -> Event | None:
    """Translate an access or error log line."""
    if line.text.startswith("["):
        match = _ERROR.match(line.text)
        return _error(line, match) if match else None
    return web_logs.access(line, "httpd", "Apache", SOURCE)


def _error(line: Line, match: re.Match[str]) -> Event:
    module, level, pid, tid, cause, client, code, text = match.groups()
    native: dict[str, Any] = {
        "module": module or "", "level": level, "pid": pid or "", "tid": tid or "", "code": code or "", "message": text,
    }  # fmt: skip
    severity = _SEVERITIES.get(level, 1)
    if not client:
        return Event(ocsf.BASE, {**_BASE, "message": text, "severity_id": severity}, native, line.text)
    peer = _PORT.match(client) if not ocsf.canonical_ip(client) else None
    address, port = peer.groups() if peer else (client, None)
    where, value = ocsf.source(address)
    place: dict[str, Any] = {where: value}
    native["c-ip"] = native["src_ip"] = value
    if port:
        place["src_endpoint.port"] = int(port)
    for pattern, reason in _SIGN_IN:
        if found := pattern.match(text):
            user = native["user"] = found[1] if pattern.groups else ""
            values = {**_FAILED, **place, "user.name": user, "status_detail": reason}
            return Event(ocsf.AUTHENTICATION, values, native, line.text)
    values = {**_HTTP, **place, "status_detail": f"{cause}: {text}" if cause else text, "severity_id": severity}
    if text.startswith("client denied by server configuration") or code in {"AH02031", "AH02032", "AH02033"}:
        values["status_id"] = ocsf.FAILURE
    return Event(ocsf.HTTP_ACTIVITY, values, native, line.text)


def _sniff(text: str) -> bool:
    return text.startswith("[") and _ERROR.match(text) is not None


_TIME = "[Wed Mar 04 10:00:00.123456 2026] "

PARSER = Parser(
    id="apache",
    title="Apache httpd access and error log",
    logsource=SOURCE,
    parse=parse,
    apps=("apache", "apache2", "httpd"),
    sniff=_sniff,
    rank=41,
    samples=(
        Sample(
            _TIME + '[auth_basic:error] [pid 7:tid 9] [client 192.0.2.7:4242] AH01617: user ana: authentication failure for "/x": Password Mismatch',
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "ana", "src_endpoint.ip": "192.0.2.7", "src_endpoint.port": 4242},
            {"code": "AH01617", "c-ip": "192.0.2.7"},
            time="2026-03-04T10:00:00.123456Z",
        ),
        Sample(
            "[Wed Mar 04 10:00:00 2026] [error] [client 2001:db8::7] user ana not found: /",
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "ana", "src_endpoint.ip": "2001:db8::7"},
        ),
        # A path that imitates a refusal.
        Sample(
            "[Wed Mar 04 10:00:00 2026] [error] [client 192.0.2.7] File does not exist: /srv/[client 198.51.100.1] user root not found",
            ocsf.HTTP_ACTIVITY,
            {"status_id": 0, "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            _TIME + "[authz_core:error] [pid 7] [client 192.0.2.7:4242] AH01630: client denied by server configuration: /srv/x",
            ocsf.HTTP_ACTIVITY,
            {"status_id": 2, "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(_TIME + "[mpm_event:notice] [pid 7] AH00489: Apache/2.4 configured", ocsf.BASE, {"severity_id": 1}),
        Sample("[2026-03-04 10:00:00] another log", None),
    ),
)  # fmt: skip
