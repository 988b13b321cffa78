"""OpenCanary, a honeypot: whoever touches it has no business there. Format: https://opencanary.readthedocs.io/"""

from __future__ import annotations

from typing import Any

from watchbill.content import connections
from watchbill.content.audit_logs import first, moment
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_SOURCE = LogSource("opencanary", "", "application")
#: Log types that carry a name and a password somebody tried.
_SIGN_INS = frozenset({2000, 3001, 4002, 6001, 7001, 8001, 9003, 12001, 14001})
_SERVICES = {
    2: "ftp",
    3: "http",
    4: "ssh",
    5: "smb",
    6: "telnet",
    7: "http-proxy",
    8: "mysql",
    9: "mssql",
    12: "vnc",
    14: "rdp",
}


def parse(line: Line) -> Event | None:
    """Translate one record. The host is the canary's node."""
    data = line.data
    kind = data.get("logtype") if data else None
    if not data or not isinstance(kind, int) or isinstance(kind, bool) or "node_id" not in data:
        return None
    native: dict[str, Any] = flat.flatten(data)
    service = _SERVICES.get(kind // 1_000, "honeypot")
    ends = connections.endpoints(*(native.get(name) for name in ("src_host", "src_port", "dst_host", "dst_port")))
    if kind in _SIGN_INS:
        values = ocsf.template(ocsf.AUTHENTICATION, 1, "OpenCanary", "Thinkst", ocsf.FAILURE)
        user = first(native, ("logdata.USERNAME", "logdata.username"))
        values |= {"user.name": user or "unknown", "service.name": service, "is_remote": True}
    else:
        values = ocsf.template(ocsf.NETWORK_ACTIVITY, 6, "OpenCanary", "Thinkst") | connections.protocol("")
    values |= ends
    values["severity_id"] = 4 if native.get("src_host") else 1
    time = moment(native.get("utc_time")) or moment(native.get("local_time"))
    return Event(values["class_uid"], values, native, line.text, time, _SOURCE, first(native, ("node_id",)))


def _record(kind: int, about: str = "{}") -> str:
    return (
        f'{{"dst_host":"198.51.100.9","dst_port":22,"local_time":"2026-03-04 10:00:00.500000","logdata":{about},"logtype":{kind},"node_id":"canary-1",'
        f'"src_host":"192.0.2.7","src_port":4242,"utc_time":"2026-03-04 10:00:00.500000"}}'
    )


PARSER = Parser(
    id="opencanary",
    title="OpenCanary honeypot",
    logsource=_SOURCE,
    parse=parse,
    keys=(frozenset({"logtype", "node_id"}),),
    rank=20,
    samples=(
        Sample(
            _record(4002, '{"USERNAME":"root","PASSWORD":"…"}'),
            ocsf.AUTHENTICATION,
            {"status_id": 2, "user.name": "root", "service.name": "ssh", "src_endpoint.ip": "192.0.2.7", "dst_endpoint.port": 22},
            {"logtype": 4002},
            time="2026-03-04T10:00:00.500Z",
            host="canary-1",
        ),
        Sample(_record(5001), ocsf.NETWORK_ACTIVITY, {"src_endpoint.ip": "192.0.2.7"}),
        Sample('{"logtype":"x","node_id":"y"}', None),
    ),
)  # fmt: skip
