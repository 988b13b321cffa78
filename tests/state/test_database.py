"""The database as processes share it: complete migrations, durable settings, two writers at once."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.db import connection

from watchbill.core.errors import ConfigError
from watchbill.state import databases, redaction, secrets, settings

_WRITER = """
import sys
from watchbill.core.paths import DataDir
from watchbill.state import migrate, setup
setup(DataDir(sys.argv[1])); migrate()
from watchbill.state.trail import actions, queries
for number in range(60):
    actions.record(sys.argv[2], "test.write", "test", str(number), {}, number)
"""


def test_migrations_are_complete():
    """What the models say is what the migrations make."""
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_commits_are_durable(state):
    """Each commit is on disk before it is believed; in SQLite readers go on beside the writer (WAL)."""
    asked, expected = ("PRAGMA journal_mode", "PRAGMA synchronous", "PRAGMA foreign_keys"), ["wal", 2, 1]
    if state == "postgresql":
        asked, expected = ("SHOW fsync", "SHOW synchronous_commit"), ["on", "on"]
    found = []
    with connection.cursor() as cursor:
        for statement in asked:
            cursor.execute(statement)
            found.append(cursor.fetchone()[0])
    assert found == expected


def test_two_processes_write_at_once(tmp_path, state):
    """Neither loses an entry nor fails because the other writes (SQLite waits for its turn)."""
    environ = os.environ | {"WATCHBILL_DATA": str(tmp_path), "DJANGO_SETTINGS_MODULE": "watchbill.state.settings"}
    environ.pop("WATCHBILL_DATABASE", None)
    subprocess.run([sys.executable, "-c", _WRITER, tmp_path, "first"], env=environ, check=True, timeout=400)
    pair = [subprocess.Popen([sys.executable, "-c", _WRITER, tmp_path, name], env=environ) for name in ("a", "b")]
    assert [one.wait(400) for one in pair] == [0, 0]
    import sqlite3

    stored = sqlite3.connect(tmp_path / "state.sqlite3")
    assert dict(stored.execute("SELECT actor, count(*) FROM trail_entry GROUP BY actor")) == {
        "first": 60,
        "a": 60,
        "b": 60,
    }
    stored.close()
    assert stat.S_IMODE((tmp_path / "state.sqlite3").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys" / "django.key").stat().st_mode) == 0o600


def test_secret_key_is_made_once(tmp_path):
    """All processes of an installation have one key; a folder that is not there gets none."""
    assert secrets.secret_key(tmp_path / "key") == secrets.secret_key(tmp_path / "key")
    secrets.secret_key(tmp_path / "missing" / "key")
    assert not (tmp_path / "missing").exists()


def test_sealed_is_not_readable():
    """What is sealed comes back only with the key."""
    assert "hush" not in secrets.seal("hush")
    assert secrets.unseal(secrets.seal("hush")) == "hush"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://w:p%40ss@db.example:5433/wb?sslmode=require", ("db.example", 5433, "w", "p@ss", "wb")),
        ("postgresql://postgres:@/postgres?host=/run/pg", ("/run/pg", "", "postgres", "", "postgres")),
    ],
)
def test_database_urls(url, expected):
    """libpq's URLs are understood, sockets and quoted passwords too."""
    found = databases.postgresql(url)
    assert tuple(found[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")) == expected
    with pytest.raises(ConfigError):
        databases.postgresql("postgresql://host")


@pytest.mark.parametrize(
    "said",
    [
        "token wb_abcdefghijk used",
        "connect to postgresql://me:hunter2@db/x",
        "{'password': 'hunter2'}",
        "Authorization: Bearer hunter2",
        "secret=hunter2&x=1",
    ],
)
def test_secrets_are_not_logged(said):
    """Neither a message nor its arguments bring a secret into a log."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "said: %s", (said,), None)
    assert redaction.Redact().filter(record)
    assert "hunter2" not in record.getMessage()
    assert "abcdefghijk" not in record.getMessage()


def test_settings_are_strict():
    """No inline scripts or styles, http-only cookies of this installation alone, argon2 first, no debugging."""
    policy = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    assert "'unsafe-inline'" not in str(policy)
    assert "'none'" in policy["default-src"]
    assert settings.SESSION_COOKIE_HTTPONLY
    assert settings.CSRF_COOKIE_SAMESITE == "Strict"
    assert "Argon2" in settings.PASSWORD_HASHERS[0]
    assert not settings.DEBUG
    assert settings.SESSION_COOKIE_NAME != "sessionid"
