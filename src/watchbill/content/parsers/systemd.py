"""systemd's units: started, stopped, failed. A unit that does the logging is Event Log Activity (1008)."""

from __future__ import annotations

import re
from typing import Any

from watchbill.content.loggers import LOGGERS
from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_START, _STOP, _RESTART = 3, 4, 5
_FORMS: tuple[tuple[re.Pattern[str], int, int], ...] = (
    (re.compile(r"Started (.+?)\.?$"), _START, ocsf.SUCCESS),
    (re.compile(r"Stopped (?!target )(.+?)\.?$"), _STOP, ocsf.SUCCESS),
    (re.compile(r"Failed to start (.+?)\.?$"), _START, ocsf.FAILURE),
    (re.compile(r"Unit (\S+) entered failed state\.?"), _STOP, ocsf.FAILURE),
    (re.compile(r"(\S+\.\w+): Failed with result '(.*?)'\.?$"), _STOP, ocsf.FAILURE),
    (re.compile(r"(\S+\.\w+): Deactivated successfully\.?$"), ocsf.OTHER, ocsf.SUCCESS),
    (re.compile(r"Reloaded (.+?)\.?$"), ocsf.OTHER, ocsf.SUCCESS),
)
# A session's scope is a sign-in, told by the service that let it in.
_SESSION = re.compile(r"Session \S+ of |session-\S+\.scope|User Manager for|user@\d+|User Runtime|Run |run-|/run/user")
_LOG_ACTIVITY = {_START: 6, _STOP: 7, _RESTART: 8, ocsf.OTHER: ocsf.OTHER}


def parse(line: Line) -> Event | None:
    """Translate unit messages of the manager; everything else that systemd says is a Base Event."""
    native: dict[str, Any] = {"program": line.app, "pid": line.pid, "host": line.host}
    text = line.text
    if text.startswith("pam_"):
        return None
    if line.app == "systemd":
        for pattern, activity, status in _FORMS:
            match = pattern.match(text)
            if match and not _SESSION.match(match[1]):
                return _unit(line, match[1], activity, status, native)
    values = {**ocsf.template(ocsf.BASE, ocsf.UNKNOWN, "systemd", "systemd"), "message": text}
    return Event(ocsf.BASE, values, native, text)


def _unit(line: Line, told: str, activity: int, status: int, native: dict[str, Any]) -> Event:
    """``told`` is "nginx.service", "A web server" or, since version 252, "nginx.service - A web server"."""
    unit, _, description = told.partition(" - ")
    named = line.data.get("UNIT") if line.data else None
    unit = named if isinstance(named, str) else unit
    service = unit.removesuffix(".service")
    native |= {"unit": unit, "description": description or told}
    logger = LOGGERS.get(service) or LOGGERS.get(description) or LOGGERS.get(told)
    if logger:
        values = ocsf.template(ocsf.EVENT_LOG_ACTIVITY, _LOG_ACTIVITY[activity], "systemd", "systemd", status)
        values |= {"log_name": logger, "log_provider": logger}
    else:
        values = ocsf.template(ocsf.APPLICATION_LIFECYCLE, activity, "systemd", "systemd", status)
        values["app.name"] = service
    if activity == ocsf.OTHER:
        values["activity_name"] = "Reload" if line.text.startswith("Reloaded") else "Deactivate"
    return Event(values["class_uid"], values, native, line.text)


def _sample(text: str, class_uid: int, activity: int, status: int, **expected: Any) -> Sample:
    values = {name.replace("__", "."): value for name, value in expected.items()}
    return Sample(
        f"Mar  4 10:00:00 db-01 systemd[1]: {text}", class_uid, {"activity_id": activity, "status_id": status, **values}
    )


_APP, _LOG = ocsf.APPLICATION_LIFECYCLE, ocsf.EVENT_LOG_ACTIVITY

PARSER = Parser(
    id="systemd",
    title="systemd units",
    logsource=LogSource("linux", "syslog"),
    parse=parse,
    apps=("systemd", "systemd-logind", "init", "systemd-networkd", "systemd-resolved", "systemd-timesyncd", "systemd-udevd", "systemd-modules-load", "systemd-sysctl", "systemd-fsck", "systemd-tmpfiles", "systemd-shutdown"),
    rank=10,
    samples=(
        _sample("Started nginx.service - A high performance web server and a reverse proxy server.", _APP, 3, 1, app__name="nginx"),
        _sample("Stopped OpenBSD Secure Shell server.", _APP, 4, 1, app__name="OpenBSD Secure Shell server"),
        _sample("Failed to start postgresql@16-main.service - PostgreSQL Cluster 16-main.", _APP, 3, 2, app__name="postgresql@16-main"),
        _sample("nginx.service: Failed with result 'exit-code'.", _APP, 4, 2, app__name="nginx"),
        _sample("Stopped rsyslog.service - System Logging Service.", _LOG, 7, 1, log_name="rsyslog"),
        _sample("Stopped System Logging Service.", _LOG, 7, 1, log_name="rsyslog"),
        _sample("Started auditd.service - Security Auditing Service.", _LOG, 6, 1, log_name="auditd"),
        Sample("Mar  4 10:00:00 db-01 systemd[1]: Started Session 5 of user root.", ocsf.BASE),
        Sample("Mar  4 10:00:00 db-01 other[1]: Stopped rsyslog.service - System Logging Service.", None),
    ),
)  # fmt: skip
