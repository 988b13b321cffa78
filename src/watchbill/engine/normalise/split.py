"""Delivery files to records: CloudTrail's {"Records": […]}, JSON arrays, one JSON object over many lines."""

from __future__ import annotations

import re

import msgspec

_DELIVERY = re.compile(rb'\s*\{\s*"(?:Records|events|value|logs)"\s*:\s*\[')
_ARRAY = re.compile(rb"\s*\[\s*(?:[{\]]|$)")


class _Delivery(msgspec.Struct):
    Records: list[msgspec.Raw] | None = None
    events: list[msgspec.Raw] | None = None
    value: list[msgspec.Raw] | None = None
    logs: list[msgspec.Raw] | None = None


_delivery = msgspec.json.Decoder(_Delivery)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)


def split_records(content: bytes | str) -> list[bytes]:
    """Return the records of a delivery file, each as one line of JSON; any other content gives its lines.

    The values are not decoded, only cut apart (some 500 MB/s). A file that looks like a delivery but is broken is
    given as its lines, so that nothing of it is lost: the normaliser quarantines what it cannot read.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        if _DELIVERY.match(data):
            found = _delivery.decode(data)
            for records in (found.Records, found.events, found.value, found.logs):
                if records is not None:
                    return [_one_line(record) for record in records]
        if _ARRAY.match(data):
            return [_one_line(record) for record in _array.decode(data)]
        if data.lstrip()[:1] == b"{" and not _first_line_is_whole(data):
            return [_one_line(_any.decode(data))]
    except (msgspec.MsgspecError, RecursionError):
        pass
    # bytes.splitlines would also cut at a lone CR, which is no line end in a log.
    return [line.removesuffix(b"\r") for line in data.split(b"\n") if line.strip()]


def _first_line_is_whole(data: bytes) -> bool:
    first = data.lstrip().partition(b"\n")[0]
    try:
        _any.decode(first)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _one_line(record: msgspec.Raw) -> bytes:
    raw = bytes(record)
    # A line break in valid JSON can only be white space between tokens.
    return raw if b"\n" not in raw else b" ".join(part.strip() for part in raw.splitlines())
