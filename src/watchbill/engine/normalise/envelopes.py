"""Records that came in another protocol's envelope: Splunk HEC events and OpenTelemetry log records.

What is inside is read as if it had come alone, so that a line of sshd is one of sshd whoever carried it. What the
envelope says besides (time, host, severity, attributes) completes the event and never overrides what the record says
of itself, the time excepted: the envelope's is exact, a syslog line's lacks year and zone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from watchbill.engine.normalise.jsontext import Flawed, decode_object
from watchbill.engine.normalise.text import decode_json
from watchbill.sdk import Event, Line, flat, ocsf

#: Splunk's names of formats to parsers' ids, where they differ; what stands before a colon is tried, too.
_SOURCETYPES = {
    "access_combined": "apache", "access_common": "apache", "access_combined_wcookie": "apache",
    "linux_audit": "auditd", "aws:cloudtrail": "cloudtrail",
}  # fmt: skip
#: OpenTelemetry's severity numbers (1 to 24, in fours) to syslog's, after the data model's appendix B.
_SEVERITIES = (7, 7, 7, 7, 7, 7, 7, 7, 6, 5, 5, 5, 4, 4, 4, 4, 3, 2, 1, 1, 0, 0, 0, 0)
#: … and to OCSF's: informational, informational, informational, low, high, fatal for each four.
_OCSF = (1, 1, 1, 2, 4, 6)
_HOSTS = ("host.name", "k8s.node.name", "host.id", "net.host.name")
_OTLP_NAMES = {"TraceId": "trace_id", "SpanId": "span_id", "EventName": "event_name", "SeverityText": "severity_text"}


class Letter(NamedTuple):
    """An opened envelope: the record inside, and what was said of it. Times in UTC nanoseconds; unsaid is empty."""

    raw: bytes
    format: str = ""
    time: int = 0
    host: str = ""
    app: str = ""
    pid: str = ""
    severity: int = -1
    ocsf_severity: int = 0
    values: Mapping[str, Any] = {}

    def address(self, line: Line) -> None:
        """Complete the line before a parser reads it."""
        line.time = self.time or line.time
        line.host = line.host or self.host
        line.app = line.app or self.app
        line.pid = line.pid or self.pid
        if line.severity < 0:
            line.severity = self.severity

    def complete(self, event: Event) -> None:
        """Add what the envelope says to what came of the record."""
        if self.ocsf_severity and event.class_uid == ocsf.BASE:
            event.ocsf["severity_id"] = self.ocsf_severity
        for name, value in self.values.items():
            event.ocsf.setdefault(f"unmapped.{name}", value)
            event.native.setdefault(name, value)


def format_of(sourcetype: str) -> str:
    """The parser's id that Splunk's name of a format stands for; one that is none does no harm."""
    return _SOURCETYPES.get(sourcetype) or sourcetype.partition(":")[0]


def open_hec(raw: bytes) -> Letter:
    """Open {"time", "host", "source", "sourcetype", "index", "event", "fields"}. Raises Flawed."""
    data = decode_object(decode_json(raw))
    fields = data.get("fields")
    values = {name: data[name] for name in ("source", "sourcetype", "index") if isinstance(data.get(name), str)}
    if isinstance(fields, dict):
        values |= flat.flatten(fields)
    return Letter(
        _inside(data.get("event")),
        format=format_of(values.get("sourcetype", "")),
        time=_epoch(data.get("time")),
        host=_text(data.get("host")),
        values=values,
    )


def open_otlp(raw: bytes) -> Letter:
    """Open a log record as the OTLP receiver spells it (OpenTelemetry's log data model). Raises Flawed."""
    data = decode_object(decode_json(raw))
    resource, attributes = _object(data.get("Resource")), _object(data.get("Attributes"))
    number = data.get("SeverityNumber")
    number = number if isinstance(number, int) and 1 <= number <= len(_SEVERITIES) else 0
    values: dict[str, Any] = {name: data[key] for key, name in _OTLP_NAMES.items() if data.get(key)}
    values |= flat.flatten(attributes)
    values |= {f"resource.{name}": value for name, value in flat.flatten(resource).items()}
    inside = data.get("Body")
    if inside in (None, ""):
        inside = data.get("EventName") or attributes or ""
    return Letter(
        _inside(inside),
        time=_whole(data.get("Timestamp")) or _whole(data.get("ObservedTimestamp")),
        host=next((_text(resource[name]) for name in _HOSTS if resource.get(name)), ""),
        app=_text(resource.get("service.name")),
        pid=_text(resource.get("process.pid") or attributes.get("process.pid")),
        severity=_SEVERITIES[number - 1] if number else -1,
        ocsf_severity=_OCSF[(number - 1) // 4] if number else 0,
        values=values,
    )


#: By the source's fact "envelope".
OPENERS: dict[str, Callable[[bytes], Letter]] = {"hec": open_hec, "otlp": open_otlp}


def open_envelope(kind: str, raw: bytes) -> tuple[Letter, str]:
    """Open a record's envelope; the second value is the reason for quarantine, "" for a good one."""
    try:
        return OPENERS[kind](raw), ""
    except Flawed as error:
        return Letter(raw), str(error)


def _inside(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace")
    return b"" if value is None else orjson.dumps(value)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.isprintable() else ""


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 62 else 0


def _epoch(value: Any) -> int:
    """HEC's time: seconds since 1970 with a fraction, as a number or as text."""
    try:
        number = float(value) if isinstance(value, (str, float)) else _whole(value)
    except ValueError:
        return 0
    return flat.epoch_ns(number) if 0 < number < 1 << 62 else 0
