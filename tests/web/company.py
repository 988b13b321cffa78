"""A small company for the console's tests: real log lines by the real path, real actions by real people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchbill.core.clock import DAY, SystemClock
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.core.values import Criticality, Role, Severity

PASSWORD = "a watch is stood by people"
PEOPLE = {role: f"{role}@example.com" for role in Role}


def lines(now: datetime) -> list[str]:
    """Two days of a few hosts in syslog (RFC 5424), with two attackers, a new administrator and a hostile message."""
    found: list[tuple[datetime, str]] = []

    def add(ago: timedelta, host: str, app: str, text: str) -> None:
        at = now - ago
        found.append((at, f"<38>1 {at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z {host} {app} 812 - - {text}"))

    for number in range(60):
        host = ("web-01", "db-01", "mail-01")[number % 3]
        add(
            timedelta(minutes=47 * number),
            host,
            "sshd",
            f"Accepted publickey for anna from 198.51.100.{number % 9 + 2} port 4{number:03d} ssh2: ED25519 SHA256:abc",
        )
        add(timedelta(minutes=41 * number), host, "systemd", "Started logrotate.service - Rotate log files.")
    for host, address, user in (("web-01", "203.0.113.7", "root"), ("db-01", "203.0.113.9", "backup")):
        for number in range(30):
            add(
                timedelta(hours=2, seconds=-3 * number),
                host,
                "sshd",
                f"Failed password for {user} from {address} port {40000 + number} ssh2",
            )
    add(
        timedelta(hours=1),
        "db-01",
        "useradd",
        "new user: name=support2, UID=1005, GID=1005, home=/home/support2, shell=/bin/bash, from=/dev/pts/1",
    )
    add(timedelta(hours=1, seconds=-5), "db-01", "usermod", "add 'support2' to group 'sudo'")
    add(timedelta(minutes=30), "web-01", "shop", "<script>alert(1)</script> is what a visitor called themselves")
    return [line for _, line in sorted(found)]


def people() -> None:
    """One person a role; all have the same password, hashed once."""
    from watchbill.state.accounts import actions

    for role, email in PEOPLE.items():
        actions.create_user(email, role=role, at=SystemClock().now(), password=PASSWORD)


def receive(data: DataDir, folder: Path, records: list[str]) -> None:
    """The lines go the whole way: into the ledger, judged, at rest."""
    from watchbill.flows import content
    from watchbill.flows.ingest import Ingest
    from watchbill.flows.replay import replay

    path = folder / "company.log"
    path.write_text("\n".join(records) + "\n")
    config = Config.load(data)
    replay(data, [str(path)], SystemClock())
    catalog = content.installed(data, config)
    ingest = Ingest(data, config, catalog, content.rules(catalog), SystemClock())
    ingest.drain()
    ingest.flush()


def prepare(data: DataDir) -> None:
    """What holds before the first record: the catalogue, the people, a channel, how much an asset matters."""
    from watchbill.engine.catalog import Catalog
    from watchbill.flows.prepare import sync_controls
    from watchbill.state.alerts import actions as alerts
    from watchbill.state.assets import actions as assets

    at, by = SystemClock().now(), PEOPLE[Role.ADMINISTRATOR]
    sync_controls(Catalog.load("watchbill.content"), SystemClock())
    people()
    assets.add_asset(
        "db-01", by=by, at=at, criticality=Criticality.HIGH, owner="data team", expected_sources=("sshd", "auditd")
    )
    config = {"url": "https://hooks.example.com/watch", "secret": "not to be shown"}
    alerts.create_channel("webhook", "On-call", config, secret=("secret",), min_severity=Severity.HIGH, by=by, at=at)


def afterwards(data: DataDir) -> None:
    """What people and the worker did with it."""
    from watchbill.flows import content
    from watchbill.flows.assess import assess
    from watchbill.state.controls import actions

    catalog = content.installed(data, Config.load(data))
    at = SystemClock().now()
    actions.attest("A.6.3", "All staff took the training.", valid_until=at + 90 * DAY, by=PEOPLE[Role.ANALYST], at=at)
    assess(data, catalog, content.rules(catalog), SystemClock(), force=True)


def now() -> datetime:
    return datetime.now(UTC)
