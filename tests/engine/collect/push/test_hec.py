"""Splunk HEC as its senders speak it."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.engine.collect.push.hec import split_events
from watchbill.engine.collect.push.messages import RefusedError

EVENTS = b'{"time":1700000000.5,"host":"a","event":"one"} {"event":{"n":1}}\n\n{"event":"\xc3\xa4\\u0000"}'


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.floats(allow_nan=False)), max_size=6),
       st.sampled_from(["", "\n", " ", "\r\n\t"]))  # fmt: skip
def test_events_keep_their_bytes(events, between):
    """Whatever stands in them, the events come out as they went in, whether stacked or in a list."""
    raws = [json.dumps({**event, "event": {"x": event}}).encode() for event in events]
    if raws:
        assert split_events(between.encode().join(raws)) == raws
        assert split_events(b" [" + b",\n".join(raws) + b"] ") == raws


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 5), (b"  ", 5), (b"[]", 5), (b"nonsense", 6), (b'{"event":1', 6), (b"[1]", 6), (b'{"x":1}', 12),
        (b'{"event":""}', 13), (b'{"event":null}', 13), (b'{"event":1}{', 6), (b'{"event":' + b"[" * 100_000, 6),
        (b'{"event":' * 100_000, 6),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_cannot_be_split_is_refused_with_splunks_code(body, code):
    """The whole request is refused, so that nothing of it is half taken."""
    with pytest.raises(RefusedError) as caught:
        split_events(body)
    assert caught.value.code == code


def test_invalid_utf8_and_huge_numbers_keep_their_bytes():
    """Nothing is decoded and encoded again."""
    raw = b'{"event":"\xff\xfe","n":' + b"9" * 5_000 + b',"f":1e999}'
    assert split_events(raw + raw) == [raw, raw]


def test_events_with_acknowledgements(pushing):
    """An answer means durable; its number is acknowledged on its own channel alone."""

    async def story():
        async with pushing() as push:
            splunk = {
                "Authorization": "Splunk wbp_test",
                "X-Splunk-Request-Channel": "7c0b3d0e-0000-4000-8000-000000000001",
            }
            answer = await push.post("/services/collector/event", EVENTS, **splunk)
            assert answer.json() == {"text": "Success", "code": 0, "ackId": 0}
            assert push.stored("hec") == [EVENTS[:46], b'{"event":{"n":1}}', b'{"event":"\xc3\xa4\\u0000"}']
            packed = {**splunk, "Content-Encoding": "gzip"}
            answer = await push.post("/services/collector", gzip.compress(b'{"event":"two"}'), **packed)
            assert answer.json()["ackId"] == 1
            asked = await push.post("/services/collector/ack", b'{"acks":[0,1,2]}', **splunk)
            assert asked.json() == {"acks": {"0": True, "1": True, "2": False}}
            other = {**splunk, "X-Splunk-Request-Channel": "another"}
            asked = await push.post("/services/collector/ack?channel=x", b'{"acks":[0]}', **other)
            assert asked.json() == {"acks": {"0": False}}
            facts = push.here.reader.source(1)
            assert (facts.name, facts.transport, facts.facts) == ("hec:web-01", "hec", {"envelope": "hec"})

    asyncio.run(story())


def test_raw_lines(pushing):
    """Lines are records; what the address declares makes a source of its own."""

    async def story():
        async with pushing() as push:
            answer = await push.post("/services/collector/raw/1.0?host=mail-01&sourcetype=nginx", b"one\r\n\ntwo\n")
            assert answer.json() == {"text": "Success", "code": 0}
            assert push.stored("hec-raw") == [b"one", b"two"]
            facts = push.here.reader.source(1)
            assert (facts.name, facts.facts) == ("hec-raw:web-01/mail-01", {"host": "mail-01", "format": "nginx"})
            await push.post("/services/collector/raw?host=a/b", b"x", status=400)
            assert (await push.client.get("/services/collector/health")).json()["code"] == 17

    asyncio.run(story())


def test_refusals_in_splunks_words(pushing):
    """Senders decide by these whether to try again."""

    async def story():
        async with pushing() as push:
            for headers, status, code in (({"Authorization": ""}, 401, 2), ({"Authorization": "Splunk no"}, 403, 4)):
                answer = await push.post("/services/collector", b'{"event":1}', status=status, **headers)
                assert answer.json()["code"] == code
            assert (await push.post("/services/collector", b"{}", status=400)).json()["code"] == 12
            assert (await push.post("/services/collector/ack", b'{"acks":[0]}', status=400)).json()["code"] == 10
            bad = {"X-Splunk-Request-Channel": "<script>"}
            assert (await push.post("/services/collector", b'{"event":1}', status=400, **bad)).json()["code"] == 11
            assert not push.stored()
            await push.here.until(lambda: push.notes("source.refused"))
            assert push.notes("source.refused")[0]["address"] == "127.0.0.1"

    asyncio.run(story())
