"""Any JSON object that no other parser knows: kept flat under unmapped, with its time, host and message if it has any."""

from __future__ import annotations

from typing import Any

from watchbill.core.times import from_rfc3339
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, flat, ocsf

_BASE = ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "json", "unknown")
_TIMES = ("@timestamp", "timestamp", "time", "ts", "eventTime", "datetime", "date", "created_at", "published")
_HOSTS = ("host.name", "hostname", "host", "computer", "Computer", "device", "agent.hostname", "log.host")
_MESSAGES = ("message", "msg", "log", "event.original", "short_message", "MESSAGE")


def parse(line: Line) -> Event | None:
    """Flatten the object (lists stay lists); an unreadable time counts as none."""
    if line.data is None:
        return None
    fields = flat.flatten(line.data)
    message = next((fields[name] for name in _MESSAGES if isinstance(fields.get(name), str)), line.text)
    host = next((fields[name] for name in _HOSTS if isinstance(fields.get(name), str)), "")
    values: dict[str, Any] = {**_BASE, "message": message}
    for name, value in fields.items():
        values[f"unmapped.{name}"] = value
    time = next((moment for name in _TIMES if (moment := _time(fields.get(name)))), 0)
    return Event(ocsf.BASE, values, fields, line.text, time=time, host=host)


def _time(value: Any) -> int:
    if isinstance(value, str):
        try:
            return from_rfc3339(value)
        except ValueError:
            return 0
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1 << 62:
        return flat.epoch_ns(value)
    return 0


PARSER = Parser(
    id="json",
    title="Any JSON object",
    logsource=LogSource("", "json"),
    parse=parse,
    keys=(frozenset(),),
    rank=98,
    samples=(
        Sample(
            '{"@timestamp":"2026-03-04T10:00:00.5Z","host":{"name":"app-01"},"message":"paid","order":{"id":17}}',
            ocsf.BASE,
            {"message": "paid", "unmapped.order.id": 17},
            {"order.id": 17, "host.name": "app-01"},
            time="2026-03-04T10:00:00.500Z",
            host="app-01",
        ),
        Sample('{"ts":1772618400.25,"msg":"x"}', ocsf.BASE, {"message": "x"}, time="2026-03-04T10:00:00.250Z"),
        Sample("[1, 2]", None),
        Sample("plain text", None),
    ),
)  # fmt: skip
