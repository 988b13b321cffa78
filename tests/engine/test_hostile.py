"""Records made to hurt are quarantined in less than a tenth of a second, live and offline, and those around them judged."""

from __future__ import annotations

import time

import pytest

from watchbill.core.clock import SystemClock
from watchbill.core.values import Criticality
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Detector, parse_rules
from watchbill.engine.normalise import Normaliser
from watchbill.engine.offline import Triage, survey
from watchbill.ledger import SourceFacts, StoredRecord

#: Python's hash of every multiple of this is 0.
COLLIDING = (1 << 61) - 1
GOOD = b'{"kind":"good","user":"eve"}'
RULES = """
title: Good
name: good
logsource: {service: json}
detection: {s: {kind: good}, condition: s}
watchbill: {controls: [A.8.15], owner: ops, rationale: For the test., response: [Look.]}
"""


def numbers(count):
    return [b"%d" % (COLLIDING * place) for place in range(100, 100 + count)]


HOSTILE = {
    "objects nested 100,000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "arrays nested 100,000 deep": b'{"kind":"good","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested as deep as a record may be": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a million keys": b"{" + b",".join(b'"%d":0' % place for place in range(1_000_000)) + b"}",
    "keys by the ten thousand": b"{" + b",".join(b'"%d":0' % place for place in range(70_000)) + b"}",
    "keys that are colliding numbers": b"{" + b",".join(b'"%s":%s' % (one, one) for one in numbers(1_300)) + b"}",
    "values that collide": b'{"kind":"good","a":[' + b",".join(numbers(2_500)) + b"]}",
    "many values that collide": b'{"kind":"good","a":[' + b",".join(numbers(30_000)) + b"]}",
    "an integer of a million digits": b'{"kind":"good","n":' + b"9" * 1_000_000 + b"}",
    "an integer of thousands of digits": b'{"kind":"good","n":-' + b"9" * 60_000 + b"}",
    "an exponent of thousands of digits": b'{"kind":"good","n":1e' + b"9" * 4_000 + b"}",
}
PARSERS = Catalog.load("watchbill.content").parsers


def rules():
    loaded = parse_rules(RULES, "good.yml")
    assert not loaded.problems
    return loaded


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_record_costs_a_live_engine_little(name):
    """It becomes an event with a flaw, and the ones before and after it are judged."""
    facts = SourceFacts(1, "app", "syslog-tcp", {"format": "json"})
    took = []
    while not took or (min(took) >= 0.1 and len(took) < 8):
        normaliser, detector = Normaliser(PARSERS, clock=SystemClock()), Detector(rules(), lambda _: Criticality.LOW)
        found = []
        for position, raw in enumerate([GOOD, HOSTILE[name], GOOD]):
            start = time.thread_time()
            events = normaliser.normalise([(StoredRecord(position, raw, 1, 10**18, 0, 0), facts, 0)])
            found += detector.feed(events, detector.match(events))
            detector.dirty()
            if position == 1:
                took.append(time.thread_time() - start)
                assert events[0].flaw
        assert [ref.position for one in found for ref in one.events] == [0, 2]
    assert min(took) < 0.1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_record_costs_detect_little(name, tmp_path):
    """In a file it is counted with its flaw, and the ones around it are found."""
    before, after = [], []
    calm, hostile = tmp_path / "calm.jsonl", tmp_path / "hostile.jsonl"
    calm.write_bytes(GOOD + b"\n" + GOOD)
    hostile.write_bytes(GOOD + b"\n" + HOSTILE[name] + b"\n" + GOOD)
    while not after or (min(after) - min(before) >= 0.1 and len(after) < 8):
        for path, took in (calm, before), (hostile, after):
            sources, _ = survey([str(path)])
            triage = Triage(rules(), PARSERS, SystemClock())
            start = time.thread_time()
            hits = list(triage.run(sources, 1, lambda _: None))
            took.append(time.thread_time() - start)
            assert [hit.rule.name for hit in hits] == ["good", "good"]
            # A line that is longer than any record is passed over, which is told as well.
            assert bool(triage.tally.flaws or triage.troubles) == (path == hostile)
    assert min(after) - min(before) < 0.1
