"""Cisco IOS, IOS XE, NX-OS and ASA/FTD: the messages "%FACILITY-SEVERITY-MNEMONIC: text" in syslog.

Formats: https://www.cisco.com/c/en/us/td/docs/security/asa/syslog/b_syslog.html and the system message guides of IOS.
"""

from __future__ import annotations

import re
from typing import Any

from watchbill.content import connections
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_MESSAGE = re.compile(
    r"(.{0,160}?)%([A-Z][A-Z0-9_]{1,40})(?:-[A-Za-z0-9_]{1,40})?-([0-8])-([A-Z0-9_]{1,60}):? ?(.*)", re.DOTALL
)
#: ASA: "src inside:192.0.2.7/4242 dst outside:198.51.100.9/53", "for outside:… to inside:…", "from … to …".
_ENDS = re.compile(
    r"\b(?:src|from|for) (?:[\w-]{1,60}:)?([0-9A-Fa-f.:]{2,45}?)(?:/(\d+))? .{0,80}?(?:dst|to) (?:[\w-]{1,60}:)?([0-9A-Fa-f.:]{2,45}?)(?:/(\d+))?(?=[\s(,\[]|$)"
)
#: Access lists: "list 177 denied tcp 192.0.2.7(4242) -> 198.51.100.9(53)", "access-list X permitted tcp inside/…(…) -> …".
_LIST = re.compile(
    r"list (\S+) (denied|permitted|est-allowed) (\w+) (?:[\w-]{1,60}/)?([0-9A-Fa-f.:]{2,45})(?:\((\d+)\))?[^>]{0,60}-> (?:[\w-]{1,60}/)?([0-9A-Fa-f.:]{2,45})(?:\((\d+)\))?"
)
_PROTOCOL = re.compile(r"\b(?:(tcp|udp|icmp)\b|protocol (\d{1,3})\b)", re.IGNORECASE)
_LOGIN = re.compile(
    r"\[user: ?([^\]]*)\] \[Source: ?([^\]]*)\]|user '?([\w.@\\-]{1,80})'?.{0,40}?(?:IP|from|address) <?([0-9A-Fa-f.:]{2,45})",
    re.IGNORECASE,
)
_COMMAND = re.compile(
    r"(?:User:(\S+) +logged command:|User '([^']+)'.{0,60}? executed the '|User '([^']+)', running '[^']*'.{0,40}?executed )(.*)"
)
_DENIES = re.compile(r"\b(?:deny|denied|dropped|blocked|refused|no matching connection)\b", re.IGNORECASE)
#: ASA messages that tell of a sign-in: number to whether it worked.
_SIGN_INS = {
    "LOGIN_SUCCESS": True, "LOGIN_FAILED": False, "WEBLOGIN_SUCCESS": True, "WEBLOGIN_FAILED": False, "605004": False, "605005": True,
    "113004": True, "113005": False, "113015": False, "611101": True, "611102": False, "716039": False, "716038": True,
}  # fmt: skip
_FIREWALLS = frozenset({"ASA", "FTD", "PIX"})


def parse(line: Line) -> Event | None:
    """Translate one message; what is known of its text beyond the header depends on the mnemonic."""
    found = _MESSAGE.match(line.text)
    if not found:
        return None
    _, facility, severity, mnemonic, text = found.groups()
    native: dict[str, Any] = {"facility": facility, "severity": severity, "mnemonic": mnemonic, "message": text}
    product = ("ASA" if facility in _FIREWALLS else "IOS", "Cisco")
    if mnemonic in _SIGN_INS:
        values = _sign_in(native, text, _SIGN_INS[mnemonic], product)
    elif command := _COMMAND.search(text):
        values = _command(native, command, product)
    elif ends := _LIST.search(text):
        rule, verdict, proto, *addresses = ends.groups()
        native["rule"] = rule
        values = _flow(native, proto, addresses, product, denied=verdict == "denied")
    elif facility in _FIREWALLS and (ends := _ENDS.search(text)):
        named = _PROTOCOL.search(text)
        proto = (named[1] or named[2]).lower() if named else ""
        values = _flow(native, proto, list(ends.groups()), product, denied=bool(_DENIES.search(text)))
    else:
        values = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, *product)
        values["message"] = line.text[:2_048]
    values["metadata.event_code"] = f"{facility}-{severity}-{mnemonic}"
    firewall = values["class_uid"] == ocsf.NETWORK_ACTIVITY
    service = "aaa" if "command" in native else _service(facility, text)
    return Event(
        values["class_uid"], values, native, line.text, logsource=LogSource("cisco", service, "firewall" if firewall else "")
    )  # fmt: skip


