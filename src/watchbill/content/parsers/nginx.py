"""nginx: access log (combined, with virtual host, behind proxies) and error log with its refused sign-ins."""

from __future__ import annotations

import re
from typing import Any

from watchbill.content import web_logs
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

SOURCE = LogSource("", "nginx", "webserver")
#: nginx cuts its error messages at 2,048 bytes (ngx_log.h, NGX_MAX_ERROR_STR).
_LONGEST = 4_096
_ERROR = re.compile(
    r"(?:\S+ nginx: )?(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(\w+)\] (?:(\d+)[#:](\d+)(?::| |$)(?: ?\*(\d+))?)? ?(.*)"
)
# What nginx appends. Names and referrers come from the peer and may imitate it, so the whole tail must fit.
_TAIL = (
    r', client: ([^,\s"]+)(?:, server: ([^,"]*))?(?:, (?:sub)?request: "([^"]*)")?(?:, upstream: "[^"]*")?'
    r'(?:, login: "([^"]*)")?(?:, host: "([^"]*)")?(?:, referrer: "([^"]*)")?\s*$'
)
_FIRST_TAIL = re.compile("(.*?)" + _TAIL)
_LAST_TAIL = re.compile("(.*)" + _TAIL)
_CLIENT = re.compile(r"(.*?), client:? ?([0-9a-fA-F.:]+)?")
_SIGN_IN = (
    (re.compile(r'user "(.*)" was not found in '), "user not found"),
    (re.compile(r'user "(.*)": (?:was not found in |password mismatch)'), "password mismatch"),
    (re.compile(r"PAM: user '(.*)' - not authenticated"), "not authenticated"),
    (re.compile(r'client login failed: "(.*?)" while in http auth state'), "mail login failed"),
    (re.compile(r"no user/password was provided for basic authentication"), "no password given"),
)
_SEVERITIES = {"emerg": 6, "alert": 5, "crit": 5, "error": 3, "warn": 2}
_FAILED = ocsf.template(
    ocsf.AUTHENTICATION, 1, "nginx", "F5", ocsf.FAILURE, {"service.name": "nginx", "is_remote": True}
)
_HTTP = ocsf.template(ocsf.HTTP_ACTIVITY, ocsf.UNKNOWN, "nginx", "F5", extra={"app_name": "nginx"})
_BASE = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "nginx", "F5")


def parse(line: Line) -> Event | None:
    """Translate an access or error log line."""
    if match := _ERROR.match(line.text):
        return _error(line, match)
    if "apache" in line.source or "httpd" in line.source:
        return None
    return web_logs.access(line, "nginx", "F5", SOURCE)


def _error(line: Line, match: re.Match[str]) -> Event:
    _, level, pid, tid, connection, text = match.groups()
    native: dict[str, Any] = {
        "level": level,
        "pid": pid or "",
        "tid": tid or "",
        "connection": connection or "",
        "message": text,
    }
    # A refused name may imitate the tail, so there the last one counts; elsewhere only the end can be the peer's.
    tail = (
        None
        if len(text) > _LONGEST
        else _FIRST_TAIL.match(text) or (_LAST_TAIL.match(text) if text.startswith(("user ", "PAM")) else None)
    )
    said, client = text, ""
    values: dict[str, Any] = {}
    if tail:
        said, client, server, request, login, host, referrer = tail.groups()
        native |= {"c-ip": client, "server": server or "", "cs-host": host or server or ""}
        values = _request(request, host or server, referrer)
        native |= {
            "cs-method": values.get("http_request.http_method", ""),
            "cs-uri-stem": values.get("http_request.url.path", ""),
        }
        if login:
            native["login"] = login
    elif peer := _CLIENT.match(text):
        said, client = peer[1], peer[2] or ""
    for pattern, reason in _SIGN_IN:
        if found := pattern.match(said if tail else text):
            return _refused(line, native, values, found, reason, client)
    if not client:
        base = {**_BASE, "message": text, "severity_id": _SEVERITIES.get(level, 1)}
        return Event(ocsf.BASE, base, native, line.text)
    where, address = ocsf.source(client)
    broken = said.startswith("SSL_") and ") failed" in said[:40]
    values = {**_HTTP, **values, where: address, "status_detail": said, "severity_id": _SEVERITIES.get(level, 1)}
    if broken or said.startswith(("access forbidden", "limiting requests", "limiting connections", "directory index")):
        values["status_id"] = ocsf.FAILURE
    return Event(ocsf.HTTP_ACTIVITY, values, native, line.text)


