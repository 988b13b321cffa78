"""A month of the demo company is played: through the ledger, the engine and the people who answer, in minutes.

Nothing here is faked beyond the records themselves and the clock: alerts, statistics, trail, ledger and lake come
about as they do in earnest. The installation is marked as a demo.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Self

from watchbill.content import demo
from watchbill.core.clock import DAY, HOUR, MINUTE, SECOND, FixedClock
from watchbill.core.config import Config
from watchbill.core.errors import ConflictError
from watchbill.core.paths import DataDir
from watchbill.core.times import rfc3339
from watchbill.core.values import AlertStatus, Disposition, Role
from watchbill.flows import content, prove
from watchbill.flows.assess import assess
from watchbill.flows.forward import Forwarder
from watchbill.flows.ingest import Ingest, open_ingest
from watchbill.ledger import Writer
from watchbill.state.accounts import actions as accounts
from watchbill.state.alerts import actions as alerts
from watchbill.state.alerts import queries as alert_queries
from watchbill.state.alerts.values import UNRESOLVED, AlertFilter, AlertRow
from watchbill.state.assets import actions as assets
from watchbill.state.assets import queries as asset_queries
from watchbill.state.assets.values import SourceState
from watchbill.state.controls import actions as controls
from watchbill.state.controls import queries as control_queries

SEED = 27001
EVENTS = 200_000
_SLICE = 6 * HOUR
_CLOSE = 20 * SECOND
#: Alerts of the last days are left for whoever looks at the demo; those before are at least taken.
_LEFT_OPEN, _TAKEN = 5 * DAY, 12 * DAY
_WATCH = ("sec.analyst1@larkfield.example", "sec.analyst2@larkfield.example")
_LEAD = "ops.lead1@larkfield.example"
_ATTESTED = {
    "A.5.1": "The policy set was read in full, and its approval of this year is on file.",
    "A.6.3": "All 80 people took this year's awareness course; the list was compared with the payroll.",
    "A.7.4": "The cameras' recordings of four days were looked at on site.",
    "5.2": "The top-level policy hangs in both buildings and was acknowledged by everybody.",
}


def marker(data: DataDir) -> Path:
    """Says that an installation holds a demo; the console shows it on every page."""
    return data.root / "demo.json"


def play(
    data: DataDir, config: Config, end: int, *, seed: int = SEED, progress: Callable[[int], None] | None = None
) -> None:
    """Play the thirty days before ``end`` into an installation that was prepared and is otherwise empty.

    ``progress`` is told of records as they are judged. Raises ConflictError if something is there already.
    """
    if any(data.ledger.glob("shard-0000*")):
        raise ConflictError(f"{data.root} is in use already", mend="name an empty folder with --data")
    clock = FixedClock(end - demo.DAYS * DAY)
    marker(data).write_text(json.dumps({"company": demo.COMPANY, "seed": seed, "end": rfc3339(end)}))
    _introduce(clock.now())
    catalog = content.installed(data, config)
    rules = content.rules(catalog)
    people = _People(Random(f"people {seed}"), end)  # noqa: S311  a demo must be repeatable, not secret
    with Forwarder(data, clock) as forwarder, _Receiver(data, clock) as receiver:
        ingest = open_ingest(data, config, clock)
        for upto, records in _slices(demo.month(seed, end), _moments(end)):
            receiver.receive(records)
            clock.at = max(clock.at, upto)
            _judge(ingest, forwarder, progress)
            assets.watch_silence(clock.now())
            people.answer(clock.now())
            if upto % DAY == 0:
                assess(data, catalog, rules, clock, force=True)
            _judge(ingest, forwarder, progress)
        prove.verify(data, clock)
        assess(data, catalog, rules, clock, force=True)
        _expect_no_more(clock.now())
        _judge(ingest, forwarder, progress)
        ingest.flush()


def _moments(end: int) -> list[int]:
    """When the engine looks: every few hours, and closely while something happens, so that alerts come in time."""
    begin = end - demo.DAYS * DAY
    close = [incident.at(end) + step * _CLOSE for incident in demo.INCIDENTS for step in range(1, 16)]
    return sorted({*range(begin - begin % _SLICE + _SLICE, end, _SLICE), *close, end})


def _slices(records: Iterator[demo.DemoRecord], moments: Iterable[int]) -> Iterator[tuple[int, list[demo.DemoRecord]]]:
    """Cut a stream that is in order of receipt at these moments; the last one takes the rest."""
    held = next(records, None)
    for moment in moments:
        found = []
        while held is not None and held.received_ns < moment:
            found.append(held)
            held = next(records, None)
        yield moment, found


def _judge(ingest: Ingest, forwarder: Forwarder, progress: Callable[[int], None] | None) -> None:
    forwarder.forward()
    while count := ingest.step():
        if progress:
            progress(count)


def _introduce(at: int) -> None:
    """Who works there, what they own, and what somebody vouches for."""
    for email, role in (*((email, Role.ANALYST) for email in _WATCH), (_LEAD, Role.ADMINISTRATOR),
                        ("auditor@certifier.example", Role.AUDITOR)):  # fmt: skip
        accounts.create_user(email, role=role, at=at)
    for asset in demo.ASSETS:
        assets.add_asset(
            asset.name, by=_LEAD, at=at, criticality=asset.criticality, owner=asset.owner,
            expected_sources=asset.expected_sources,
        )  # fmt: skip
    for control, statement in _ATTESTED.items():
        controls.attest(control, statement, valid_until=at + 300 * DAY, by=_LEAD, at=at)
    for row in control_queries.controls():
        controls.set_owner(row.id, "ops.lead1" if row.theme == "technological" else "isms.manager", by=_LEAD, at=at)


def _expect_no_more(at: int) -> None:
    """The recording ends here: silence after it says nothing, but for the source that fell silent within it."""
    for source in asset_queries.sources(now=at):
        if source.state is not SourceState.SILENT and source.silent_after:
            assets.set_silent_after(source.id, 0, by="system", at=at)


class _Receiver:
    """Takes the month's records into shard 0, each at the moment at which it arrived."""

    def __init__(self, data: DataDir, clock: FixedClock) -> None:
        self.writer = Writer.open(data.ledger, shard=0, keys=data.keys, clock=clock)
        self.clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def receive(self, records: list[demo.DemoRecord]) -> None:
        for record in records:
            self.clock.at = max(self.clock.at, record.received_ns)
            source = self.writer.source(record.source_name, record.transport, format=record.format, demo="yes")
            self.writer.append(source, [record.raw], record.received_ns)
        self.writer.commit()
        self.writer.tick()


