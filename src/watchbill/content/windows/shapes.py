"""The forms in which people have Windows events as JSON, and how each routes.

EVTX: what the ``evtx`` library, EvtxECmd's kin and SigmaHQ's own tests write: {"Event": {"System", "EventData"}}.
BEATS: Winlogbeat and Elastic Agent, {"winlog": {"channel", "event_id", "event_data"}}, whose pipelines move some fields
to ECS names. BEATS_6: the same before version 7. OTEL: the OpenTelemetry collector's receiver. SPLUNK and FLAT: one
object with the data's fields at its top, as NXLog, Azure Monitor and many exports write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

from watchbill.content.windows.channels import logsource
from watchbill.content.windows.fields import recipes
from watchbill.content.windows.ocsf import class_and_activity
from watchbill.sdk import Derived, Kind, LogSource, Shape

_HEADERS = 8_192
_TEXT = "#text"


class Envelope(NamedTuple):
    """Where a form keeps what Windows keeps in System: paths of the record, the first that is there counts."""

    time: tuple[str, ...]
    computer: tuple[str, ...]
    record_id: tuple[str, ...]
    rendered: tuple[str, ...]


class Form(NamedTuple):
    """A shape of Windows events, with what it says beside the data."""

    shape: Shape
    envelope: Envelope


_ECS: dict[str, tuple[str, ...]] = {
    "Image": ("process.executable",),
    "CommandLine": ("process.command_line",),
    "CurrentDirectory": ("process.working_directory",),
    "ProcessId": ("process.pid",),
    "ProcessGuid": ("process.entity_id",),
    "OriginalFileName": ("process.pe.original_file_name", "file.pe.original_file_name"),
    "Product": ("process.pe.product", "file.pe.product"),
    "Description": ("process.pe.description", "file.pe.description"),
    "Company": ("process.pe.company", "file.pe.company"),
    "FileVersion": ("process.pe.file_version", "file.pe.file_version"),
    "ParentImage": ("process.parent.executable",),
    "ParentCommandLine": ("process.parent.command_line",),
    "ParentProcessId": ("process.parent.pid",),
    "md5": ("process.hash.md5", "file.hash.md5"),
    "sha1": ("process.hash.sha1", "file.hash.sha1"),
    "sha256": ("process.hash.sha256", "file.hash.sha256"),
    "imphash": ("process.pe.imphash", "file.pe.imphash"),
    "Imphash": ("process.pe.imphash", "file.pe.imphash"),
    "SourceIp": ("source.ip",),
    "SourcePort": ("source.port",),
    "SourceHostname": ("source.domain",),
    "DestinationIp": ("destination.ip",),
    "DestinationPort": ("destination.port",),
    "DestinationHostname": ("destination.domain",),
    "Protocol": ("network.transport",),
    "QueryName": ("dns.question.name",),
    "TargetFilename": ("file.path",),
    "ImageLoaded": ("file.path", "dll.path"),
    "PipeName": ("file.name",),
    "TargetObject": ("registry.path",),
    "Details": ("registry.data.strings",),
    "ScriptBlockText": ("powershell.file.script_block_text",),
}
#: Names of the ECS table that mean something else in another category.
_ECS_ONLY = {
    "ImageLoaded": {"image_load", "driver_load"}, "PipeName": {"pipe_created"},
    "SourceIp": {"network_connection"}, "SourcePort": {"network_connection"}, "SourceHostname": {"network_connection"},
}  # fmt: skip


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def number(value: object) -> int | None:
    """An event's number, which some senders write as text; None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return int(value) if 0 <= value < 1 << 31 and value == int(value) else None
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None


def _form(
    *,
    channel: str,
    event_id: str,
    providers: tuple[str, ...],
    roots: tuple[str, ...],
    envelope: Envelope,
    foreign: tuple[str, ...] = (),
    text_member: str = "",
    ecs: bool = False,
) -> Form:
    """Make a form from the paths of its parts. The first of the roots holds the data; a record with one of the
    ``foreign`` members is of another form.
    """
    prefix = f"{roots[0]}." if roots[0] else ""
    operations = tuple(f"{prefix}{name}" for name in ("EventType", "OperationType", "ObjectType"))
    header = (channel, event_id, *operations, *foreign, *providers)

    @lru_cache(256)
    def derived(source: LogSource) -> dict[str, Derived]:
        found = {"Channel": Derived((channel,)), "Computer": Derived(envelope.computer)}
        found |= {name: Derived((f"Event.System.{name}",)) for name in _SYSTEM if text_member}
        if envelope.rendered:
            found["Message"] = Derived(envelope.rendered)
        for name, (paths, make) in recipes(source).items():
            found[name] = Derived(tuple(f"{prefix}{path}" for path in paths), make)
        if "Data" in found:
            found["Data"] = _or_rendered(found["Data"], envelope.rendered)
        if ecs:
            for name, paths in _ECS.items():
                if source.category in _ECS_ONLY.get(name, {source.category}):
                    found.setdefault(name, Derived(paths))
        return found

    @lru_cache(_HEADERS, typed=True)
    def kind_of(where: object, event: object, *others: object) -> Kind | None:
        identity = number(event)
        others_end = 3 + len(foreign)
        if not isinstance(where, str) or identity is None or any(one is not None for one in others[3:others_end]):
            return None
        provider = next(filter(None, map(text, others[others_end:])), "")
        source = logsource(where, provider, identity, text(others[0] or others[1]), text(others[2]))
        constants = {"EventID": identity, **({"Provider_Name": provider} if provider else {})}
        return Kind(source, constants, derived(source), *class_and_activity(source, identity))

    shape = Shape(header, lambda values: kind_of(*values), roots, text_member)
    return Form(shape._replace(message=partial(described, shape, envelope)), envelope)


