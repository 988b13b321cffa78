"""Units and services that do the logging: when one of them stops, an event is Event Log Activity (1008)."""

from __future__ import annotations

#: Unit name or the unit's description to the log provider's name.
LOGGERS = {
    "rsyslog": "rsyslog",
    "syslog-ng": "syslog-ng",
    "syslog": "rsyslog",
    "systemd-journald": "journald",
    "auditd": "auditd",
    "auditbeat": "auditbeat",
    "filebeat": "filebeat",
    "fluent-bit": "fluent-bit",
    "wazuh-agent": "wazuh-agent",
    "osqueryd": "osqueryd",
    "vector": "vector",
    "System Logging Service": "rsyslog",
    "System Logger Daemon": "syslog-ng",
    "Journal Service": "journald",
    "Security Auditing Service": "auditd",
    "Security Audit Logging Service": "auditd",
}