class _People:
    """The two analysts of the demo company: they acknowledge within the hour and close within the day."""

    def __init__(self, chance: Random, end: int) -> None:
        self.chance = chance
        self.end = end
        self.sees: dict[str, int] = {}

    def answer(self, now: int) -> None:
        cursor = ""
        waiting: list[AlertRow] = []
        while True:
            page = alert_queries.alerts(AlertFilter(status=UNRESOLVED, cursor=cursor, size=200))
            waiting += page.items
            cursor = page.next
            if not cursor:
                break
        for alert in sorted(waiting, key=lambda one: one.opened_at):
            if alert.opened_at < self.end - _LEFT_OPEN:
                self._handle(alert, now)

    def _handle(self, alert: AlertRow, now: int) -> None:
        who = self.chance.choice(_WATCH)
        if alert.acknowledged_at is None:
            if alert.id not in self.sees:
                self.sees[alert.id] = alert.opened_at + self.chance.randrange(3, 55) * MINUTE
            if self.sees[alert.id] <= now:
                alerts.acknowledge(alert.id, by=who, at=self.sees[alert.id])
            return
        if now - alert.opened_at < 8 * HOUR:
            return
        if alert.opened_at > self.end - _TAKEN:
            if alert.status is AlertStatus.ACKNOWLEDGED and self.chance.random() < 0.5:
                alerts.investigate(alert.id, by=who, at=now, comment="Talking to the owner of the system.")
            return
        if alert.rule == "user_created":
            disposition, comment = Disposition.BENIGN, "A colleague who starts this month; the request is on file."
        else:
            disposition, comment = Disposition.TRUE_POSITIVE, "Confirmed with the owner of the system, and contained."
        alerts.resolve(alert.id, disposition, by=who, at=now, comment=comment)
