"""Squid's access log in its own format ("squid") and with user agent ("combined" is read as a web log's).

Format: https://wiki.squid-cache.org/Features/LogFormat
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from watchbill.content import connections
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_LINE = re.compile(
    r"\s*(\d{9,10})\.(\d{3})\s+(\d+) (\S+) ([A-Z_]+)/(\d{3}) (\d+) (\S{1,60}) (\S{1,8000}) (\S+) ([A-Z_]+)/(\S+)(?: (\S+))?(?: \"([^\"]*)\")?"
)
_METHODS = {"CONNECT": 1, "DELETE": 2, "GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7, "TRACE": 8, "PATCH": 9}


def parse(line: Line) -> Event | None:
    """Translate one request."""
    found = _LINE.match(line.text)
    if not found:
        return None
    seconds, millis, _, client, result, code, size, method, target, user, way, peer, mime, agent = found.groups()
    denied = "DENIED" in result
    status = ocsf.FAILURE if denied or code >= "400" else ocsf.SUCCESS
    activity = _METHODS.get(method, ocsf.OTHER)
    values = ocsf.template(ocsf.HTTP_ACTIVITY, activity, "Squid", "Squid", status)
    values["severity_id"] = 1
    if activity == ocsf.OTHER:
        values["activity_name"] = method[:40]
    host, port, path, query = _parts(target, method)
    values |= connections.endpoints(client, None, peer if peer != "-" else host, port)
    values |= {"http_request.url.path": path, "http_response.code": int(code)}
    if method in _METHODS:
        values["http_request.http_method"] = method
    if host:
        values["http_request.url.hostname"] = host
    if query:
        values["http_request.url.query_string"] = query
    if user != "-":
        values["actor.user.name"] = user
    native: dict[str, Any] = {
        "c-ip": client, "c-uri": target, "cs-uri": target, "cs-method": method, "sc-status": code, "cs-host": host, "cs-uri-stem": path,
        "sc-bytes": size, "result": result, "hierarchy": way, "action": "denied" if denied else "allowed",
    }  # fmt: skip
    said = {"c-uri-query": query, "cs-uri-query": query, "dst_ip": peer, "cs-mime-type": mime, "cs-username": user}
    native |= {name: value for name, value in said.items() if value and value != "-"}
    extension = path.rpartition("/")[2].rpartition(".")
    if extension[1]:
        native["c-uri-extension"] = extension[2]
    if agent and agent != "-":
        native["c-useragent"] = native["cs-user-agent"] = values["http_request.user_agent"] = agent
    time = flat.epoch_ns(int(seconds)) + int(millis) * 1_000_000
    return Event(ocsf.HTTP_ACTIVITY, values, native, line.text, time)


def _parts(target: str, method: str) -> tuple[str, int | None, str, str]:
    if method == "CONNECT":
        host, _, digits = target.rpartition(":")
        return (host or target).strip("[]"), connections.port_of(digits), "/", ""
    try:
        found = urlsplit(target)
        port = found.port
    except ValueError:  # what a client asked for need not be a URL
        return "", None, target, ""
    return found.hostname or "", port, found.path or "/", found.query


PARSER = Parser(
    id="squid",
    title="Squid access log",
    logsource=LogSource("", "squid", "proxy"),
    parse=parse,
    apps=("squid", "(squid-1)"),
    sniff=lambda text: _LINE.match(text) is not None,
    rank=35,
    samples=(
        Sample(
            "1772618400.500   5006 192.0.2.7 TCP_MISS/200 19763 GET http://www.example.com/a/b.exe?x=1 ana HIER_DIRECT/198.51.100.9 application/octet-stream",
            ocsf.HTTP_ACTIVITY,
            {
                "activity_id": 3, "status_id": 1, "src_endpoint.ip": "192.0.2.7", "dst_endpoint.ip": "198.51.100.9", "actor.user.name": "ana",
                "http_request.url.hostname": "www.example.com", "http_request.url.path": "/a/b.exe", "http_response.code": 200,
            },
            {"c-uri-extension": "exe", "cs-host": "www.example.com", "sc-status": "200", "c-uri-query": "x=1", "cs-username": "ana"},
            time="2026-03-04T10:00:00.500Z",
        ),
        Sample(
            "1772618400.500      1 192.0.2.7 TCP_DENIED/403 3900 CONNECT bad.example:443 - HIER_NONE/- text/html",
            ocsf.HTTP_ACTIVITY,
            {"activity_id": 1, "status_id": 2, "dst_endpoint.hostname": "bad.example", "dst_endpoint.port": 443},
            {"action": "denied", "cs-host": "bad.example"},
        ),
        Sample("1772618400.500 hello", None),
    ),
)  # fmt: skip
