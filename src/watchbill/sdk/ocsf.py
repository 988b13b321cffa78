"""OCSF 1.8 building blocks for parsers: the constant part of an event, endpoints, and the activities by name.

Source: https://schema.ocsf.io/1.8.0 . An event is flat: dotted attribute paths to plain values. A parser makes its
templates once, when it is imported, and copies them: ``{**TEMPLATE, "user.name": name}``. The normaliser adds
``time`` and the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any

VERSION = "1.8.0"

BASE = 0
FILE_ACTIVITY = 1001
SCHEDULED_JOB_ACTIVITY = 1006
PROCESS_ACTIVITY = 1007
EVENT_LOG_ACTIVITY = 1008
ACCOUNT_CHANGE = 3001
AUTHENTICATION = 3002
GROUP_MANAGEMENT = 3006
NETWORK_ACTIVITY = 4001
HTTP_ACTIVITY = 4002
DNS_ACTIVITY = 4003
SSH_ACTIVITY = 4007
APPLICATION_LIFECYCLE = 6002
API_ACTIVITY = 6003

UNKNOWN = 0
SUCCESS = 1
FAILURE = 2
OTHER = 99


def template(
    class_uid: int,
    activity_id: int,
    product: str,
    vendor: str,
    status_id: int = UNKNOWN,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the attributes that all events of one kind share; a failure is of severity 2 (low), the rest is 1."""
    return {
        "class_uid": class_uid,
        "category_uid": class_uid // 1000,
        "activity_id": activity_id,
        "type_uid": class_uid * 100 + activity_id,
        "severity_id": 2 if status_id == FAILURE else 1,
        "status_id": status_id,
        "metadata.version": VERSION,
        "metadata.product.name": product,
        "metadata.product.vendor_name": vendor,
        **(extra or {}),
    }


@lru_cache(maxsize=16_384)
def canonical_ip(text: str) -> str:
    """Spell an IP address canonically (IPv4 in IPv6 becomes IPv4); "" when the text is no address."""
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


@lru_cache(maxsize=16_384)
def source(text: str) -> tuple[str, str]:
    """Return the attribute and the value by which a peer is known: an address, else a host name."""
    address = canonical_ip(text)
    return ("src_endpoint.ip", address) if address else ("src_endpoint.hostname", text)
