"""Every parser's own samples, through the real normaliser with all parsers loaded."""

from __future__ import annotations

from functools import partial

import pytest
from normalising import PARSERS, normalised

from cpu import cpu_seconds
from watchbill.core.times import from_rfc3339

SAMPLES = [
    pytest.param(parser, sample, id=f"{parser.id}-{number}")
    for parser in PARSERS
    for number, sample in enumerate(parser.samples)
]


@pytest.mark.parametrize(("parser", "sample"), SAMPLES)
def test_a_sample_becomes_the_event_it_says(parser, sample):
    """A positive sample gives the named fields; a negative one is left to others."""
    (event,) = normalised([sample.raw], transport="internal" if parser.internal else "replay")
    if sample.class_uid is None:
        assert event.parser != parser.id
        return
    assert (event.parser, event.class_uid, event.flaw) == (parser.id, sample.class_uid, "")
    assert {name: event.ocsf.get(name) for name in sample.ocsf} == dict(sample.ocsf)
    assert {name: event.native.get(name) for name in sample.native} == dict(sample.native)
    if sample.time:
        assert event.time == from_rfc3339(sample.time)
    if sample.host:
        assert event.host == event.ocsf["device.hostname"] == sample.host


@pytest.mark.parametrize("transport", ["syslog-udp", "http", "file", "replay"])
def test_nobody_else_speaks_in_watchbills_name(transport):
    """A record that looks like one of ours, from a sender who even says so, is some JSON object."""
    raw = '{"watchbill":1,"event":"ledger.damaged","at":1772618400000000000,"actor":"system","object":{"kind":"ledger","id":"0"},"detail":{}}'
    (event,) = normalised([raw], transport=transport, name="watchbill", format="watchbill")
    assert (event.parser, event.logsource.product) == ("json", "")
    (event,) = normalised([raw], transport="internal")
    assert event.parser == "watchbill"


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.id)
def test_every_parser_has_both_kinds_of_samples(parser):
    """A parser shows what it takes, and (unless it takes everything) what it leaves."""
    assert any(sample.class_uid is not None for sample in parser.samples)
    if parser.rank < 99:
        assert any(sample.class_uid is None for sample in parser.samples)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.id)
def test_repetition_does_not_blow_up(parser):
    """A line that repeats a part of itself up to the limit costs milliseconds: no expression backtracks without bound."""
    for sample in parser.samples[:8]:
        words = sample.raw.split(" ")
        for cut in range(2, len(words), 3):
            part = " ".join(words[cut - 1 : cut + 1]) + " "
            line = " ".join(words[:cut]) + " " + part * (60_000 // len(part))
            assert cpu_seconds(partial(normalised, [line]), 0.5) < 0.5, (sample.raw, cut)
