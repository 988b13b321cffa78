"""Installations for tests: a real folder, ledger, lake and database each; nothing is rolled back or faked."""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection, connections

from watchbill.core.clock import SECOND, FixedClock
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import RuleSet
from watchbill.flows import content
from watchbill.ledger import Reader, Writer
from watchbill.state import databases

#: 2026-03-05T12:00:00Z
NOW = 1_772_712_000 * SECOND
_DATABASES = count()


def use(settings: dict[str, object]) -> None:
    """Let this thread's default connection be another database from here on."""
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": settings})["default"]


@dataclass
class Place:
    """An installation, its clock, and what it judges by."""

    data: DataDir
    clock: FixedClock
    config: Config
    catalog: Catalog
    rules: RuleSet

    def receive(self, *lines: str | bytes, source: str = "story", transport: str = "replay", **facts: str) -> int:
        """Put records into shard 0 as a receiver does; returns the durable head."""
        with Writer.open(self.data.ledger, shard=0, keys=self.data.keys, clock=self.clock) as writer:
            number = writer.source(source, transport, **facts)
            writer.append(
                number, [line if isinstance(line, bytes) else line.encode() for line in lines], self.clock.now()
            )
            return writer.commit()

    def ingest(self, start_judge=None):
        """An engine that begins where the stored results end, as a new process does."""
        from watchbill.flows.ingest import Ingest

        return Ingest(self.data, self.config, self.catalog, self.rules, self.clock, start_judge)

    def judge(self) -> int:
        """Forward what people did, judge everything and write it to the lake."""
        from watchbill.flows.forward import Forwarder

        with Forwarder(self.data, self.clock) as forwarder:
            forwarder.forward()
        return self.ingest().drain()

    def head(self, shard: int = 0) -> int:
        return Reader(self.data.ledger, shard).head()

    def alerts(self) -> list[tuple]:
        """All alerts as what does not depend on when they were judged, evidence included."""
        from watchbill.state.alerts import queries
        from watchbill.state.alerts.values import AlertFilter

        found = []
        page = queries.alerts(AlertFilter(size=200))
        assert not page.next
        for row in page.items:
            view = queries.alert(row.id)
            evidence = [(ref.shard, ref.position, ref.time) for ref in view.evidence]
            found.append((
                row.rule, row.group, row.severity.value, row.criticality.value, row.status.value, row.events, row.first,
                row.last, sorted(row.entities.items()), evidence,
            ))  # fmt: skip
        return sorted(found, key=repr)

    def searched(self, query: str = "") -> list[tuple[int, int, int]]:
        """Shard, position and time of what the lake finds."""
        from watchbill.lake import Lake

        lake, found, cursor = Lake(self.data.lake), [], ""
        while True:
            page = lake.search(query, 0, 1 << 62, limit=1_000, cursor=cursor)
            found += [(row.shard, row.position, row.time) for row in page.rows]
            cursor = page.cursor
            if not cursor:
                return sorted(found)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return Catalog.load(content.PACKAGE)


@pytest.fixture(scope="session")
def rules(catalog) -> RuleSet:
    return content.rules(catalog)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory, django_db_blocker):
    """A prepared SQLite database, to be copied."""
    from watchbill.core.clock import SystemClock
    from watchbill.flows.prepare import sync_controls

    path = tmp_path_factory.mktemp("fresh") / "state.sqlite3"
    before = connections.settings["default"]
    with django_db_blocker.unblock():
        use(databases.sqlite(path))
        call_command("migrate", verbosity=0, interactive=False)
        sync_controls(Catalog.load(content.PACKAGE), SystemClock())
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        use(before)
    return path


@pytest.fixture
def new_place(tmp_path, fresh, catalog, rules, django_db_blocker, monkeypatch):
    """Makes installations on SQLite; the newest one is the one that this process serves."""
    before, numbers = connections.settings["default"], count()

    def make() -> Place:
        data = DataDir(tmp_path / f"data-{next(numbers)}").create()
        shutil.copy(fresh, data.database)
        use(databases.sqlite(data.database))
        monkeypatch.setattr(django_settings, "DATA", data)
        monkeypatch.setenv("WATCHBILL_DATA", str(data.root))
        return Place(data, FixedClock(NOW), Config.load(data, {}), catalog, rules)

    with django_db_blocker.unblock():
        yield make
        use(before)


