"""A process that starts anew knows what its predecessor knew of open connections, and counts nothing twice."""

from __future__ import annotations

import pytest

from watchbill.core.clock import SECOND
from watchbill.flows import ingest
from watchbill.state.assets import queries as assets

INVALID = "<38>1 2026-03-05T11:59:5{0}Z db-01 sshd {1} - - Invalid user oracle from 192.0.2.7 port 4{1}"
FAILED = "<38>1 2026-03-05T11:59:5{0}Z db-01 sshd {1} - - Failed password for invalid user oracle from 192.0.2.7 port 4{1} ssh2"


def attempt(number: int) -> tuple[str, str]:
    """The two lines of one failed attempt."""
    return INVALID.format(number, 700 + number), FAILED.format(number, 700 + number)


def judge_anew(place) -> int:
    engine = place.ingest()
    return sum(iter(engine.step, 0))  # no flush: as if it were killed


@pytest.mark.parametrize(("attempts", "alerts"), [(4, 0), (5, 1)])
def test_an_attempt_whose_lines_lie_on_both_sides_of_a_restart_counts_once(place, attempts, alerts):
    """Five failed attempts are an alert; the two lines of each that two engines see are one."""
    for number in range(attempts):
        for line in attempt(number):
            place.clock.at += SECOND
            place.receive(line, source="db", transport="syslog-tcp")
            judge_anew(place)
    place.judge()
    assert [alert[:1] for alert in place.alerts()] == [("failed_logins_by_address",)] * alerts


def test_statistics_count_each_event_once_whenever_the_engine_ends(place, monkeypatch):
    """They are stored more rarely than alerts; what a killed engine had not stored the next one counts."""
    monkeypatch.setattr(ingest, "BATCH", 3)
    for number in range(8):
        place.receive(*attempt(number), source="db", transport="syslog-tcp")
        if number % 3:
            judge_anew(place)
        else:
            place.clock.at += 2 * SECOND
            place.ingest().step()
    place.judge()
    (source,) = [one for one in assets.sources(now=place.clock.now()) if one.shard == 0]
    assert source.events == 16
