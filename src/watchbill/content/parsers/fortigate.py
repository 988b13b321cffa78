"""FortiGate firewall: traffic, UTM and event logs in FortiOS's own key=value form.

Format: https://docs.fortinet.com/document/fortigate/7.6.0/fortios-log-message-reference
"""

from __future__ import annotations

import re
from typing import Any

from watchbill.content import connections
from watchbill.content.audit_logs import activity_of, moment
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_PAIR = re.compile(r'([A-Za-z][A-Za-z0-9_-]{0,40})=("(?:[^"\\]|\\.)*+"|\S*)')
_REFUSED = frozenset(
    {"deny", "denied", "block", "blocked", "dropped", "reset", "reset_client", "reset_server", "quarantine"}
)
_PRODUCT = ("FortiGate", "Fortinet")


def parse(line: Line) -> Event | None:
    """Translate one record."""
    text = line.text
    if " type=" not in text or "logid=" not in text:
        return None
    native: dict[str, Any] = {}
    for name, value in _PAIR.findall(text):
        native.setdefault(name, value[1:-1].replace('\\"', '"') if value[:1] == '"' else value)
    kind, action = native.get("type", ""), native.get("action", "").lower()
    refused = action in _REFUSED
    if kind == "event":
        values, service = _event(native, action), "event"
    else:
        values, service = _flow(native, refused), kind
    for name, there in (("src_ip", "srcip"), ("dst_ip", "dstip"), ("src_port", "srcport"), ("dst_port", "dstport")):
        if there in native:
            native.setdefault(name, native[there])
    native.setdefault("blocked", "true" if refused else "false")
    if native.get("msg"):
        values.setdefault("status_detail", native["msg"][:400])
    category = "" if kind == "event" else "firewall"
    return Event(
        values["class_uid"], values, native, text, _time(native), LogSource("fortigate", service, category),
        host=native.get("devname", ""),
    )  # fmt: skip


def _time(native: dict[str, Any]) -> int:
    if stamp := moment(native.get("eventtime")):
        return stamp
    zone = native.get("tz", "+0000")
    return moment(f"{native.get('date', '')}T{native.get('time', '')}{zone[:3]}:{zone[3:5] or '00'}")


def _flow(native: dict[str, Any], refused: bool) -> dict[str, Any]:
    values = ocsf.template(
        ocsf.NETWORK_ACTIVITY, 5 if refused else 6, *_PRODUCT, ocsf.FAILURE if refused else ocsf.SUCCESS
    )
    values["severity_id"] = 1
    direction = {"incoming": connections.INBOUND, "outgoing": connections.OUTBOUND}.get(
        native.get("direction", ""), connections.UNKNOWN
    )
    values |= connections.endpoints(
        native.get("srcip"), native.get("srcport"), native.get("dstip"), native.get("dstport")
    )
    values |= connections.protocol(native.get("proto", ""), direction)
    for name, there in (("sentbyte", "traffic.bytes_out"), ("rcvdbyte", "traffic.bytes_in")):
        if native.get(name, "").isdigit() and len(native[name]) < 19:
            values[there] = int(native[name])
    if native.get("user"):
        values["actor.user.name"] = native["user"]
    return values


def _event(native: dict[str, Any], action: str) -> dict[str, Any]:
    """A sign-in to the device or to a tunnel, else a change that somebody made or something the device tells."""
    user = native.get("user", "") or native.get("ui", "").partition("(")[0] or "unknown"
    failed = native.get("status", "") in {"failed", "failure", "fail"} or action.endswith(("fail", "failed", "-fail"))
    status = ocsf.FAILURE if failed else ocsf.SUCCESS
    where, address = ocsf.source(native.get("srcip") or native.get("remip") or "unknown")
    if action in {"login", "tunnel-up", "ssl-new-con", "ssl-login-fail", "logout", "tunnel-down"}:
        leaving = action in {"logout", "tunnel-down"}
        values = ocsf.template(ocsf.AUTHENTICATION, 2 if leaving else 1, *_PRODUCT, status)
        service = "sslvpn" if action.startswith(("tunnel", "ssl")) else native.get("method") or "console"
        values |= {
            "user.name": user,
            "actor.user.name": user,
            "service.name": service,
            "is_remote": True,
            where: address,
        }
        return values
    operation = " ".join(part for part in (native.get("action", ""), native.get("cfgpath", "")) if part) or native.get(
        "logdesc", "event"
    )
    values = ocsf.template(ocsf.API_ACTIVITY, activity_of(native.get("action", "")), *_PRODUCT, status)
    if values["activity_id"] == ocsf.OTHER:
        values["activity_name"] = operation[:100]
    values |= {
        "actor.user.name": user,
        "api.operation": operation,
        "api.service.name": native.get("cfgpath") or "fortios",
        where: address,
    }
    if where != "src_endpoint.ip":
        values["src_endpoint.svc_name"] = address
    if name := native.get("cfgobj"):
        values["resources"] = [{"name": name, "type": native.get("cfgpath", "")}]
    return values


_HEAD = 'date=2026-03-04 time=10:00:00 devname="fw-01" devid="FG1" eventtime=1772618400000000000 tz="+0000" '
PARSER = Parser(
    id="fortigate",
    title="FortiGate firewall",
    logsource=LogSource("fortigate", ""),
    parse=parse,
    prefixes=("date=",),
    sniff=lambda text: "logid=" in text[:400] and "devid=" in text[:400],
    rank=25,
    samples=(
        Sample(
            _HEAD + 'logid="0000000013" type="traffic" subtype="forward" level="notice" vd="root" srcip=192.0.2.7 srcport=4242 dstip=198.51.100.9 dstport=445 proto=6 action="deny" policyid=0 sentbyte=0',
            ocsf.NETWORK_ACTIVITY,
            {"activity_id": 5, "status_id": 2, "src_endpoint.ip": "192.0.2.7", "dst_endpoint.port": 445, "connection_info.protocol_name": "tcp"},
            {"action": "deny", "src_ip": "192.0.2.7", "blocked": "true"},
            time="2026-03-04T10:00:00Z",
            host="fw-01",
        ),
        Sample(
            _HEAD + 'logid="0100044546" type="event" subtype="system" level="information" vd="root" user="ana" ui="ssh(192.0.2.7)" action="Add" cfgpath="firewall.policy" cfgobj="7" msg="Add firewall.policy 7"',
            ocsf.API_ACTIVITY,
            {"activity_id": 1, "actor.user.name": "ana", "api.operation": "Add firewall.policy", "resources": [{"name": "7", "type": "firewall.policy"}]},
            {"cfgpath": "firewall.policy", "action": "Add"},
        ),
        Sample(
            _HEAD + 'logid="0100032002" type="event" subtype="system" user="eve" srcip=192.0.2.7 method="ssh" action="login" status="failed" reason="passwd_invalid" msg="failed"',
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "eve", "service.name": "ssh", "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample("date=today time=now", None),
    ),
)  # fmt: skip
