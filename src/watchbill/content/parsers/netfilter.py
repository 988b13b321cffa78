"""Linux packet filter: lines of iptables' and nftables' LOG targets, and of ufw, in the kernel's log.

Format: https://ipset.netfilter.org/iptables-extensions.man.html (LOG)
"""

from __future__ import annotations

import re

from watchbill.content import connections
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_START = re.compile(r"(?:\[ *\d+\.\d+\] ?)?(.{0,80}?)IN=(\S*) OUT=(\S*) ")
_PAIR = re.compile(r"([A-Z0-9]{2,10})=(\S*)")
#: Words of a prefix that tell what became of the packet; the administrator chose them.
_DENIED = re.compile(r"BLOCK|DROP|DENY|DENIED|REJECT|INVALID|LIMIT", re.IGNORECASE)
_ALLOWED = re.compile(r"ALLOW|ACCEPT|PERMIT|AUDIT", re.IGNORECASE)


def parse(line: Line) -> Event | None:
    """Translate one packet. Whether it was let through is the word of the prefix, if there is one."""
    text = line.text
    start = _START.match(text)
    if not start or " SRC=" not in text or " PROTO=" not in text:
        return None
    prefix, inside, outside = (part.strip(" :[]-") for part in start.groups())
    # What stands in brackets is the packet that an ICMP error is about.
    fields = dict(reversed(_PAIR.findall(text[start.end(1) :].partition(" [SRC=")[0])))
    denied = bool(_DENIED.search(prefix))
    allowed = not denied and bool(_ALLOWED.search(prefix))
    values = ocsf.template(
        ocsf.NETWORK_ACTIVITY, 5 if denied else 6, "netfilter", "Linux", ocsf.FAILURE if denied else ocsf.UNKNOWN
    )
    values["severity_id"] = 1  # the internet knocks all day long
    values |= connections.endpoints(fields.get("SRC"), fields.get("SPT"), fields.get("DST"), fields.get("DPT"))
    direction = (
        connections.INBOUND
        if inside and not outside
        else connections.OUTBOUND
        if outside and not inside
        else connections.UNKNOWN
    )
    values |= connections.protocol(fields.get("PROTO", ""), direction)
    if prefix:
        values["status_detail"] = prefix
    native = {
        **fields,
        "src_ip": fields.get("SRC", ""),
        "dst_ip": fields.get("DST", ""),
        "protocol": fields.get("PROTO", "").lower(),
        "prefix": prefix,
        "IN": inside,
        "OUT": outside,
    }
    for name, there in (("src_port", "SPT"), ("dst_port", "DPT")):
        if fields.get(there):
            native[name] = fields[there]
    if denied or allowed:
        native["action"] = "deny" if denied else "allow"
        native["blocked"] = "true" if denied else "false"
    return Event(ocsf.NETWORK_ACTIVITY, values, native, text)


_PACKET = (
    "IN=eth0 OUT= MAC=00:00:5e:00:53:01:00:00:5e:00:53:02:08:00 SRC=192.0.2.7 DST=198.51.100.9 LEN=60 TOS=0x00 PREC=0x00 TTL=52 ID=1 DF PROTO=TCP "
    "SPT=4242 DPT=445 WINDOW=64240 RES=0x00 SYN URGP=0"
)
PARSER = Parser(
    id="netfilter",
    title="Linux packet filter (iptables, nftables, ufw)",
    logsource=LogSource("linux", "netfilter", "firewall"),
    parse=parse,
    apps=("kernel",),
    sniff=lambda text: "IN=" in text[:140] and " PROTO=" in text,
    rank=30,
    samples=(
        Sample(
            f"Mar  4 10:00:00 fw-01 kernel: [12345.678901] [UFW BLOCK] {_PACKET}",
            ocsf.NETWORK_ACTIVITY,
            {
                "activity_id": 5, "status_id": 2, "src_endpoint.ip": "192.0.2.7", "dst_endpoint.port": 445, "connection_info.protocol_num": 6,
                "connection_info.direction_id": 1, "status_detail": "UFW BLOCK",
            },
            {"src_ip": "192.0.2.7", "dst_port": "445", "action": "deny", "blocked": "true"},
            host="fw-01",
        ),
        Sample(f"Mar  4 10:00:00 fw-01 kernel: accepted: {_PACKET}", ocsf.NETWORK_ACTIVITY, {"activity_id": 6}, {"action": "allow"}),
        Sample(
            "Mar  4 10:00:00 fw-01 kernel: IN=eth0 OUT= SRC=2001:db8::7 DST=2001:db8::9 LEN=80 PROTO=ICMPv6 TYPE=128 CODE=0",
            ocsf.NETWORK_ACTIVITY,
            {"src_endpoint.ip": "2001:db8::7", "connection_info.protocol_num": 58},
        ),
        Sample("Mar  4 10:00:00 fw-01 kernel: usb 1-1: new device", None),
    ),
)  # fmt: skip
