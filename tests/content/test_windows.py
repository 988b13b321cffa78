"""Windows events in all the forms that people have them in."""

import json
import re

import ocsf_schema
import pytest
from evtx import PyEvtxParser
from normalising import PARSERS, normalised

from watchbill.content.windows.channels import SERVICES, logsource
from watchbill.content.windows.records import from_object
from watchbill.content.windows.shapes import FORMS
from watchbill.content.windows.xml import event_of
from watchbill.sdk import LogSource

DATA = {
    "UtcTime": "2026-03-04 10:00:00.250", "Image": "C:\\t\\a.exe", "CommandLine": 'a "b" <c> & d', "ProcessId": "42",
    "ParentImage": "C:\\Windows\\explorer.exe", "User": "EXAMPLE\\ana", "Hashes": "SHA1=1F,IMPHASH=0E",
}  # fmt: skip
CHANNEL, PROVIDER, HOST = "Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon", "ws-01.example.com"
AT = "2026-03-04T10:00:00.250Z"
FLAT = {**DATA, "Hostname": HOST, "EventTime": "2026-03-04 11:00:00", "SourceName": PROVIDER}
SYSTEM = {"EventID": 1, "Channel": CHANNEL, "Computer": HOST, "EventRecordID": 17}
LOWERED = {name[:1].lower() + name[1:]: value for name, value in DATA.items()}


def system(provider, time):
    return {**SYSTEM, **provider, **time}


EVTX = {
    "Event": {
        "System": system(
            {"Provider": {"#attributes": {"Name": PROVIDER}}}, {"TimeCreated": {"#attributes": {"SystemTime": AT}}}
        ),
        "EventData": DATA,
    }
}
SEPARATE = system({"Provider_attributes": {"Name": PROVIDER}}, {"TimeCreated_attributes": {"SystemTime": AT}})
XMLTODICT = system({"Provider": {"@Name": PROVIDER}}, {"TimeCreated": {"@SystemTime": AT}, "EventID": "1"})
NAMED = [{"@Name": name, "#text": value} for name, value in DATA.items()]
WINLOG = {
    "channel": CHANNEL, "event_id": "1", "provider_name": PROVIDER, "computer_name": HOST, "record_id": 17,
    "event_data": DATA,
}  # fmt: skip
WAZUH = {
    "system": {
        "providerName": PROVIDER, "eventID": "1", "channel": CHANNEL, "computer": HOST, "eventRecordID": "17",
        "systemTime": AT,
    },
    "eventdata": LOWERED,
}  # fmt: skip
RECORDS = {
    "evtx": EVTX,
    "evtx-separate": {"Event": {"System": SEPARATE, "EventData": DATA}},
    "evtx-qualifiers": {
        "Event": {**EVTX["Event"], "System": {**EVTX["Event"]["System"], "EventID": {"#text": 1, "#attributes": {"Q": 3}}}}
    },
    "xmltodict": {"Event": {"@xmlns": "x", "System": XMLTODICT, "EventData": {"Data": NAMED}}},
    "winlogbeat": {"@timestamp": AT, "winlog": WINLOG},
    "winlogbeat-6": {
        "@timestamp": AT, "log_name": CHANNEL, "event_id": 1, "source_name": PROVIDER, "computer_name": HOST,
        "record_number": "17", "event_data": DATA,
    },
    "otel": {
        "channel": CHANNEL, "event_id": {"id": 1, "qualifiers": 0}, "provider": {"name": PROVIDER}, "computer": HOST,
        "record_id": 17, "system_time": AT, "event_data": DATA,
    },
    "flat": {**FLAT, "Channel": CHANNEL, "EventID": 1, "RecordNumber": 17},
    "splunk": {**FLAT, "LogName": CHANNEL, "EventCode": "1", "ComputerName": HOST, "RecordNumber": 17},
    "wazuh": {"data": {"win": WAZUH}, "agent": {}},
    "wazuh-decoded": {"win": WAZUH},
}  # fmt: skip


@pytest.mark.parametrize("form", RECORDS)
def test_every_form_says_the_same(form):
    """Whoever wrote the JSON: fields, log source, time, host and OCSF event are those of the event."""
    (event,) = normalised([json.dumps(RECORDS[form])])
    assert event.parser == "windows"
    wanted = {**DATA, "EventID": 1, "Provider_Name": PROVIDER, "Channel": CHANNEL, "Imphash": "0E", "Computer": HOST}
    assert {name: event.native.get(name) for name in wanted} == wanted
    assert event.logsource == LogSource("windows", "sysmon", "process_creation")
    assert (event.host, event.ocsf["time"]) == (HOST, 1_772_618_400_250)
    assert event.ocsf["process.cmd_line"] == DATA["CommandLine"]
    assert event.ocsf["metadata.uid"] == "17"
    assert 'CommandLine: a "b" <c> & d' in event.message or form.startswith("wazuh")


