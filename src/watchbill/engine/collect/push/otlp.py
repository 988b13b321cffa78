"""OpenTelemetry logs over HTTP (OTLP 1.x): protobuf and JSON, one record of the ledger for each log record.

https://opentelemetry.io/docs/specs/otlp/#otlphttp. A record is kept as JSON with the names of OpenTelemetry's log
data model (https://opentelemetry.io/docs/specs/otel/logs/data-model/), its resource and scope included, keys sorted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson

from watchbill.engine.collect.push.messages import JSON, Answer, RefusedError, Request

if TYPE_CHECKING:  # protobuf is loaded when the first protobuf comes
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

PROTOBUF = "application/x-protobuf"
_DEPTH = 32
_SPELL = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
_INT64 = 1 << 63
_DIGITS = re.compile(r"-?[0-9]{1,20}")


class _Rejected(ValueError):  # noqa: N818 - one log record, not the request
    """A log record that cannot be kept; the others can."""


def read(request: Request) -> tuple[list[bytes], int, str]:
    """Return the log records, how many were rejected, and why the first one was. Raises RefusedError."""
    if request.content_type == JSON:
        found = _from_json(request.body)
    elif request.content_type == PROTOBUF:
        found = _from_protobuf(request.body)
    else:
        raise RefusedError(415, f"the content type must be {PROTOBUF} or {JSON}")
    raws: list[bytes] = []
    rejected, why = 0, ""
    for one in found:
        try:
            if isinstance(one, _Rejected):
                raise one
            raws.append(
                orjson.dumps({name: value for name, value in one.items() if value not in (None, "", {})}, option=_SPELL)
            )
        except (_Rejected, TypeError, ValueError) as error:
            rejected += 1
            why = why or str(error)
    return raws, rejected, why


def success(request: Request, rejected: int, why: str) -> Answer:
    """The answer of a request that was taken, at least in part."""
    if request.content_type == JSON:
        partial = {"partialSuccess": {"rejectedLogRecords": str(rejected), "errorMessage": why}} if rejected else {}
        return Answer.json(200, partial)
    inner = b"\x08" + _varint(rejected) + b"\x12" + _varint(len(why.encode())) + why.encode() if rejected else b""
    return Answer(200, b"\x0a" + _varint(len(inner)) + inner if inner else b"", PROTOBUF)


def spell(error: RefusedError, content_type: str) -> Answer:
    """A refusal as google.rpc.Status {code = 1, message = 2}."""
    text = error.what[:1_000]
    if content_type.startswith(JSON):
        return Answer.json(error.status, {"code": 0, "message": text})._replace(headers=error.headers)
    data = text.encode()
    return Answer(error.status, b"\x12" + _varint(len(data)) + data, PROTOBUF, error.headers)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _from_protobuf(body: bytes) -> Iterator[dict[str, Any] | _Rejected]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    message = ExportLogsServiceRequest()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise RefusedError(400, f"the body is no ExportLogsServiceRequest: {error}") from None
    for of_resource in message.resource_logs:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            scope = {"name": of_scope.scope.name, "version": of_scope.scope.version}
            for one in of_scope.log_records:
                yield {
                    "Timestamp": one.time_unix_nano or None,
                    "ObservedTimestamp": one.observed_time_unix_nano or None,
                    "SeverityNumber": int(one.severity_number) or None,
                    "SeverityText": one.severity_text,
                    "Body": _value(one.body) if one.HasField("body") else None,
                    "Attributes": _attributes(one.attributes),
                    "Resource": resource,
                    "InstrumentationScope": {name: text for name, text in scope.items() if text},
                    "TraceId": one.trace_id.hex(),
                    "SpanId": one.span_id.hex(),
                    "TraceFlags": one.flags or None,
                    "EventName": one.event_name,
                }


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    """An AnyValue as JSON has it; bytes in base64. Protobuf itself bounds the depth (100)."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    found = getattr(value, kind)
    return str(found) if isinstance(found, float) and not isfinite(found) else found


def _from_json(body: bytes) -> Iterator[dict[str, Any] | _Rejected]:
    try:
        message = orjson.loads(body)
        groups = [
            (of_resource, of_scope)
            for of_resource in _objects(message, "resourceLogs")
            for of_scope in _objects(of_resource, "scopeLogs")
        ]
        records = [
            (of_resource, of_scope, one) for of_resource, of_scope in groups for one in _objects(of_scope, "logRecords")
        ]
    except ValueError as error:
        raise RefusedError(400, f"the body is no ExportLogsServiceRequest: {error}") from None
    for of_resource, of_scope, one in records:
        try:
            yield _record(of_resource, of_scope, one)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            yield _Rejected(f"a log record cannot be read: {error}"[:300])


def _objects(holder: Any, name: str) -> list[dict[str, Any]]:
    found = holder.get(name, []) if isinstance(holder, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{name} must be a list of objects")
    return found


def _record(of_resource: Mapping[str, Any], of_scope: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    scope = of_scope.get("scope") or {}
    return {
        "Timestamp": _integer(one.get("timeUnixNano", 0)) or None,
        "ObservedTimestamp": _integer(one.get("observedTimeUnixNano", 0)) or None,
        "SeverityNumber": _integer(one.get("severityNumber", 0)) or None,
        "SeverityText": _text(one.get("severityText", "")),
        "Body": _json_value(one["body"], _DEPTH) if one.get("body") else None,
        "Attributes": _json_attributes(one.get("attributes"), _DEPTH),
        "Resource": _json_attributes((of_resource.get("resource") or {}).get("attributes"), _DEPTH),
        "InstrumentationScope": {name: _text(scope[name]) for name in ("name", "version") if scope.get(name)},
        "TraceId": _hex(one.get("traceId", ""), 32),
        "SpanId": _hex(one.get("spanId", ""), 16),
        "TraceFlags": _integer(one.get("flags", 0)) or None,
        "EventName": _text(one.get("eventName", "")),
    }


def _json_attributes(pairs: Any, depth: int) -> dict[str, Any]:
    return {_text(pair.get("key", "")): _json_value(pair.get("value") or {}, depth) for pair in pairs or ()}


def _json_value(value: Mapping[str, Any], depth: int) -> Any:
    """An AnyValue as proto3's JSON spells it; 64-bit integers may be text."""
    if depth == 0:
        raise ValueError(f"a value is nested deeper than {_DEPTH} levels")
    for kind, found in value.items():
        if kind == "intValue":
            return _integer(found)
        if kind == "arrayValue":
            return [_json_value(item, depth - 1) for item in found.get("values", ())]
        if kind == "kvlistValue":
            return _json_attributes(found.get("values"), depth - 1)
        if kind in {"stringValue", "boolValue", "doubleValue", "bytesValue"}:
            if isinstance(found, (str, bool, int, float)):
                return found
            raise ValueError(f"{kind} is {type(found).__name__}")
    return None


def _integer(value: Any) -> int:
    number = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and _DIGITS.fullmatch(value):
        number = int(value)
    if number is None or not -_INT64 <= number < 2 * _INT64:
        raise ValueError(f"{str(value)[:40]!r} is no 64-bit number")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def _hex(value: Any, length: int) -> str:
    text = _text(value).lower()
    if text and (len(text) != length or any(digit not in "0123456789abcdef" for digit in text)):
        raise ValueError(f"{text[:40]!r} is no hexadecimal id of {length} digits")
    return text
