"""Going back by one version: its code runs over the migrated database, and migrations can be taken back, with all rows kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("going_back.py")


@pytest.fixture
def other_database(state, request):
    """A database of its own of the same kind: its URL, "" for the folder's own file."""
    if state == "sqlite":
        yield ""
        return
    import psycopg

    url = request.getfixturevalue("postgresql_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE going_back")
        yield url.replace("/postgres?", "/going_back?")
        connection.execute("DROP DATABASE going_back WITH (FORCE)")


def test_the_version_before_can_be_started_again(other_database, tmp_path):
    """Its models write rows that those of now read; back by each app's last migration and forward again keeps them."""
    environ = {**os.environ, "WATCHBILL_DATABASE": other_database, "WATCHBILL_DATA": str(tmp_path)}
    if not other_database:
        del environ["WATCHBILL_DATABASE"]
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path], env=environ, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr
    rows, *apps = done.stdout.split()
    assert int(rows) > 20
    assert {"alerts", "readers"} <= set(apps)