def test_ecs_names_stand_for_fields_that_a_pipeline_moved():
    """Winlogbeat's Sysmon pipeline leaves event_data empty."""
    record = {
        "winlog": {**WINLOG, "event_data": {}},
        "process": {"executable": "C:\\a.exe", "command_line": "a", "parent": {"executable": "C:\\p.exe"}},
    }
    native = from_object(record).native
    assert (native["Image"], native["CommandLine"], native["ParentImage"]) == ("C:\\a.exe", "a", "C:\\p.exe")


def test_xml_with_line_breaks_between_attributes():
    """Indented XML that came in one frame."""
    text = """<Event
        xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System><Provider
        Name="P"/><EventID>7</EventID><Channel>System</Channel></System></Event>"""
    (event,) = normalised([text])
    assert event.native == {"EventID": 7, "Provider_Name": "P", "Channel": "System"}


@pytest.mark.parametrize(
    "text",
    [
        "<Event><System/>" + "<a>" * 100 + "</a>" * 100 + "</Event>",
        "<Event><System>" + "<a/>" * 10_000 + "</System></Event>",
        '<!DOCTYPE Event [<!ENTITY a "x">]><Event><System>&a;</System></Event>',
        "<Event><System></Event>",
        "<Event>text</Event>",
    ],
    ids=["deep", "many", "entities", "broken", "empty"],
)
def test_hostile_xml_is_no_event(text):
    """Depth, number and entities are bounded before anything is built."""
    assert event_of(text) is None


@pytest.mark.parametrize(
    ("channel", "event_id", "operation", "wanted"),
    [
        ("Security", 4688, "", ("security", "process_creation")),
        ("security", 4657, "%%1906", ("security", "registry_delete")),
        ("Microsoft-Windows-Sysmon/Operational", 12, "DeleteKey", ("sysmon", "registry_delete")),
        ("Microsoft-Windows-Sysmon/Operational", 12, "", ("sysmon", "registry_event")),
        ("PowerShellCore/Operational", 4104, "", ("powershell", "ps_script")),
        ("Windows PowerShell", 600, "", ("powershell-classic", "ps_classic_provider_start")),
        ("Somewhere/Else", 1, "", ("", "")),
    ],
    ids=str,
)
def test_channel_and_number_give_the_log_source(channel, event_id, operation, wanted):
    """As Sigma's taxonomy says, whatever the case of the channel."""
    assert logsource(channel, "", event_id, operation) == LogSource("windows", *wanted)


def test_every_service_of_the_taxonomy_is_known(shared_data):
    """Each channel that the specification lists gives its service (and SigmaHQ's rules' name where they differ)."""
    spec = (shared_data / "sigma_spec" / "specification" / "sigma-appendix-taxonomy.md").read_text("utf-8")
    rows = re.findall(r"product: windows<br>service: (\S+) +\| Channel: *(.*?) *\|", spec)
    assert len(rows) > 40
    for service, channels in rows:
        for channel in re.split(r"<br> ?- ", channels):
            if channel:
                found = SERVICES[channel.removeprefix("WinEventLog:").lower()]
                assert found.removeprefix("microsoft-") == service, channel


def records_of(root):
    """Everything of the shared data that holds Windows events, as (raw record, whether it is JSON)."""
    for path in sorted(
        [*(root / "sigma" / "regression").rglob("*.evtx"), *(root / "beats_winlog_audit").rglob("*.evtx")]
    ):
        parser = PyEvtxParser(str(path))
        yield from (record["data"] for record in parser.records_json())
        yield from (record["data"] for record in PyEvtxParser(str(path)).records())
    for path in sorted((root / "beats_winlog_audit").rglob("*.golden.json")):
        yield from (json.dumps(record) for record in json.loads(path.read_text("utf-8")))
    for path in sorted((root / "wazuh_engine" / "windows").glob("*.xml")):
        yield from re.findall(r"<Event xmlns.*?</Event>", path.read_text("utf-8-sig"), re.DOTALL)


def test_recorded_events_are_recognised_and_valid_ocsf(shared_data):
    """Every record of four collections is a Windows event, with a time and a host, and valid OCSF."""
    schema = ocsf_schema.load(shared_data / "ocsf_schema")
    raws = list(records_of(shared_data))
    assert len(raws) > 400
    events = normalised(raws)
    strangers = [event.message[:200] for event in events if event.parser != "windows"]
    assert strangers == []
    assert not {fault for event in events for fault in schema.faults(event.ocsf)}
    assert all(event.native["EventID"] is not None and event.native["Channel"] and event.host for event in events)


def test_the_shapes_are_the_parsers():
    """What a matcher is told to read is what the parser reads."""
    (parser,) = [parser for parser in PARSERS if parser.id == "windows"]
    assert parser.shapes == tuple(form.shape for form in FORMS)
    for name, record in RECORDS.items():
        read = [found for shape in parser.shapes if (found := shape.read(record))]
        if not name.startswith(("wazuh", "xmltodict")):
            assert len(read) == 1, name
            assert read[0][1] == from_object(record).native
