"""How Django reaches the state of record: SQLite embedded, PostgreSQL when grown."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from watchbill.core.errors import ConfigError

# https://www.sqlite.org/pragma.html: WAL lets readers go on beside the one writer; FULL makes each commit durable,
# because positions and alerts must not be behind what was acknowledged; a read cache of 32 MB and mapped pages.
_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-32000;"
    "PRAGMA mmap_size=268435456; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;"
)


def sqlite(path: Path) -> dict[str, Any]:
    """A file; a write transaction takes the lock at its begin, so that it never fails half way ("IMMEDIATE")."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path),
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": _PRAGMAS},
    }


def postgresql(url: str) -> dict[str, Any]:
    """A libpq URL (postgresql://user:password@host:port/name?option=value) as Django wants it."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise ConfigError("the database URL names no database", mend="write postgresql://user:password@host/name")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": options.pop("port", None) or parts.port or "",
        "OPTIONS": options,
        "CONN_HEALTH_CHECKS": True,
    }
