"""The demo is played through the real path: what its list of incidents says becomes alerts, and nothing else."""

from __future__ import annotations

import json
from functools import partial

import pytest

from watchbill.content.demo import ASSETS, INCIDENTS, month
from watchbill.core.clock import DAY, SECOND
from watchbill.core.errors import ConflictError
from watchbill.flows import demo
from watchbill.state.alerts import queries
from watchbill.state.alerts.values import AlertFilter
from watchbill.state.assets import queries as assets
from watchbill.state.trail import queries as trail
from watchbill.state.trail.values import TrailFilter

#: 2026-09-21T13:33:20Z, a Monday
END = 1_790_000_000 * SECOND
HOSTS = {incident.host for incident in INCIDENTS} | {asset.name for asset in ASSETS[:3]}


def short(seed: int, end: int, hosts: set[str] = HOSTS):
    """Of the hosts those that have an incident, and three more; of days without an incident every sixth record."""
    days = {incident.at(end) // DAY for incident in INCIDENTS}
    for number, record in enumerate(month(seed, end)):
        if record.received_ns < end - demo.demo.DAYS * DAY:
            continue
        if (record.source_name in hosts or record.format) and (record.received_ns // DAY in days or number % 6 == 0):
            yield record


@pytest.fixture
def played(new_place, monkeypatch):
    def play(*hosts: str):
        place = new_place()
        monkeypatch.setattr(demo.demo, "month", partial(short, hosts=set(hosts) or HOSTS))
        demo.play(place.data, place.config, END, seed=7)
        return place

    return play


def story(place):
    """Alerts with their whole history, and what everybody did."""
    rows = queries.alerts(AlertFilter(size=200)).items
    history = {row.id: queries.alert(row.id).history for row in rows}
    acts = [(one.at, one.actor, one.action, one.object_id) for one in trail.entries(TrailFilter(limit=5_000))]
    return place.alerts(), history, acts


def test_incidents_become_alerts_and_nobody_else(played):
    """Each incident's rules alert on its host; people answer; it is marked as a demo; a second play is refused."""
    place = played()
    rows = queries.alerts(AlertFilter(size=200)).items
    wanted = {(rule, incident.host) for incident in INCIDENTS for rule in incident.rules}
    wanted.add(("user_created", "watchbill"))  # the people of the demo are added, and Watchbill watches itself
    # The short month leaves out whole days, and with them the backups of those days.
    assert {(row.rule, row.host) for row in rows if row.rule != "backup_missed"} == wanted
    assert {row.status.value for row in rows} > {"open", "resolved"}
    assert all(queries.alert(row.id).evidence for row in rows)
    assert json.loads(demo.marker(place.data).read_text())["seed"] == 7
    assert {source.state.value for source in assets.sources(now=END)} <= {"alive", "silent"}
    assert len(place.searched()) == place.head() + place.head(1) - registrations(place)
    with pytest.raises(ConflictError, match="in use already"):
        demo.play(place.data, place.config, END)


def test_the_same_seed_tells_the_same_story(played, monkeypatch):
    """Alerts, evidence, what people did and when: all of it comes again (of the last two days)."""
    monkeypatch.setattr(demo.demo, "DAYS", 2)
    monkeypatch.setattr(demo.demo, "INCIDENTS", [one for one in INCIDENTS if one.at(END) > END - 2 * DAY])
    first, second = (story(played("web-02", "backup-01")) for _ in range(2))
    assert first[0]
    assert first == second


def registrations(place) -> int:
    from watchbill.ledger import Reader

    readers = [Reader(place.data.ledger, shard) for shard in (0, 1)]
    return sum(1 for reader in readers for record in reader.read(0, 1 << 30) if not record.source)
