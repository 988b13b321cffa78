"""The API over the console's company: real logs that went the whole way; what a test changes is rolled back."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import transaction

from ports import free_port
from watchbill.core.clock import DAY, SystemClock
from watchbill.core.paths import DataDir
from watchbill.core.values import Role

sys.path.append(str(Path(__file__).parent))  # for conforming: pytest in importlib mode adds nothing
_WEB = Path(__file__).parents[1] / "web" / "conftest.py"
_spec = importlib.util.spec_from_file_location("console_fixtures", _WEB)
_console = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_console)
company, console, sign_in, an_alert = _console.company, _console.console, _console.sign_in, _console.an_alert
from calling import PEOPLE, Caller, Operation  # noqa: E402 (found by the lines above)


@pytest.fixture(autouse=True)
def forgotten():
    """No test inherits another one's wrong tokens."""
    cache.clear()


@pytest.fixture
def caller(console):
    """Make a caller of a role, or a stranger."""
    from watchbill.state.accounts import actions

    def made(role: Role | None) -> Caller:
        if role is None:
            return Caller(None)
        email, at = PEOPLE[role], SystemClock().now()
        return Caller(actions.issue_token(email, name="test", by=email, at=at, expires_at=at + DAY))

    return made


@pytest.fixture
def analyst(caller) -> Caller:
    return caller(Role.ANALYST)


@pytest.fixture
def administrator(caller) -> Caller:
    return caller(Role.ADMINISTRATOR)


@pytest.fixture
def undone():
    """A block of which nothing stays."""

    class Block:
        def __enter__(self):
            self.atomic = transaction.atomic()
            self.atomic.__enter__()

        def __exit__(self, *exception):
            transaction.set_rollback(True)
            return self.atomic.__exit__(*exception)

    return Block


@pytest.fixture(scope="session")
def document(company):
    """The OpenAPI document, as a program gets it."""
    from watchbill.api.urls import api

    return json.loads(json.dumps(api.get_openapi_schema(path_prefix="/api/v1/")))


@pytest.fixture(scope="session")
def operations(document) -> list[Operation]:
    return [
        Operation(address, method, details)
        for address, methods in document["paths"].items()
        for method, details in methods.items()
    ]


@pytest.fixture(scope="session")
def served(company, django_db_blocker, tmp_path_factory):
    """A copy of the company behind a real server; gives its address, an administrator's token and its folder."""
    from django.db import connections

    from watchbill.state import databases
    from watchbill.state.accounts import actions

    data = DataDir(tmp_path_factory.mktemp("copy") / "company")
    shutil.copytree(company.root, data.root)
    port = free_port()
    with django_db_blocker.unblock():
        before = connections.settings["default"]
        _console.use(databases.sqlite(data.database))
        email = PEOPLE[Role.ADMINISTRATOR]
        token = actions.issue_token(email, name="served", by=email, at=SystemClock().now())
        connections["default"].close()
        _console.use(before)
    log = tmp_path_factory.mktemp("served") / "web.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "watchbill", "web", "--data", str(data.root)], stdout=file, stderr=file,
            env={**os.environ, "WATCHBILL_CONSOLE_PORT": str(port), "WATCHBILL_DATA": str(data.root)},
        )  # fmt: skip
        try:
            _wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}", token, data
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"the server did not start: {log.read_text()}")
