"""Any other syslog message or plain line: kept as an OCSF Base Event, searchable, without a meaning given to it."""

from __future__ import annotations

import re
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_PAIR = re.compile(r'(?<!\S)([A-Za-z][\w.-]{0,40})=("(?:[^"\\]|\\.)*+"|[^\s,;]*)')
_MOST = 40
# RFC 5424 severities 0-7 to OCSF severity_id.
_SEVERITIES = (6, 5, 5, 4, 3, 2, 1, 1)
_BASE = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "syslog", "unknown")


def parse(line: Line) -> Event | None:
    """Keep the message, and key=value pairs as unmapped.<key> (at most 40 of them)."""
    text = line.text
    values: dict[str, Any] = {**_BASE, "message": text}
    native: dict[str, Any] = {"program": line.app, "pid": line.pid, "host": line.host}
    if line.app:
        values["unmapped.program"] = line.app
    if line.pid:
        values["unmapped.pid"] = line.pid
    if 0 <= line.severity <= 7:
        values["severity_id"] = _SEVERITIES[line.severity]
    if "=" in text:
        for match, _ in zip(_PAIR.finditer(text), range(_MOST), strict=False):
            name, value = match.groups()
            value = value[1:-1] if value.startswith('"') else value
            values.setdefault(f"unmapped.{name}", value)
            native.setdefault(name, value)
    return Event(ocsf.BASE, values, native, text)


PARSER = Parser(
    id="syslog",
    title="Any syslog message or line of text",
    logsource=LogSource("", "syslog"),
    parse=parse,
    sniff=lambda _: True,
    rank=99,
    samples=(
        Sample(
            '<11>Mar  4 10:00:00 app-01 billing[7]: order=17 state="paid late" done',
            ocsf.BASE,
            {"unmapped.order": "17", "unmapped.state": "paid late", "severity_id": 4, "unmapped.program": "billing"},
            {"program": "billing", "order": "17"},
            host="app-01",
        ),
        Sample("no header at all", ocsf.BASE, {"message": "no header at all"}),
    ),
)  # fmt: skip
