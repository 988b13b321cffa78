"""Splunk's HTTP Event Collector: events as JSON objects one after the other, raw lines, acknowledgements by channel.

https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data (request formats, codes, indexer
acknowledgement). An answer is given once the events are durable, so every acknowledgement number that was handed out
stands for events that are.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from typing import Any

import orjson

from watchbill.engine.collect.push.messages import Answer, RefusedError, Request

CHANNELS = 10_000
_ACKS = 10_000
_CHANNEL = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.:-]{0,63}")
_SPACE = re.compile(r"[\s,]*")
#: Numbers are left as they are spelled: nothing here reads them.
_decoder = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


def split_events(body: bytes) -> list[bytes]:
    """Take a body apart into its events, each byte for byte as it was sent. Raises RefusedError with Splunk's code."""
    text = body.decode("utf-8", "surrogateescape")
    stop = len(text)
    at = _skip(text, 0)
    if text.startswith("[", at):  # some senders make a list of them
        at = _skip(text, at + 1)
        stop = len(text.rstrip().removesuffix("]"))
    events: list[bytes] = []
    while at < stop:
        start = at
        try:
            value, at = _decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            raise _invalid(len(events)) from None
        _judge(value, len(events))
        events.append(text[start:at].encode("utf-8", "surrogateescape"))
        at = _skip(text, at)
    if not events:
        raise RefusedError(400, "No data", code=5)
    return events


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _judge(value: Any, number: int) -> None:
    if not isinstance(value, dict):
        raise _invalid(number)
    if "event" not in value:
        raise RefusedError(400, f"Event field is required (event {number})", code=12)
    if value["event"] in ("", None):
        raise RefusedError(400, f"Event field cannot be blank (event {number})", code=13)


def _invalid(number: int) -> RefusedError:
    return RefusedError(400, f"Invalid data format (event {number})", code=6)


class Channels:
    """How many acknowledgements each channel was given; the channel that was used longest ago is forgotten."""

    def __init__(self) -> None:
        self._given: OrderedDict[tuple[int, str], int] = OrderedDict()

    def give(self, request: Request) -> int | None:
        """The next number of the request's channel, None when it names none."""
        channel = channel_of(request)
        if channel is None:
            return None
        key = request.token.id, channel
        number = self._given.pop(key, 0)
        self._given[key] = number + 1
        if len(self._given) > CHANNELS:
            self._given.popitem(last=False)
        return number

    def asked(self, request: Request) -> Answer:
        """Say which acknowledgements are good: all that were given, for they are given when the events are durable."""
        channel = channel_of(request)
        if channel is None:
            raise RefusedError(400, "Data channel is missing", code=10)
        try:
            numbers = [int(number) for number in orjson.loads(request.body)["acks"][:_ACKS]]
        except (ValueError, KeyError, TypeError, IndexError):
            raise RefusedError(400, "Invalid data format", code=6) from None
        given = self._given.get((request.token.id, channel), 0)
        return Answer.json(200, {"acks": {str(number): 0 <= number < given for number in numbers}})


def channel_of(request: Request) -> str | None:
    """The channel that a request names. Raises RefusedError for one that is none."""
    channel = request.headers.get("x-splunk-request-channel") or request.query.get("channel")
    if channel and not _CHANNEL.fullmatch(channel):
        raise RefusedError(400, "Invalid data channel", code=11)
    return channel or None


def success(number: int | None) -> Answer:
    return Answer.json(200, {"text": "Success", "code": 0} | ({} if number is None else {"ackId": number}))


_CODES = {401: (2, "Token is required"), 403: (4, "Invalid token"), 413: (27, "Request entity too large"),
          503: (9, "Server is busy")}  # fmt: skip


def spell(error: RefusedError) -> Answer:
    """A refusal in Splunk's words."""
    code, text = _CODES.get(error.status, (error.code or 6, error.what))
    return Answer.json(error.status, {"text": text, "code": error.code or code})._replace(headers=error.headers)