def _service(facility: str, text: str) -> str:
    """Sigma's service: routing protocols that authenticate their peers have one of their own."""
    if facility in {"BGP", "LDP"}:
        return facility.lower()
    return "bgp" if facility in {"TCP", "IP"} and ":179" in text else "ldp" if ":646" in text else "syslog"


def _sign_in(native: dict[str, Any], text: str, worked: bool, product: tuple[str, str]) -> dict[str, Any]:
    values = ocsf.template(ocsf.AUTHENTICATION, 1, *product, ocsf.SUCCESS if worked else ocsf.FAILURE)
    found = _LOGIN.search(text)
    user, address = ((found[1] or found[3] or ""), (found[2] or found[4] or "")) if found else ("", "")
    where, canonical = ocsf.source(address or "unknown")
    values |= {"user.name": user or "unknown", "service.name": "console", "is_remote": bool(address), where: canonical}
    native |= {"user": user, "src_ip": address}
    return values


def _command(native: dict[str, Any], found: re.Match[str], product: tuple[str, str]) -> dict[str, Any]:
    user = found[1] or found[2] or found[3] or "unknown"
    command = found[4].strip().strip("'").removesuffix("' command.").removesuffix("' command").strip()
    native |= {"user": user, "command": command}
    values = ocsf.template(ocsf.API_ACTIVITY, ocsf.OTHER, *product, ocsf.SUCCESS)
    values |= {
        "activity_name": "Command", "actor.user.name": user, "api.operation": command[:1_000], "api.service.name": "cli",
        "src_endpoint.hostname": "unknown", "src_endpoint.svc_name": "unknown",
    }  # fmt: skip
    return values


def _flow(
    native: dict[str, Any], proto: str, ends: list[str | None], product: tuple[str, str], *, denied: bool
) -> dict[str, Any]:  # fmt: skip
    values = ocsf.template(
        ocsf.NETWORK_ACTIVITY, 5 if denied else 6, *product, ocsf.FAILURE if denied else ocsf.UNKNOWN
    )
    values["severity_id"] = 1
    values |= connections.endpoints(*ends) | connections.protocol(proto)
    names = ("src_ip", "src_port", "dst_ip", "dst_port")
    native |= {name: value for name, value in zip(names, ends, strict=True) if value}
    native |= {"protocol": proto, "action": "deny" if denied else "allow", "blocked": "true" if denied else "false"}
    return values


PARSER = Parser(
    id="cisco",
    title="Cisco IOS, NX-OS and ASA messages",
    logsource=LogSource("cisco", "syslog"),
    parse=parse,
    prefixes=("%ASA-", "%FTD-", "%SEC", "%SYS-"),
    sniff=lambda text: "%" in text[:160] and _MESSAGE.match(text) is not None,
    rank=45,
    samples=(
        Sample(
            '%ASA-4-106023: Deny tcp src dmz:192.0.2.7/4242 dst outside:198.51.100.9/53 by access-group "acl_dmz" [0xe3aab522, 0x0]',
            ocsf.NETWORK_ACTIVITY,
            {"activity_id": 5, "status_id": 2, "src_endpoint.ip": "192.0.2.7", "dst_endpoint.port": 53, "connection_info.protocol_name": "tcp"},
            {"action": "deny", "mnemonic": "106023"},
        ),
        Sample(
            "585917: Mar  4 10:00:00.272: %SEC-6-IPACCESSLOGP: list 177 denied tcp 192.0.2.7(4242) -> 198.51.100.9(23), 1 packet",
            ocsf.NETWORK_ACTIVITY,
            {"activity_id": 5, "dst_endpoint.port": 23},
            {"rule": "177"},
        ),
        Sample(
            "%SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: eve] [Source: 192.0.2.7] [localport: 22] [Reason: Login Authentication Failed]",
            ocsf.AUTHENTICATION,
            {"activity_id": 1, "status_id": 2, "user.name": "eve", "src_endpoint.ip": "192.0.2.7"},
        ),
        Sample(
            "%PARSER-5-CFGLOG_LOGGEDCMD: User:ana  logged command:no logging host 192.0.2.50",
            ocsf.API_ACTIVITY,
            {"actor.user.name": "ana", "api.operation": "no logging host 192.0.2.50"},
            {"command": "no logging host 192.0.2.50"},
        ),
        Sample("%TCP-6-BADAUTH: No MD5 digest from 192.0.2.7(4242) to 198.51.100.9:179", ocsf.BASE, {"metadata.event_code": "TCP-6-BADAUTH"}),
        Sample("%LDP-5-NBRCHG: LDP Neighbor 192.0.2.7:0 (1) is DOWN", ocsf.BASE, {"metadata.event_code": "LDP-5-NBRCHG"}),
        Sample("%LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down", ocsf.BASE, {"metadata.event_code": "LINK-3-UPDOWN"}),
        Sample("100% of 7-3 done", None),
    ),
)  # fmt: skip