def _or_rendered(parameters: Derived, rendered: tuple[str, ...]) -> Derived:
    """The unnamed parameters of a classic event or, where a sender keeps only the rendered message, that."""
    count = len(parameters.paths)

    def make(*values: object) -> object:
        named = [value for value in values[:count] if value is not None]
        return named or next((value for value in values[count:] if value is not None), None)

    return Derived((*parameters.paths, *rendered), make)


def described(shape: Shape, envelope: Envelope, record: Mapping[str, Any]) -> str:
    """What the event says: its rendered message, else provider and number and a line for each field."""
    for path in envelope.rendered:
        if said := text(shape.at(record, path)):
            return said
    header = [shape.at(record, path) for path in shape.header]
    provider = next((one for one in reversed(header[5:]) if isinstance(one, str)), "")
    lines = [f"{provider} {header[1]}".strip()]
    for name, value in shape.members(record).items():
        if value is not None and not name.startswith("#"):
            lines.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return "\n".join(lines)


_SYSTEM = ("Keywords", "Level", "Task", "Opcode", "Version", "EventRecordID")
EVTX = _form(
    channel="Event.System.Channel",
    event_id="Event.System.EventID",
    providers=("Event.System.Provider.#attributes.Name", "Event.System.Provider_attributes.Name"),
    roots=("Event.EventData", "Event.UserData.*"),
    # The mark of XML turned JSON in another way, which keeps names in members of their own.
    foreign=("Event.System.Provider.@Name", "Event.System.Provider.Name"),
    envelope=Envelope(
        time=("Event.System.TimeCreated.#attributes.SystemTime", "Event.System.TimeCreated_attributes.SystemTime"),
        computer=("Event.System.Computer",),
        record_id=("Event.System.EventRecordID",),
        rendered=("Event.RenderingInfo.Message",),
    ),
    text_member=_TEXT,
)
BEATS = _form(
    channel="winlog.channel",
    event_id="winlog.event_id",
    providers=("winlog.provider_name",),
    roots=("winlog.event_data", "winlog.user_data"),
    envelope=Envelope(
        time=("@timestamp",),
        computer=("winlog.computer_name", "host.name", "host.hostname"),
        record_id=("winlog.record_id",),
        rendered=("message",),
    ),
    ecs=True,
)
BEATS_6 = _form(
    channel="log_name",
    event_id="event_id",
    providers=("source_name",),
    roots=("event_data", "user_data"),
    envelope=Envelope(
        time=("@timestamp",),
        computer=("computer_name", "beat.hostname"),
        record_id=("record_number",),
        rendered=("message",),
    ),
)
OTEL = _form(
    channel="channel",
    event_id="event_id.id",
    providers=("provider.name",),
    roots=("event_data", "user_data.*"),
    envelope=Envelope(time=("system_time",), computer=("computer",), record_id=("record_id",), rendered=("message",)),
)
SPLUNK = _form(
    channel="LogName",
    event_id="EventCode",
    providers=("SourceName",),
    roots=("",),
    envelope=Envelope(
        time=("UtcTime", "_time", "TimeCreated"),
        computer=("ComputerName", "Computer", "host"),
        record_id=("RecordNumber",),
        rendered=("Message",),
    ),
)
FLAT = _form(
    channel="Channel",
    event_id="EventID",
    providers=("SourceName", "Provider_Name", "ProviderName", "EventSourceName", "Provider", "Source"),
    roots=("",),
    envelope=Envelope(
        time=("UtcTime", "TimeCreated", "@timestamp", "EventTime", "TimeGenerated", "SystemTime", "timestamp"),
        computer=("Hostname", "Computer", "ComputerName", "MachineName"),
        record_id=("RecordNumber", "EventRecordID", "RecordID"),
        rendered=("Message", "message"),
    ),
)
FORMS = (EVTX, BEATS, BEATS_6, OTEL, SPLUNK, FLAT)
