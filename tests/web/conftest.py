"""The console over an installation of its own: one company a session, what a test changes is rolled back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connections, transaction
from django.test import Client

from watchbill.core.paths import DataDir
from watchbill.core.values import Role
from watchbill.flows import installation
from watchbill.state import databases

sys.path.insert(0, str(Path(__file__).parent))  # tests are no package
from company import PEOPLE, afterwards, lines, now, prepare, receive


def use(settings: dict[str, object]) -> None:
    """Let this thread's default connection be another database from here on."""
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": settings})["default"]


def forget() -> None:
    installation.lake.cache_clear()


@pytest.fixture(scope="session")
def company(tmp_path_factory, django_db_blocker) -> DataDir:
    """Logs that went the whole way, and what people did with the alerts they raised."""
    from django.core.management import call_command

    data = DataDir(tmp_path_factory.mktemp("company")).create()
    before, held = connections.settings["default"], django_settings.DATA
    with django_db_blocker.unblock():
        use(databases.sqlite(data.database))
        django_settings.DATA = data
        forget()
        call_command("migrate", verbosity=0, interactive=False)
        prepare(data)
        receive(data, tmp_path_factory.mktemp("logs"), lines(now()))
        afterwards(data)
        connections["default"].close()
        use(before)
    django_settings.DATA = held
    return data


@pytest.fixture
def console(company, django_db_blocker, settings):
    """The company as this process's installation."""
    before = connections.settings["default"]
    with django_db_blocker.unblock():
        use(databases.sqlite(company.database))
        settings.DATA = company
        forget()
        with transaction.atomic():
            yield company
            transaction.set_rollback(True)
        connections["default"].close()
        use(before)
    forget()


@pytest.fixture
def sign_in(console):
    """Give a client of a role: as the session would be after signing in, without argon2's time."""
    from django.contrib.auth import get_user_model

    def client(role: Role | None, **options) -> Client:
        found = Client(**options)
        if role is not None:
            found.force_login(
                get_user_model().objects.get(email=PEOPLE[role]), "allauth.account.auth_backends.AuthenticationBackend"
            )
        return found

    return client


@pytest.fixture
def analyst(sign_in) -> Client:
    return sign_in(Role.ANALYST)


@pytest.fixture
def administrator(sign_in) -> Client:
    return sign_in(Role.ADMINISTRATOR)


@pytest.fixture
def an_alert(console) -> str:
    """The worst unresolved alert."""
    from watchbill.state.alerts import queries
    from watchbill.state.alerts.values import UNRESOLVED, AlertFilter

    return queries.alerts(AlertFilter(status=UNRESOLVED)).items[0].id
