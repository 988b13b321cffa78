"""Palo Alto Networks firewalls: traffic, threat, system, config and GlobalProtect logs as comma-separated syslog.

Format: https://docs.paloaltonetworks.com/ngfw/administration/monitoring/use-syslog-for-monitoring/syslog-field-descriptions
"""

from __future__ import annotations

import csv
from typing import Any

from watchbill.content import connections
from watchbill.content.audit_logs import activity_of
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_HEAD = "future,receive_time,serial,type,subtype,config_version,time_generated"
_FLOW = (
    f"{_HEAD},src,dst,natsrc,natdst,rule,srcuser,dstuser,app,vsys,from,to,inbound_if,outbound_if,logset,future2,sessionid,repeatcnt,"
    "sport,dport,natsport,natdport,flags,proto,action"
)
_NAMES = {
    "TRAFFIC": f"{_FLOW},bytes,bytes_sent,bytes_received,packets,start,elapsed,category".split(","),
    "THREAT": f"{_FLOW},misc,threatid,category,severity,direction".split(","),
    "SYSTEM": f"{_HEAD},vsys,eventid,object,future2,future3,module,severity,opaque".split(","),
    "CONFIG": f"{_HEAD},host,vsys,cmd,admin,client,result,path".split(","),
    "GLOBALPROTECT": f"{_HEAD},vsys,eventid,stage,auth_method,tunnel_type,srcuser,srcregion,machinename,public_ip,public_ipv6,private_ip,private_ipv6".split(","),
}  # fmt: skip
_PRODUCT = ("PAN-OS", "Palo Alto Networks")
_LONGEST = 16_384
_PROTOCOLS = frozenset({"tcp", "udp", "icmp"})


def parse(line: Line) -> Event | None:
    """Translate one record; the header of a relay before its first comma is skipped."""
    if line.text.count(",") < 8 or len(line.text) > _LONGEST:
        return None
    try:
        row = next(csv.reader([line.text.replace("\n", " ")]), [])
    except csv.Error:
        return None
    kind = row[3] if len(row) > 8 else ""
    names = _NAMES.get(kind)
    if names is None or not row[2].strip():
        return None
    native: dict[str, Any] = {name: value for name, value in zip(names, row, strict=False) if value}
    native["future"] = native.get("future", "")[-1:]
    match kind:
        case "TRAFFIC" | "THREAT":
            values, category = _flow(native), "firewall"
        case "CONFIG":
            values, category = _config(native), ""
        case "GLOBALPROTECT":
            values, category = _tunnel(native), ""
        case _:
            values, category = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, *_PRODUCT), ""
            values["message"] = native.get("opaque", line.text)[:2_048]
    # The firewall writes its own local time without a zone: the time of the transport is the better one.
    service = kind.lower()
    return Event(
        values["class_uid"],
        values,
        native,
        line.text,
        logsource=LogSource("paloalto", service, category or "appliance"),
    )


def _flow(native: dict[str, Any]) -> dict[str, Any]:
    action = native.get("action", "")
    refused = action not in {"allow", "alert", "continue", "override", ""}
    values = ocsf.template(
        ocsf.NETWORK_ACTIVITY, 5 if refused else 6, *_PRODUCT, ocsf.FAILURE if refused else ocsf.SUCCESS
    )
    values["severity_id"] = 1 if native.get("severity", "informational") in {"informational", "low"} else 3
    values |= connections.endpoints(native.get("src"), native.get("sport"), native.get("dst"), native.get("dport"))
    proto = native.get("proto", "")
    values |= connections.protocol(proto if proto in _PROTOCOLS else "")
    if threat := native.get("threatid"):
        values["status_detail"] = threat[:400]
    if user := native.get("srcuser"):
        values["actor.user.name"] = user
    for name, there in (("bytes_sent", "traffic.bytes_out"), ("bytes_received", "traffic.bytes_in")):
        if (text := native.get(name, "")).isdigit() and len(text) < 19:
            values[there] = int(text)
    native |= {
        "src_ip": native.get("src", ""),
        "dst_ip": native.get("dst", ""),
        "blocked": "true" if refused else "false",
    }
    for name, there in (("src_port", "sport"), ("dst_port", "dport")):
        if there in native:
            native[name] = native[there]
    return values


def _config(native: dict[str, Any]) -> dict[str, Any]:
    failed = native.get("result") not in {"Succeeded", "Submitted", None}
    operation = native.get("cmd", "unknown")
    values = ocsf.template(
        ocsf.API_ACTIVITY, activity_of(operation), *_PRODUCT, ocsf.FAILURE if failed else ocsf.SUCCESS
    )
    if values["activity_id"] == ocsf.OTHER:
        values["activity_name"] = operation[:100]
    where, address = ocsf.source(native.get("host") or "unknown")
    values |= {
        "actor.user.name": native.get("admin", "unknown"),
        "api.operation": operation,
        "api.service.name": "pan-os",
        where: address,
    }
    if where != "src_endpoint.ip":
        values["src_endpoint.svc_name"] = address
    if path := native.get("path"):
        values["resources"] = [{"name": path, "type": "configuration"}]
    return values


def _tunnel(native: dict[str, Any]) -> dict[str, Any]:
    event = native.get("eventid", "")
    failed = "fail" in event
    where, address = ocsf.source(native.get("public_ip") or "unknown")
    values = ocsf.template(
        ocsf.AUTHENTICATION, 2 if "logout" in event else 1, *_PRODUCT, ocsf.FAILURE if failed else ocsf.SUCCESS
    )
    values |= {
        "user.name": native.get("srcuser", "unknown"),
        "service.name": "globalprotect",
        "is_remote": True,
        where: address,
    }
    return values


_TIMES = "2026/03/04 10:00:00"
PARSER = Parser(
    id="paloalto",
    title="Palo Alto Networks firewalls",
    logsource=LogSource("paloalto", ""),
    parse=parse,
    sniff=lambda text: any(f",{kind}," in text[:160] for kind in _NAMES),
    rank=44,
    samples=(
        Sample(
            f"1,{_TIMES},0011,TRAFFIC,drop,2305,{_TIMES},192.0.2.7,198.51.100.9,0.0.0.0,0.0.0.0,deny-all,,,ssl,vsys1,trust,untrust,e1,e2,Default,{_TIMES},7,1,4242,443,0,0,0x0,tcp,deny,120,120,0,1,{_TIMES},0,any",
            ocsf.NETWORK_ACTIVITY,
            {"activity_id": 5, "status_id": 2, "src_endpoint.ip": "192.0.2.7", "dst_endpoint.port": 443, "traffic.bytes_out": 120},
            {"action": "deny", "rule": "deny-all", "dst_port": "443"},
        ),
        Sample(
            f"1,{_TIMES},0011,CONFIG,0,2305,{_TIMES},192.0.2.7,,delete,ana,Web,Succeeded,config rules web",
            ocsf.API_ACTIVITY,
            {"activity_id": 4, "actor.user.name": "ana", "api.operation": "delete", "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            f"1,{_TIMES},0011,GLOBALPROTECT,0,2305,{_TIMES},vsys1,gateway-auth-failed,login,LDAP,,eve,DE,pc-01,192.0.2.7,0.0.0.0",
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "eve", "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample("a,b,c,TRAFFIC,d", None),
    ),
)  # fmt: skip