@pytest.fixture
def place(new_place) -> Place:
    return new_place()


@pytest.fixture
def postgresql_place(tmp_path, postgresql_url, catalog, rules, django_db_blocker, monkeypatch):
    """An installation on PostgreSQL."""
    before, name = connections.settings["default"], f"flows_{os.getpid()}_{next(_DATABASES)}"
    data = DataDir(tmp_path / "data-postgresql").create()
    with django_db_blocker.unblock():
        use(databases.postgresql(postgresql_url))
        connection.cursor().execute(f"CREATE DATABASE {name}")
        use(databases.postgresql(postgresql_url) | {"NAME": name})
        call_command("migrate", verbosity=0, interactive=False)
        monkeypatch.setattr(django_settings, "DATA", data)
        yield Place(data, FixedClock(NOW), Config.load(data, {}), catalog, rules)
        use(before)


class Story:
    """An afternoon on four hosts: people at work, attackers whose failures come in several lines each, an intrusion."""

    def __init__(self, size: int, seed: int = 7) -> None:
        self.chance = random.Random(seed)
        self.lines: list[str] = []
        self.at = datetime.fromtimestamp(NOW // SECOND, UTC) - timedelta(hours=3)
        while len(self.lines) < size:
            self._go_on()
        self._intrude()

    def write(self, path: Path) -> Path:
        path.write_text("".join(f"{line}\n" for line in self.lines))
        return path

    def _say(self, host: str, app: str, pid: int, text: str) -> None:
        self.at += timedelta(milliseconds=self.chance.randrange(20, 900))
        self.lines.append(
            f"<38>1 {self.at:%Y-%m-%dT%H:%M:%S}.{self.at.microsecond // 1000:03d}Z {host} {app} {pid} - - {text}"
        )

    def _go_on(self) -> None:
        chance = self.chance
        host, pid = chance.choice(("web-01", "web-02", "db-01", "mail-01")), chance.randrange(1000, 60000)
        kind = chance.random()
        if kind < 0.5:
            self._say(host, "CRON", pid, "(root) CMD (/usr/local/bin/rotate)")
        elif kind < 0.8:
            who, where = chance.choice(("anna", "ben", "carl")), f"198.51.100.{chance.randrange(2, 60)}"
            self._say(
                host, "sshd", pid, f"Accepted publickey for {who} from {where} port {pid} ssh2: ED25519 SHA256:abc"
            )
        elif kind < 0.9:
            where = f"203.0.113.{chance.randrange(1, 6)}"
            self._say(host, "sshd", pid, f"Invalid user oracle from {where} port {pid}")
            self._say(host, "sshd", pid, f"Failed password for invalid user oracle from {where} port {pid} ssh2")
            self._say(host, "sshd", pid, f"Connection closed by invalid user oracle {where} port {pid} [preauth]")
        else:
            self._say(
                host, "sshd", pid, f"Failed password for anna from 198.51.100.{chance.randrange(2, 60)} port {pid} ssh2"
            )

    def _intrude(self) -> None:
        for pid in range(500, 530):
            self._say("db-01", "sshd", pid, f"Failed password for backup from 203.0.113.77 port {pid} ssh2")
        self._say("db-01", "sshd", 531, "Accepted password for backup from 203.0.113.77 port 531 ssh2")
        self._say("db-01", "usermod", 540, "add 'backup' to group 'sudo'")
        self._say("db-01", "systemd", 1, "Stopping rsyslog.service - System Logging Service...")
        self._say("db-01", "systemd", 1, "Stopped rsyslog.service - System Logging Service.")


@pytest.fixture(scope="session")
def story() -> Story:
    return Story(1_200)
