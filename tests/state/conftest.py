"""Every test here runs twice: on SQLite in a WAL file and on a real PostgreSQL that the tests start themselves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from watchbill.core.values import Role
from watchbill.state import databases
from watchbill.state.accounts import actions as accounts

sys.path.append(str(Path(__file__).parent))  # for alert_detections: pytest in importlib mode adds nothing

NOW = 1_772_600_000_000_000_000
ANALYST = "ana@example.com"
ADMINISTRATOR = "admin@example.com"


def use(settings: dict[str, object]) -> None:
    """Let this thread's default connection be another database from here on."""
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": settings})["default"]


@pytest.fixture(scope="session")
def migrated() -> dict[str, dict[str, object]]:
    """The databases that have their tables already, by kind."""
    return {}


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database(request, tmp_path_factory, migrated, django_db_blocker):
    """Put one of the two databases, migrated, in the place of the default one."""
    kind = request.param
    before = connections.settings["default"]
    with django_db_blocker.unblock():
        if kind in migrated:
            use(migrated[kind])
        else:
            if kind == "sqlite":
                settings = databases.sqlite(tmp_path_factory.mktemp("sqlite") / "state.sqlite3")
            else:
                settings = databases.postgresql(request.getfixturevalue("postgresql_url"))
            use(settings)
            call_command("migrate", verbosity=0, interactive=False)
            migrated[kind] = settings
        yield kind
        use(before)


@pytest.fixture(autouse=True)
def state(database, django_db_blocker):
    """A clean database: what a test writes is rolled back."""
    with django_db_blocker.unblock():
        with transaction.atomic():
            yield database
            transaction.set_rollback(True)
        connection.close()


@pytest.fixture
def people(state):
    """An analyst and an administrator, without passwords (argon2 is slow on purpose)."""
    accounts.create_user(ANALYST, role=Role.ANALYST, at=NOW)
    accounts.create_user(ADMINISTRATOR, role=Role.ADMINISTRATOR, at=NOW)
