"""Splunk HEC's and OpenTelemetry's envelopes are taken off, and complete the event."""

from __future__ import annotations

import json
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import cpu_seconds
from watchbill.core.clock import FixedClock
from watchbill.engine.catalog import Catalog
from watchbill.engine.normalise import Normaliser
from watchbill.sdk import ocsf

PARSERS = Catalog.load("watchbill.content", outside=False).parsers
NOW = 1_772_712_000_000_000_000
SSHD = "Failed password for invalid user eve from 192.0.2.7 port 4242 ssh2"


class Record(NamedTuple):
    raw: bytes
    position: int = 0
    source: int = 1
    received: int = NOW
    source_time: int = 0


class Source(NamedTuple):
    facts: dict
    number: int = 1
    name: str = "web-01"
    transport: str = "hec"


def read(envelope, value, **facts):
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    normaliser = Normaliser(PARSERS, clock=FixedClock(NOW))
    (event,) = normaliser.normalise([(Record(raw), Source({"envelope": envelope, **facts}), 0)])
    return event


def test_a_line_in_a_hec_event_is_that_line():
    """A syslog line of sshd is an authentication whoever carried it; time and host come from the envelope."""
    line = f"<38>Mar  4 10:00:00 web-07 sshd[77]: {SSHD}"
    event = read("hec", {"time": "1772618400.25", "host": "forwarder", "sourcetype": "linux_secure", "event": line})
    assert (event.parser, event.class_uid, event.flaw) == ("sshd", ocsf.AUTHENTICATION, "")
    assert (event.host, event.time) == ("web-07", 1_772_618_400_250_000_000)
    assert event.ocsf["unmapped.sourcetype"] == "linux_secure"


def test_a_hec_event_without_header():
    """Text without a host takes the envelope's; an object is read by its keys; fields are kept."""
    event = read("hec", {"host": "app-01", "event": "started", "fields": {"region": "north"}, "time": 1772618400})
    assert (event.host, event.message, event.native["region"]) == ("app-01", "started", "north")
    event = read("hec", {"host": "app-01", "event": {"message": "paid", "order": {"id": 7}}})
    assert (event.parser, event.ocsf["message"], event.ocsf["unmapped.order.id"]) == ("json", "paid", 7)
    assert event.time == NOW


@pytest.mark.parametrize("sourcetype", ["access_combined", "apache:access", "apache"])
def test_the_sourcetype_names_the_format(sourcetype):
    """Splunk's own names and those of parsers say what it is."""
    line = '192.0.2.7 - - [04/Mar/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl"'
    assert read("hec", {"event": line, "sourcetype": sourcetype}).parser == "apache"


def test_a_line_in_an_otlp_record_is_that_line():
    """The service's name stands for the syslog tag, so the parser of sshd is found."""
    event = read("otlp", {
        "Body": SSHD, "Resource": {"service.name": "sshd", "host.name": "web-01", "process.pid": 77},
        "SeverityNumber": 9, "Timestamp": 1_772_618_400_000_000_001, "TraceId": "0f" * 16,
    })  # fmt: skip
    assert (event.parser, event.class_uid, event.host) == ("sshd", ocsf.AUTHENTICATION, "web-01")
    assert event.time == 1_772_618_400_000_000_001
    assert event.ocsf["unmapped.trace_id"] == "0f" * 16


@pytest.mark.parametrize(("number", "severity"), [(1, 1), (9, 1), (13, 2), (17, 4), (24, 6), (99, 0), ("x", 0)])
def test_otlp_flattens_to_a_base_event(number, severity):
    """What no parser knows keeps severity, attributes and resource, for searches and rules."""
    event = read("otlp", {
        "Body": "something quite of its own", "SeverityNumber": number, "SeverityText": "X",
        "Attributes": {"http.method": "GET", "user": {"id": 5}}, "Resource": {"service.name": "shop"},
    })  # fmt: skip
    assert event.class_uid == ocsf.BASE
    assert event.message == "something quite of its own"
    assert (event.native["http.method"], event.native["user.id"]) == ("GET", 5)
    assert event.ocsf["unmapped.resource.service.name"] == "shop"
    assert severity in (0, event.ocsf["severity_id"])


def test_an_otlp_record_without_a_body():
    """Its attributes are the record; with nothing at all it is empty, and quarantined as such."""
    assert read("otlp", {"Attributes": {"message": "paid", "n": 1}}).ocsf["message"] == "paid"
    assert read("otlp", {"EventName": "login"}).message == "login"
    assert read("otlp", {"SeverityNumber": 9}).flaw == "an empty record"


@pytest.mark.parametrize("envelope", ["hec", "otlp"])
@pytest.mark.parametrize(
    "raw",
    [b"", b"no json", b'{"event":', b"[]", b'{"event":' + b"[" * 100_000, b'{"Body":' + b'{"a":' * 100_000,
     b'{"event":1,"time":' + b"9" * 10_000 + b"}", b'{"event":"' + b"x" * 70_000 + b'"}'],
    ids=range(8),
)  # fmt: skip
def test_what_cannot_be_opened_is_quarantined_fast(envelope, raw):
    """A flaw within 100 ms of processor time, and still an event."""
    assert cpu_seconds(lambda: read(envelope, raw), 0.1) < 0.1
    assert read(envelope, raw).flaw


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    ["time", "host", "source", "sourcetype", "index", "event", "fields", "Body", "Attributes", "Resource", "Timestamp",
     "SeverityNumber", "TraceId", "EventName", "ObservedTimestamp"]
)  # fmt: skip
_NORMALISER = Normaliser(PARSERS, clock=FixedClock(NOW))


@given(st.dictionaries(_NAMES, _JSON), st.sampled_from(["hec", "otlp"]))
def test_any_envelope_makes_one_event(value, envelope):
    """Whatever the fields hold, there is one event with text for a message."""
    source = Source({"envelope": envelope}, number=1 if envelope == "hec" else 2)
    (event,) = _NORMALISER.normalise([(Record(json.dumps(value).encode()), source, 0)])
    assert isinstance(event.message, str)
    assert isinstance(event.host, str)
    assert event.time
