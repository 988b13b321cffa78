"""What firewalls, sensors and resolvers share: who talked to whom, by which protocol, and whether it was let through."""

from __future__ import annotations

from typing import Any

from watchbill.sdk import ocsf

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "icmp6": 58, "icmpv6": 58, "sctp": 132}
_NAMES = {number: name for name, number in _PROTOCOLS.items() if name != "icmp6"}
INBOUND, OUTBOUND, UNKNOWN = 1, 2, 0


def endpoints(source: Any, source_port: Any, target: Any, target_port: Any) -> dict[str, Any]:
    """The two ends; an address that is none is kept as a name, a port that is none is left out."""
    values: dict[str, Any] = {}
    for side, address, port in (("src_endpoint", source, source_port), ("dst_endpoint", target, target_port)):
        if isinstance(address, str) and address:
            canonical = ocsf.canonical_ip(address)
            values[f"{side}.ip" if canonical else f"{side}.hostname"] = canonical or address
        if (number := port_of(port)) is not None:
            values[f"{side}.port"] = number
    if "src_endpoint.ip" not in values and "dst_endpoint.ip" not in values:
        values.setdefault("src_endpoint.hostname", "unknown")
    return values


def port_of(value: Any) -> int | None:
    """A port of 0 to 65535, from a number or its digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65_535 else None


def protocol(name: Any, direction: int = UNKNOWN) -> dict[str, Any]:
    """The protocol by its name or its number at IANA."""
    text = str(name).lower()
    values: dict[str, Any] = {"connection_info.direction_id": direction}
    if text.isdigit() and len(text) < 4:
        values["connection_info.protocol_num"] = int(text)
        text = _NAMES.get(int(text), "")
    elif text in _PROTOCOLS:
        values["connection_info.protocol_num"] = _PROTOCOLS[text]
    if text and text != "none":
        values["connection_info.protocol_name"] = text[:40]
    return values
