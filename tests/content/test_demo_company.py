"""The demo company tells the truth: what goes wrong is what its list of incidents says, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.content.demo import ASSETS, DAYS, INCIDENTS, PEOPLE, month
from watchbill.core.clock import DAY, SECOND, FixedClock
from watchbill.core.values import Criticality
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Detector, load_rules
from watchbill.engine.normalise import Normaliser
from watchbill.sdk import ocsf

#: 2026-09-21T13:33:20Z, a Monday
END = 1_790_000_000 * SECOND
DOCUMENTATION = [ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]


class Record(NamedTuple):
    position: int
    raw: bytes
    source: int
    received: int
    source_time: int = 0


class Source(NamedTuple):
    number: int
    name: str
    transport: str
    facts: dict[str, str]


@pytest.fixture(scope="module")
def records():
    return list(month(7, END))


@pytest.fixture(scope="module")
def catalog():
    return Catalog.load("watchbill.content", outside=False)


@pytest.fixture(scope="module")
def events(records, catalog):
    """The days of the incidents, a weekend among them, through the real parsers."""
    days = {incident.at(END) // DAY for incident in INCIDENTS}
    numbers: dict[str, int] = {}
    batch = [
        (
            Record(position, record.raw, numbers.setdefault(record.source_name, len(numbers) + 1), record.received_ns),
            Source(numbers[record.source_name], record.source_name, record.transport, {"format": record.format}),
            0,
        )
        for position, record in enumerate(records)
        if record.received_ns // DAY in days
    ]
    return Normaliser(catalog.parsers, clock=FixedClock(END)).normalise(batch)


def test_the_rules_find_the_incidents_and_nothing_else(events, catalog):
    """Eight incidents, seven of them in the records (silence leaves none), each by its own rules on its own system."""
    criticality = {asset.name: asset.criticality for asset in ASSETS}
    ruleset = load_rules(catalog.rule_files)
    detector = Detector(ruleset, lambda host: criticality.get(host, Criticality.MEDIUM))
    found = {}
    for start in range(0, len(events), 2000):
        part = events[start : start + 2000]
        for detection in detector.feed(part, detector.match(part)):
            if detection.rule == "backup_missed":
                continue  # it is right: days without incidents are left out here, and their backups with them
            found[detection.rule, detection.group] = (detection.rule, detection.host, detection.first // DAY)
    wanted = [
        (rule, one.host, one.at(END) // DAY) for one in INCIDENTS for rule in one.rules if rule != "source_silent"
    ]
    assert sorted(found.values()) == sorted(wanted)
    assert {rule for one in INCIDENTS for rule in one.rules} <= {rule.name for rule in ruleset.rules}


def test_every_record_is_understood(events):
    """No record is quarantined, and all the kinds of source that we read are in it."""
    assert Counter(event.flaw for event in events) == {"": len(events)}
    kinds = {event.class_uid for event in events}
    assert {
        ocsf.AUTHENTICATION, ocsf.HTTP_ACTIVITY, ocsf.API_ACTIVITY, ocsf.PROCESS_ACTIVITY, ocsf.SCHEDULED_JOB_ACTIVITY,
        ocsf.APPLICATION_LIFECYCLE, ocsf.EVENT_LOG_ACTIVITY, ocsf.GROUP_MANAGEMENT, ocsf.BASE,
    } <= kinds  # fmt: skip
    assert {event.host for event in events} == {asset.name for asset in ASSETS}


def test_a_month_has_the_size_and_order_that_it_says(records):
    """Some two hundred thousand records of thirty days, as they arrive."""
    times = [record.received_ns for record in records]
    assert 180_000 < len(records) < 220_000
    assert times == sorted(times)
    assert END - DAYS * DAY <= times[0] < END - 29 * DAY < END - 60 * SECOND < times[-1] < END


def test_the_same_seed_gives_the_same_month(records):
    """The demo can be shown again; another seed is another month."""
    again, other = (list(islice(month(seed, END), 20_000)) for seed in (7, 8))
    assert again == records[:20_000]
    assert {record.raw for record in other}.isdisjoint(record.raw for record in again if b"sshd" in record.raw)


@given(end=st.integers(1_600_000_000, 2_500_000_000).map(lambda seconds: seconds * SECOND))
def test_incidents_happen_within_the_month(end):
    """Whenever the demo is run, all of them are in the past and inside the thirty days, one a day."""
    times = [incident.at(end) for incident in INCIDENTS]
    assert all(end - DAYS * DAY < time < end - DAY for time in times)
    assert len({incident.host for incident in INCIDENTS}) == len(INCIDENTS)
    assert len(set(times)) == len(times)


def test_a_silent_source_says_no_more(records):
    """The backup server's last words are two days old, and the finance database is quiet for its forty minutes."""
    last = {record.source_name: record.received_ns for record in records}
    silent = next(incident for incident in INCIDENTS if incident.id == "silent-source")
    assert silent.at(END) < last.pop(silent.host) < silent.at(END) + 120 * SECOND
    assert min(last.values()) > END - DAY
    stopped = next(incident for incident in INCIDENTS if incident.id == "logging-stopped")
    begin = stopped.at(END)
    heard = [
        r
        for r in records
        if r.source_name == stopped.host and begin + 61 * SECOND < r.received_ns < begin + 2400 * SECOND
    ]
    assert heard == []


def test_nobody_and_nothing_in_it_is_real(records):
    """Documentation addresses, names under .example, logins that are roles."""
    text = b"\n".join(record.raw for record in records[:60_000]).decode()
    for found in set(re.findall(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", text)):
        assert any(ip_address(found) in network for network in DOCUMENTATION), found
    domains = set(re.findall(r"\b[a-z0-9-]+\.(?:com|org|net|io|de|eu)\b", text))
    assert domains <= {"amazonaws.com"}  # how CloudTrail names its services
    assert all(re.fullmatch(r"[a-z.]+\d+", name) for name in PEOPLE)


def test_the_company_has_its_eighty_people_and_forty_assets():
    """Every asset has an owner and says what should be heard from it."""
    assert (len(set(PEOPLE)), len({asset.name for asset in ASSETS})) == (80, 40)
    assert set(Counter(asset.criticality for asset in ASSETS)) == set(Criticality)
    assert all(asset.owner and asset.purpose and asset.expected_sources for asset in ASSETS)
