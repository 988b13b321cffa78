"""OTLP/HTTP logs, in protobuf as the library of OpenTelemetry makes it and in JSON as the specification shows it."""

from __future__ import annotations

import asyncio
import base64
import gzip

import orjson
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from watchbill.engine.collect.listener import Peer
from watchbill.engine.collect.push import otlp
from watchbill.engine.collect.push.messages import Request
from watchbill.engine.collect.push.tokens import NOBODY

JSON, PROTOBUF = "application/json", "application/x-protobuf"


def request(body, content_type):
    return Request("POST", "/v1/logs", {}, {"content-type": content_type}, body, Peer(""), NOBODY)


def example():
    made = ExportLogsServiceRequest()
    of_resource = made.resource_logs.add()
    of_resource.resource.attributes.add(key="host.name").value.string_value = "web-01"
    of_scope = of_resource.scope_logs.add()
    of_scope.scope.name = "app"
    one = of_scope.log_records.add(
        time_unix_nano=1_772_618_400_000_000_001, observed_time_unix_nano=5, severity_number=17, severity_text="ERROR",
        trace_id=bytes(range(16)), span_id=bytes(range(8)), flags=1, event_name="login",
    )  # fmt: skip
    one.body.string_value = "it broke"
    values = one.attributes.add(key="values").value.kvlist_value.values
    values.add(key="n").value.int_value = -(1 << 63)
    values.add(key="b").value.bytes_value = b"\x00\xff"
    values.add(key="d").value.double_value = 1.5
    values.add(key="list").value.array_value.values.add().bool_value = True
    of_scope.log_records.add().body.kvlist_value.values.add(key="k").value.string_value = "v"
    return made


def test_what_is_kept():
    """Every field of the data model, with its resource and scope, under OpenTelemetry's own names."""
    raws, rejected, _ = otlp.read(request(example().SerializeToString(), PROTOBUF))
    assert rejected == 0
    assert orjson.loads(raws[0]) == {
        "Attributes": {"values": {"n": -(1 << 63), "b": "AP8=", "d": 1.5, "list": [True]}}, "Body": "it broke",
        "EventName": "login", "InstrumentationScope": {"name": "app"}, "ObservedTimestamp": 5,
        "Resource": {"host.name": "web-01"}, "SeverityNumber": 17, "SeverityText": "ERROR",
        "SpanId": "0001020304050607", "Timestamp": 1_772_618_400_000_000_001, "TraceFlags": 1,
        "TraceId": "000102030405060708090a0b0c0d0e0f",
    }  # fmt: skip
    assert orjson.loads(raws[1]) == {
        "Body": {"k": "v"}, "InstrumentationScope": {"name": "app"}, "Resource": {"host.name": "web-01"},
    }  # fmt: skip


def spelled_as_json(made):
    """Protobuf's JSON differs from OTLP's in the ids alone: those are hexadecimal."""
    data = json_format.MessageToDict(made)
    for of_resource in data.get("resourceLogs", ()):
        for of_scope in of_resource.get("scopeLogs", ()):
            for one in of_scope.get("logRecords", ()):
                for name in ("traceId", "spanId"):
                    if name in one:
                        one[name] = base64.b64decode(one[name]).hex()
                if "severityNumber" in one:
                    one["severityNumber"] = SeverityNumber.Value(one["severityNumber"])
    return orjson.dumps(data)


_VALUES = st.recursive(
    st.text(max_size=8)
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def fill(value, found):
    if isinstance(found, bool):
        value.bool_value = found
    elif isinstance(found, str):
        value.string_value = found
    elif isinstance(found, int):
        value.int_value = found
    elif isinstance(found, float):
        value.double_value = found
    elif isinstance(found, list):
        value.array_value.SetInParent()
        for item in found:
            fill(value.array_value.values.add(), item)
    else:
        value.kvlist_value.SetInParent()
        for name, item in found.items():
            fill(value.kvlist_value.values.add(key=name).value, item)


@given(st.lists(_VALUES, max_size=4), st.dictionaries(st.text(max_size=5), _VALUES, max_size=3))
def test_protobuf_and_json_are_kept_alike(bodies, attributes):
    """The same log record in either spelling becomes the same bytes."""
    made = example()
    for body in bodies:
        one = made.resource_logs[0].scope_logs[0].log_records.add(time_unix_nano=7)
        fill(one.body, body)
        for name, item in attributes.items():
            fill(one.attributes.add(key=name).value, item)
    packed = otlp.read(request(made.SerializeToString(), PROTOBUF))
    assert packed == otlp.read(request(spelled_as_json(made), JSON))
    assert len(packed[0]) == 2 + len(bodies)


@given(st.binary(max_size=200), st.sampled_from([JSON, PROTOBUF]))
def test_nonsense_is_refused_or_read(body, content_type):
    """No bytes make it fail in any other way."""
    try:
        raws, rejected, why = otlp.read(request(body, content_type))
    except otlp.RefusedError as error:
        assert error.status == 400
    else:
        assert all(orjson.loads(raw) is not None for raw in raws)
        assert bool(rejected) == bool(why)


def test_over_http(pushing):
    """Durable when answered, in both spellings, packed or not; the source is the token's."""

    async def story():
        async with pushing() as push:
            body = example().SerializeToString()
            answer = await push.post("/v1/logs", body, **{"Content-Type": PROTOBUF})
            assert ExportLogsServiceResponse.FromString(answer.content) == ExportLogsServiceResponse()
            assert answer.headers["content-type"] == PROTOBUF
            packed = {"Content-Type": JSON, "Content-Encoding": "gzip"}
            answer = await push.post("/v1/logs", gzip.compress(spelled_as_json(example())), **packed)
            assert answer.json() == {}
            stored = push.stored("otlp")
            assert len(stored) == 4
            assert stored[:2] == stored[2:]
            assert push.here.reader.source(1).facts == {"envelope": "otlp"}

    asyncio.run(story())


def test_partial_success(pushing):
    """What can be kept is kept; how many could not, and why, is said."""
    good = {"body": {"stringValue": "good"}}
    bad = [{"body": {"intValue": "many"}}, {"traceId": "xyz"}, {"severityText": 5}]
    deep = {"stringValue": "x"}
    for _ in range(40):
        deep = {"arrayValue": {"values": [deep]}}
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [good, *bad, {"body": deep}]}]}]}

    async def story():
        async with pushing() as push:
            answer = (await push.post("/v1/logs", orjson.dumps(body), **{"Content-Type": JSON})).json()
            assert answer["partialSuccess"]["rejectedLogRecords"] == "4"
            assert "no 64-bit number" in answer["partialSuccess"]["errorMessage"]
            assert push.stored("otlp") == [b'{"Body":"good"}']
            status = await push.post("/v1/logs", b"\xff", status=400, **{"Content-Type": PROTOBUF})
            assert status.content[:1] == b"\x12"
            assert b"ExportLogsServiceRequest" in status.content
            await push.post("/v1/logs", b"x", status=415, **{"Content-Type": "text/plain"})

    asyncio.run(story())


def test_a_partial_answer_in_protobuf():
    """The library of OpenTelemetry reads it."""
    answer = otlp.success(request(b"", PROTOBUF), 300, "ä" * 100)
    partial = ExportLogsServiceResponse.FromString(answer.body).partial_success
    assert (partial.rejected_log_records, partial.error_message) == (300, "ä" * 100)
