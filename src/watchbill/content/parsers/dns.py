"""Queries as resolvers log them: BIND, dnsmasq, unbound, CoreDNS.

Formats: https://bind9.readthedocs.io/en/stable/reference.html (the "queries" category),
https://thekelleys.org.uk/dnsmasq/docs/dnsmasq-man.html (--log-queries), https://coredns.io/plugins/log/
"""

from __future__ import annotations

import re

from watchbill.content import connections
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_BIND = re.compile(
    r"(?:.{0,60}?queries: (?:info: )?)?client (?:@0x[0-9a-f]+ )?([0-9A-Fa-f.:]+)#(\d+)(?: \([^)]{0,255}\))?: (?:view \S+: )?query: (\S+) (\S+) (\S+)"
)
_DNSMASQ = re.compile(
    r"(?:\d+ [0-9A-Fa-f.:]+/\d+ )?(query\[(\w+)\]|reply|cached|forwarded|config|/\S+) (\S+) (from|is|to) (\S+)"
)
_UNBOUND = re.compile(r"(?:\[\d+:\w+\] )?(?:info: )?([0-9A-Fa-f.:]+) (\S+)\. (\w+) (\w+)(?: (\w+) \S+ \S+ \S+)?$")
_COREDNS = re.compile(
    r'(?:\S+ )?\[INFO\] (\[[0-9A-Fa-f:]+\]|[0-9.]+):(\d+) - \d+ "(\S+) (\S+) (\S+)\. (\w+) \d+ \S+ \d+" (\w+)'
)


def parse(line: Line) -> Event | None:
    """Translate one query, or the answer that dnsmasq tells on a line of its own."""
    text = line.text
    if line.data is not None:
        inner = line.data.get("message", line.data.get("log"))
        text = inner.strip() if isinstance(inner, str) else ""
    if found := _COREDNS.match(text):
        address, port, kind, _, name, proto, code = found.groups()
        return _event(line, name, kind, address.strip("[]"), port, code=code, proto=proto, service="coredns")
    if found := _BIND.match(text):
        address, port, name, _, kind = found.groups()
        return _event(line, name, kind, address, port, service="bind")
    if line.app == "dnsmasq" and (found := _DNSMASQ.match(text)):
        what, kind, name, _, other = found.groups()
        if kind:
            return _event(line, name, kind, other, None, service="dnsmasq")
        if what == "forwarded":
            return None
        return _event(line, name, "", "", None, answer=other, service="dnsmasq")
    if line.app == "unbound" and (found := _UNBOUND.match(text)):
        address, name, kind, _, code = found.groups()
        return _event(line, name, kind, address, None, code=code or "", service="unbound")
    return None


def _event(
    line: Line, name: str, kind: str, client: str, port: str | None, *, service: str, code: str = "", answer: str = "",
    proto: str = "",
) -> Event:  # fmt: skip
    status = (ocsf.SUCCESS if code == "NOERROR" else ocsf.FAILURE) if code else ocsf.UNKNOWN
    values = ocsf.template(ocsf.DNS_ACTIVITY, 2 if code or answer else 1, service, "unknown", status)
    values["severity_id"] = 1  # a name that does not exist is nothing to worry about by itself
    name = name.rstrip(".") or "."
    values["query.hostname"] = name
    native = {"query": name, "service": service}
    if kind:
        values["query.type"] = kind
        native["record_type"] = kind
    if client:
        values |= connections.endpoints(client, port, None, None)
        native["src_ip"] = client
    else:
        values["src_endpoint.hostname"] = "unknown"
    if code:
        values["rcode"] = native["rcode"] = code
    if answer:
        values["answers"] = [{"rdata": answer}]
        native["answer"] = answer
    if proto:
        native["protocol"] = proto
    return Event(ocsf.DNS_ACTIVITY, values, native, line.text)


PARSER = Parser(
    id="dns",
    title="Queries of resolvers (BIND, dnsmasq, unbound, CoreDNS)",
    logsource=LogSource("", "dns", "dns"),
    parse=parse,
    apps=("named", "dnsmasq", "unbound", "coredns"),
    sniff=lambda text: ": query: " in text[:400] or "[INFO] " in text[:60],
    keys=(frozenset({"message", "stream", "time", "kubernetes"}),),
    rank=40,
    samples=(
        Sample(
            "Mar  4 10:00:00 ns-01 named[7]: client @0x7f00 192.0.2.7#4242 (www.example.com): query: www.example.com IN A +E(0)K (192.0.2.53)",
            ocsf.DNS_ACTIVITY,
            {"activity_id": 1, "query.hostname": "www.example.com", "query.type": "A", "src_endpoint.ip": "192.0.2.7", "src_endpoint.port": 4242},
            {"query": "www.example.com", "record_type": "A"},
            host="ns-01",
        ),
        Sample("Mar  4 10:00:00 ns-01 dnsmasq[7]: query[TXT] x.example.com from 192.0.2.7", ocsf.DNS_ACTIVITY, {"query.type": "TXT"}),
        Sample("Mar  4 10:00:00 ns-01 dnsmasq[7]: reply x.example.com is 198.51.100.9", ocsf.DNS_ACTIVITY, {"activity_id": 2}, {"answer": "198.51.100.9"}),
        Sample("Mar  4 10:00:00 ns-01 unbound[7]: [7:0] info: 192.0.2.7 x.example.com. AAAA IN", ocsf.DNS_ACTIVITY, {"query.hostname": "x.example.com"}),
        Sample(
            '[INFO] 192.0.2.7:4242 - 7 "A IN www.example.com. udp 43 false 512" NXDOMAIN qr,rd,ra 136 0.0001s',
            ocsf.DNS_ACTIVITY,
            {"activity_id": 2, "status_id": 2, "rcode": "NXDOMAIN"},
        ),
        Sample("Mar  4 10:00:00 ns-01 named[7]: zone example.com/IN: loaded serial 7", None),
    ),
)  # fmt: skip
