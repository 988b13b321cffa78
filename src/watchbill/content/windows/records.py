"""From a record in any form that Windows events come in to one event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from watchbill.content.windows import ocsf
from watchbill.content.windows.shapes import EVTX, FORMS, Envelope, described, text
from watchbill.content.windows.xml import event_of
from watchbill.core.times import from_rfc3339
from watchbill.sdk import Event, Line, Shape, flat

_ZONED = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$")
_MICROSOFT_JSON = re.compile(r"/Date\((-?\d{1,15})\)/")
_SPELLED_BREAK = re.compile(r"\\x0[9ad]")
_MOST_PREFIX = 512


def read(line: Line) -> Event | None:
    """The event of a record: a JSON object in one of the forms, or event XML (also after other text)."""
    if line.data is not None:
        return from_object(line.data)
    record = _from_text(line.text)
    return from_object(record) if record else None


def _from_text(text: str) -> dict[str, Any] | None:
    at = text.find("<Event")
    if not 0 <= at <= _MOST_PREFIX:
        return None
    # Control characters come spelled as \\xNN; between attributes a line break must be one again.
    return event_of(text[at:].rstrip()) or event_of(_SPELLED_BREAK.sub(" ", text[at:]).rstrip())


def from_object(record: dict[str, Any]) -> Event | None:
    """The event of a decoded object; None when it is no Windows event."""
    for form in FORMS:
        if form.shape.header[0].partition(".")[0] in record and (event := _event(form.shape, form.envelope, record)):
            return event
    other = _restated(record)
    return _event(EVTX.shape, EVTX.envelope, other) if other else None


def _event(shape: Shape, envelope: Envelope, record: Mapping[str, Any]) -> Event | None:
    found = shape.read(record)
    if found is None:
        return None
    kind, native = found
    event_id = native["EventID"]
    values = ocsf.event(kind.logsource, event_id, native)
    if identity := next((one for path in envelope.record_id if (one := shape.at(record, path)) is not None), None):
        values["metadata.uid"] = str(identity)
    message = described(shape, envelope, record)
    if values["class_uid"] == 0:
        values["message"] = message
    return Event(
        class_uid=values["class_uid"],
        ocsf=values,
        native=native,
        message=message,
        time=_time([shape.at(record, path) for path in envelope.time]),
        logsource=kind.logsource,
        host=next((said for path in envelope.computer if (said := text(shape.at(record, path)))), ""),
    )


def _time(values: list[object]) -> int:
    """The first time that names its zone, else the first at all, as UTC; 0 when none can be read.

    A time with a zone is exact; one without may be the host's local time.
    """
    said = [value for value in values if isinstance(value, str) and value]
    for value in sorted(said, key=lambda value: _ZONED.search(value) is None and value is not values[0]):
        if match := _MICROSOFT_JSON.match(value):
            return int(match[1]) * 1_000_000
        try:
            return from_rfc3339(value)
        except (ValueError, OverflowError):
            continue
    numbers = (value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool))
    return next((flat.epoch_ns(value) for value in numbers if 0 < value < 1 << 62), 0)


def _restated(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Forms that keep names in members of their own, restated as the ``evtx`` library writes events."""
    event = record.get("Event")
    if isinstance(event, dict) and isinstance(event.get("System"), dict):
        return {"Event": {**event, "System": _system(event["System"]), "EventData": _named(event.get("EventData"))}}
    if isinstance(record.get("SyslogMessage"), str):
        return _from_text(record["SyslogMessage"])  # Azure Monitor's table of syslog lines
    wrapped = record.get("data")
    wazuh = record.get("win") or (wrapped.get("win") if isinstance(wrapped, dict) else None)
    return _wazuh(wazuh) if isinstance(wazuh, dict) else None


def _system(system: Mapping[str, Any]) -> dict[str, Any]:
    """System with attributes ("@Name", or plain members) as "#attributes"."""
    found: dict[str, Any] = {}
    for name, value in system.items():
        if isinstance(value, dict) and "#attributes" not in value:
            attributes = {key.lstrip("@"): one for key, one in value.items() if key != "#text"}
            found[name] = {"#attributes": attributes, **({"#text": value["#text"]} if "#text" in value else {})}
        else:
            found[name] = value
    return found


def _named(data: object) -> object:
    """EventData whose Data is a list of objects with a name each, as one object of named values."""
    if not isinstance(data, dict):
        return data
    items = data.get("Data")
    items = items if isinstance(items, list) else [items]
    found: dict[str, Any] = {name: value for name, value in data.items() if name != "Data"}
    plain = []
    for item in items:
        name = (item.get("@Name") or item.get("Name")) if isinstance(item, dict) else None
        if isinstance(name, str):
            found[name] = item.get("#text", item.get("Value", ""))
        elif item is not None:
            plain.append(item)
    return {**found, "Data": plain} if plain else found


def _wazuh(win: Mapping[str, Any]) -> dict[str, Any] | None:
    """Wazuh's decoder writes the same names with a small first letter, in System as in the data."""
    system, data = win.get("system"), win.get("eventdata")
    if not isinstance(system, dict):
        return None
    said = {
        "Provider": {"#attributes": {"Name": system.get("providerName")}},
        "EventID": system.get("eventID"),
        "Channel": system.get("channel"),
        "Computer": system.get("computer"),
        "EventRecordID": system.get("eventRecordID"),
        "Keywords": system.get("keywords"),
        "TimeCreated": {"#attributes": {"SystemTime": system.get("systemTime")}},
    }
    fields = {_capital(name): value for name, value in data.items()} if isinstance(data, dict) else {}
    message = system.get("message")
    rendered = {"RenderingInfo": {"Message": message}} if isinstance(message, str) else {}
    return {"Event": {"System": said, "EventData": fields, **rendered}}


def _capital(name: str) -> str:
    return name if name.startswith("param") else name[:1].upper() + name[1:]
