"""The loggers themselves: rsyslog, syslog-ng, journald and the audit daemon, as they write to syslog."""

from __future__ import annotations

import re
from typing import Any

from watchbill.sdk import Event, Line, LogSource, Parser, Sample, ocsf

_FORMS: tuple[tuple[re.Pattern[str], int, str], ...] = (
    (re.compile(r"\[origin software=.*\] start$"), 6, ""),
    (re.compile(r"\[origin software=.*\] exiting on signal \d+"), 7, ""),
    (re.compile(r"\[origin software=.*\] rsyslogd was HUPed"), 5, ""),
    (re.compile(r"(?:exiting on signal \d+|shutdown$|syslog-ng shutting down)"), 7, ""),
    (re.compile(r"(?:syslog-ng starting up|syslogd \S+: restart|restart\b)"), 6, ""),
    (re.compile(r"Journal started"), 6, ""),
    (re.compile(r"Journal stopped"), 7, ""),
    (re.compile(r"Received SIGTERM from PID 1"), 7, ""),
    (re.compile(r"(?:Init complete, auditd|Started dispatcher|auditd \S+ initialized)"), 6, ""),
    (re.compile(r"The audit daemon is exiting"), 7, ""),
    (re.compile(r"(?:audit: type=1305 )?audit\([\d.:]+\):.*\baudit_enabled=0 old=1"), 10, ""),
    (re.compile(r"(?:audit: type=1305 )?audit\([\d.:]+\):.*\baudit_enabled=1 old=0"), 9, ""),
    (re.compile(r"Vacuuming done|Deleted archived journal|Rotating journal"), 5, ""),
    (re.compile(r"(?:imuxsock|imjournal|imklog).*(?:lost|dropped|begin to drop)|Suppressed \d+ messages"), ocsf.OTHER, "Drop"),
    (re.compile(r"action '.*' suspended|cannot connect to .*: |.*disk full|.*No space left on device"), ocsf.OTHER, "Fail"),
)  # fmt: skip
_NAMES = {"rsyslogd": "rsyslog", "systemd-journald": "journald", "systemd-journal": "journald", "journal": "journald"}


def parse(line: Line) -> Event | None:
    """Translate start, stop, rotation and loss; the rest is a Base Event."""
    text = line.text
    name = _NAMES.get(line.app, line.app)
    native: dict[str, Any] = {"program": line.app, "pid": line.pid, "host": line.host}
    for pattern, activity, said in _FORMS:
        if pattern.match(text):
            values = ocsf.template(
                ocsf.EVENT_LOG_ACTIVITY, activity, name, "Linux", ocsf.FAILURE if said else ocsf.SUCCESS
            )
            name = "auditd" if "audit_enabled" in text else name
            values |= {"log_name": name, "log_provider": name}
            if said:
                values["activity_name"] = said
            return Event(ocsf.EVENT_LOG_ACTIVITY, values, native, text)
    if line.app in {"kernel", "audit"}:
        return None
    values = {**ocsf.template(ocsf.BASE, ocsf.UNKNOWN, name, "Linux"), "message": text}
    return Event(ocsf.BASE, values, native, text)


def _sample(app: str, text: str, activity: int, name: str, status: int = 1) -> Sample:
    expected = {"activity_id": activity, "log_name": name, "status_id": status}
    return Sample(f"Mar  4 10:00:00 db-01 {app}: {text}", ocsf.EVENT_LOG_ACTIVITY, expected)


_ORIGIN = '[origin software="rsyslogd" swVersion="8.2402.0" x-pid="650" x-info="https://www.rsyslog.com"] '

PARSER = Parser(
    id="rsyslog",
    title="Loggers: rsyslog, syslog-ng, journald, auditd",
    logsource=LogSource("linux", "syslog"),
    parse=parse,
    apps=("rsyslogd", "syslogd", "syslog-ng", "systemd-journald", "systemd-journal", "journal", "auditd", "kernel", "audit"),
    rank=10,
    samples=(
        _sample("rsyslogd", _ORIGIN + "start", 6, "rsyslog"),
        _sample("rsyslogd", _ORIGIN + "exiting on signal 15.", 7, "rsyslog"),
        _sample("rsyslogd", _ORIGIN + "rsyslogd was HUPed", 5, "rsyslog"),
        _sample("rsyslogd", "imuxsock lost 30 messages from pid 12 due to rate-limiting", 99, "rsyslog", 2),
        _sample("systemd-journald[301]", "Journal stopped", 7, "journald"),
        _sample("auditd[500]", "The audit daemon is exiting.", 7, "auditd"),
        _sample("kernel", "audit: type=1305 audit(1700000000.123:7): audit_enabled=0 old=1 auid=0 ses=1 res=1", 10, "auditd"),
        Sample("Mar  4 10:00:00 db-01 kernel: usb 1-1: new device", None),
    ),
)  # fmt: skip