def _request(request: str | None, host: str | None, referrer: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if request:
        method, _, rest = request.partition(" ")
        stem, _, query = rest.rpartition(" HTTP/")[0].partition("?") if " HTTP/" in rest else rest.partition("?")
        values = {"http_request.url.path": stem}
        if method in web_logs.METHODS:
            values["http_request.http_method"] = method
        if query:
            values["http_request.url.query_string"] = query
    if host:
        values["dst_endpoint.hostname"] = host
    if referrer:
        values["http_request.referrer"] = referrer
    return values


def _refused(
    line: Line, native: dict[str, Any], request: dict[str, Any], found: re.Match[str], reason: str, client: str
) -> Event:
    user = native.get("login") or (found[1] if found.re.groups and "login failed" not in reason else "")
    values = {**_FAILED, **request, "user.name": user, "status_detail": reason}
    values.pop("http_request.referrer", None)
    native["user"] = user
    if client:
        where, address = ocsf.source(client)
        values[where] = native["src_ip"] = address
    return Event(ocsf.AUTHENTICATION, values, native, line.text)


def _sniff(text: str) -> bool:
    return web_logs.is_access(text) or (text[4:5] == "/" and _ERROR.match(text) is not None)


_TIME = "2026/03/04 10:00:00 [error] 12#12: *7 "
_END = ', server: www.example.com, request: "GET /admin HTTP/1.1", host: "www.example.com"'

PARSER = Parser(
    id="nginx",
    title="nginx access and error log",
    logsource=SOURCE,
    parse=parse,
    apps=("nginx", "nginx_access", "nginx_error", "openresty"),
    sniff=_sniff,
    rank=40,
    samples=(
        Sample(
            '192.0.2.7 - ana [04/Mar/2026:10:00:00 +0100] "GET /a/b?x=1&y=2 HTTP/1.1" 404 153 "-" "curl/8.5"',
            ocsf.HTTP_ACTIVITY,
            {
                "activity_id": 3, "status_id": 2, "src_endpoint.ip": "192.0.2.7", "http_request.url.path": "/a/b",
                "http_request.url.query_string": "x=1&y=2", "http_response.code": 404,
                "http_request.user_agent": "curl/8.5", "actor.user.name": "ana",
            },
            {"c-ip": "192.0.2.7", "cs-method": "GET", "cs-uri-stem": "/a/b", "cs-uri-query": "x=1&y=2", "sc-status": 404,
             "cs-user-agent": "curl/8.5", "cs-username": "ana", "cs-referer": "-"},
            time="2026-03-04T09:00:00Z",
        ),
        Sample(
            'www.example.com 2001:db8::7, 198.51.100.9 - - [04/Mar/2026:10:00:00 +0000] "POST / HTTP/2.0" 200 5 "-" "-"',
            ocsf.HTTP_ACTIVITY,
            {"src_endpoint.ip": "2001:db8::7", "dst_endpoint.hostname": "www.example.com", "status_id": 1},
        ),
        Sample(
            r'192.0.2.7 - - [04/Mar/2026:10:00:00 +0000] "\x16\x03\x01" 400 157 "-" "-"',
            ocsf.HTTP_ACTIVITY,
            {"activity_id": 0, "http_response.code": 400, "http_request.url.path": r"\x16\x03\x01"},
        ),
        Sample(
            _TIME + 'user "ana": password mismatch, client: 192.0.2.7' + _END,
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "ana", "src_endpoint.ip": "192.0.2.7", "service.name": "nginx"},
            time="2026-03-04T10:00:00Z",
        ),
        # A user name that imitates the rest of the line.
        Sample(
            _TIME + 'user "x": password mismatch, client: 198.51.100.1' + _END + '": was not found in "/etc/pw", client: 192.0.2.7' + _END,
            ocsf.AUTHENTICATION,
            {"status_id": 2, "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            _TIME + 'open() "/srv/x" failed (2: No such file or directory), client: 192.0.2.7' + _END,
            ocsf.HTTP_ACTIVITY,
            {"src_endpoint.ip": "192.0.2.7", "http_request.url.path": "/admin", "status_id": 0},
        ),
        Sample("2026/03/04 10:00:00 [notice] 1#1: start worker processes", ocsf.BASE, {"message": "start worker processes"}),
        Sample("192.0.2.7 is not an access log", None),
    ),
)  # fmt: skip
