"""What nginx and Apache share: the common and combined access log, with or without virtual host, as HTTP Activity.

Format: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html ; nginx's "combined" is the same.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from watchbill.core.times import from_datetime
from watchbill.sdk import Event, Line, LogSource, ocsf

_ACCESS = re.compile(
    r'(.{1,600}?) \[(\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "((?:[^"\\]|\\.)*+)" (\d{3}|-) (\d+|-)'
    r'(?: "((?:[^"\\]|\\.)*+)" "((?:[^"\\]|\\.)*+)")?(.*)$'
)
_REQUEST = re.compile(r"(\S+) (.*?)(?: HTTP/(\d(?:\.\d)?))?$")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)")
#: OCSF's activity for each method it knows.
METHODS = {"CONNECT": 1, "DELETE": 2, "GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7, "TRACE": 8, "PATCH": 9}


@lru_cache(maxsize=4_096)
def _time(text: str) -> int:
    try:
        return from_datetime(datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z"))
    except ValueError:
        return 0


@lru_cache(maxsize=512)
def _template(method: str, code: str, product: str, vendor: str) -> dict[str, Any]:
    activity = METHODS.get(method, ocsf.OTHER if method else ocsf.UNKNOWN)
    status = (ocsf.FAILURE if code >= "400" else ocsf.SUCCESS) if code != "-" else ocsf.UNKNOWN
    values = ocsf.template(ocsf.HTTP_ACTIVITY, activity, product, vendor, status)
    values["severity_id"] = 1  # a 404 is nothing to worry about by itself
    values["app_name"] = product
    if activity == ocsf.OTHER:
        values["activity_name"] = method[:40]
    if code != "-":
        values["http_response.code"] = int(code)
    return values


def access(line: Line, product: str, vendor: str, logsource: LogSource) -> Event | None:
    """Translate an access log line; None when it is none."""
    match = _ACCESS.match(line.text)
    if not match:
        return None
    head, when, request, code, size, referrer, agent, _ = match.groups()
    vhost, client, user = _head(head)
    asked = _REQUEST.match(request)
    method, target, version = asked.groups() if asked else ("", request, None)
    if method not in METHODS and not (method.isascii() and method.isalpha() and method.isupper()):
        method, target = "", request
    stem, mark, query = target.partition("?")
    values = dict(_template(method, code, product, vendor))
    native: dict[str, Any] = {
        "c-ip": client, "cs-method": method, "cs-uri": target, "cs-uri-stem": stem, "cs-uri-query": query,
        "sc-status": values.get("http_response.code", 0), "cs-username": user,
    }  # fmt: skip
    if stem[:1] != "/" and (absolute := _ABSOLUTE.match(stem)):
        values["http_request.url.scheme"], values["http_request.url.hostname"] = absolute[1], absolute[2]
        vhost, stem = vhost or absolute[2], absolute[3] or "/"
    if method in METHODS:
        values["http_request.http_method"] = method
    values["http_request.url.path"] = stem
    if mark:
        values["http_request.url.query_string"] = query
    if version:
        values["http_request.version"] = native["cs-version"] = version
    if size != "-":
        values["http_response.length"] = native["sc-bytes"] = int(size[:18])
    if agent is not None:
        values["http_request.user_agent"] = native["cs-user-agent"] = native["c-useragent"] = agent
        if referrer != "-":
            values["http_request.referrer"] = referrer
        native["cs-referer"] = referrer
    if vhost:
        values["dst_endpoint.hostname"] = native["cs-host"] = vhost
    where, address = ocsf.source(client)
    values[where] = address
    if user not in {"-", ""}:
        values["actor.user.name"] = user
    return Event(ocsf.HTTP_ACTIVITY, values, native, line.text, _time(when), logsource)


@lru_cache(maxsize=16_384)
def _head(head: str) -> tuple[str, str, str]:
    """Read "[vhost[:port]] client[, proxy …] ident user" as (vhost, client, user); a user name may hold spaces.

    Of several addresses (X-Forwarded-For), the first public one is the client.
    """
    tokens = head.split(" ")
    # The ident is "-" in all but a museum's logs and tells where the addresses end.
    end = tokens.index("-") if "-" in tokens[1:] else 1 + (len(tokens) > 3 and bool(ocsf.canonical_ip(tokens[1])))
    names = [token.strip('",') for token in tokens[:end]]
    vhost = names.pop(0) if len(names) > 1 and not tokens[0].endswith(",") else ""
    client = next((name for name in names if len(names) > 1 and is_public(name)), names[0])
    if vhost.rpartition(":")[2].isdigit() and not ocsf.canonical_ip(vhost):
        vhost = vhost.rpartition(":")[0]
    return vhost, client, " ".join(tokens[end + 1 :]).strip('"')


def is_public(address: str) -> bool:
    return bool(canonical := ocsf.canonical_ip(address)) and ip_address(canonical).is_global


def is_access(text: str) -> bool:
    """Whether the line could be an access log's: a bracketed date before a quoted request."""
    at = text.find("[", 0, 600)
    return at > 0 and "/" in text[at + 2 : at + 4] and _ACCESS.match(text) is not None
