"""What goes wrong in the month: when, where, in which words, and which rules must say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from watchbill.content.demo.company import CLOUD
from watchbill.content.demo.lines import AUTH, LOCAL, Day, user
from watchbill.core.clock import DAY, HOUR, MINUTE

ANY_DAY, TUESDAY, WEDNESDAY, THURSDAY, SATURDAY = -1, 1, 2, 3, 5


class Incident(NamedTuple):
    """One incident: it begins ``days_before`` the end of the month (or on the last such weekday before that)."""

    id: str
    title: str
    host: str
    days_before: int
    hour: int
    minute: int
    rules: tuple[str, ...]
    tell: Callable[[Day, float], None]
    weekday: int = ANY_DAY
    #: How long the host is not heard from afterwards, in minutes; -1: for good.
    quiet: int = 0

    def at(self, end: int) -> int:
        """When it begins, in UTC nanoseconds, for a month that ends at ``end``."""
        day = end // DAY - self.days_before
        if self.weekday != ANY_DAY:
            day -= (day + 3 - self.weekday) % 7  # 1970-01-01 was a Thursday
        return day * DAY + self.hour * HOUR + self.minute * MINUTE


def _guessed_password(day: Day, at: float) -> None:
    for number in range(34):
        day.say(
            at + number * 7.3,
            "web-02",
            "sshd",
            f"Failed password for support.agent3 from 203.0.113.66 port {40100 + number} ssh2",
            pid=21100 + number,
            priority=AUTH,
        )
    day.say(
        at + 262,
        "web-02",
        "sshd",
        "Accepted password for support.agent3 from 203.0.113.66 port 40171 ssh2",
        pid=21171,
        priority=AUTH,
    )
    day.say(
        at + 262.4,
        "web-02",
        "sshd",
        "pam_unix(sshd:session): session opened for user support.agent3(uid=1043) by (uid=0)",
        pid=21171,
        priority=AUTH,
    )
    for number, path in enumerate(
        ("/usr/bin/id", "/usr/bin/ls -la /srv/portal", "/usr/bin/tar czf /tmp/p.tgz /srv/portal/uploads")
    ):
        day.say(
            at + 300 + number * 41,
            "web-02",
            "audisp-syslog",
            _execve(day, at + 300 + number * 41, path),
            pid=701,
            priority=LOCAL,
        )
    day.say(
        at + 655,
        "web-02",
        "sshd",
        "pam_unix(sshd:session): session closed for user support.agent3",
        pid=21171,
        priority=AUTH,
    )


def _execve(day: Day, second: float, command: str) -> str:
    words = command.split()
    said = " ".join(f'a{index}="{word}"' for index, word in enumerate(words))
    stamp = f"{day.start // 10**9 + int(second)}.{int(second * 1000) % 1000:03d}"
    return f"type=EXECVE msg=audit({stamp}:{int(second) % 90000 + 1000}): argc={len(words)} {said}"


def _administrator(day: Day, at: float) -> None:
    day.say(
        at,
        "erp-app-01",
        "sudo",
        "ops.engineer2 : TTY=pts/3 ; PWD=/home/ops.engineer2 ; USER=root ; COMMAND=/usr/sbin/usermod -aG sudo production.planner4",
        priority=AUTH,
    )
    day.say(at + 0.2, "erp-app-01", "usermod", "add 'production.planner4' to group 'sudo'", pid=8821, priority=AUTH)
    day.say(
        at + 0.2, "erp-app-01", "usermod", "add 'production.planner4' to shadow group 'sudo'", pid=8821, priority=AUTH
    )


def _logging_stopped(day: Day, at: float) -> None:
    day.say(
        at,
        "fin-db-01",
        "sudo",
        "dba1 : TTY=pts/0 ; PWD=/var/lib/postgresql ; USER=root ; COMMAND=/usr/bin/systemctl stop rsyslog",
        priority=AUTH,
    )
    day.say(at + 0.3, "fin-db-01", "systemd", "Stopping rsyslog.service - System Logging Service...", pid=1)
    day.say(
        at + 0.5,
        "fin-db-01",
        "rsyslogd",
        '[origin software="rsyslogd" swVersion="8.2402.0" x-pid="650" x-info="https://www.rsyslog.com"] exiting on signal 15.',
        priority=46,
    )
    day.say(
        at + 2460,
        "fin-db-01",
        "rsyslogd",
        '[origin software="rsyslogd" swVersion="8.2402.0" x-pid="9120" x-info="https://www.rsyslog.com"] start',
        priority=46,
    )
    day.say(at + 2460.2, "fin-db-01", "systemd", "Started rsyslog.service - System Logging Service.", pid=1)


def _service_account(day: Day, at: float) -> None:
    day.say(
        at,
        "app-03",
        "sshd",
        "Accepted password for svc-deploy from 192.0.2.41 port 52210 ssh2",
        pid=15210,
        priority=AUTH,
    )
    day.say(
        at + 0.3,
        "app-03",
        "sshd",
        "pam_unix(sshd:session): session opened for user svc-deploy(uid=990) by (uid=0)",
        pid=15210,
        priority=AUTH,
    )
    day.say(
        at + 1260,
        "app-03",
        "sshd",
        "pam_unix(sshd:session): session closed for user svc-deploy",
        pid=15210,
        priority=AUTH,
    )


def _off_hours(day: Day, at: float) -> None:
    day.say(
        at,
        "hr-db-01",
        "sshd",
        "Accepted publickey for hr.partner2 from 198.51.100.86 port 40022 ssh2: ED25519 SHA256:demoHrPartnerTwoKeyFingerprint",
        pid=3312,
        priority=AUTH,
    )
    day.say(
        at + 0.2,
        "hr-db-01",
        "sshd",
        "pam_unix(sshd:session): session opened for user hr.partner2(uid=1071) by (uid=0)",
        pid=3312,
        priority=AUTH,
    )
    day.say(
        at + 31,
        "hr-db-01",
        "audisp-syslog",
        _execve(day, at + 31, "/usr/bin/psql -c copy_salaries"),
        pid=701,
        priority=LOCAL,
    )
    day.say(
        at + 940,
        "hr-db-01",
        "sshd",
        "pam_unix(sshd:session): session closed for user hr.partner2",
        pid=3312,
        priority=AUTH,
    )


def _firewall(day: Day, at: float) -> None:
    rule = "/usr/sbin/nft add rule inet filter input ip saddr 203.0.113.0/24 tcp dport 5432 accept"
    day.say(
        at,
        "fw-01",
        "sudo",
        f"net.engineer2 : TTY=pts/0 ; PWD=/home/net.engineer2 ; USER=root ; COMMAND={rule}",
        priority=AUTH,
    )


def _bucket(day: Day, at: float) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Sid": "Share", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
              "Resource": "arn:aws:s3:::larkfield-design-archive/*"}]}  # fmt: skip
    day.call(at, "s3", "PutBucketPolicy", user("sw.engineer7"), "192.0.2.44",
             requestParameters={"bucketName": "larkfield-design-archive", "bucketPolicy": policy})  # fmt: skip


def _last_words(day: Day, at: float) -> None:
    day.say(
        at,
        "backup-01",
        "kernel",
        "EXT4-fs error (device sdb1): ext4_wait_block_bitmap:582: comm kworker/u8:1: Cannot read block bitmap",
        priority=3,
    )


INCIDENTS = (
    Incident("brute-force", "A guessed password lets an attacker into the customer portal", "web-02", 24, 3, 12, ("failed_logins_by_address", "login_success_after_failures"), _guessed_password),
    Incident("administrator-added", "A planner becomes administrator of the ERP without a ticket", "erp-app-01", 18, 16, 41, ("administrator_added", "elevation_not_revoked"), _administrator, weekday=TUESDAY),
    Incident("logging-stopped", "Logging is stopped for forty minutes on the finance database", "fin-db-01", 17, 17, 26, ("logging_stopped",), _logging_stopped, quiet=40),
    Incident("service-account", "A person signs in with the deployment's service account", "app-03", 11, 11, 8, ("service_account_interactive",), _service_account, weekday=WEDNESDAY),
    Incident("off-hours", "Somebody opens the personnel database at night", "hr-db-01", 10, 2, 47, ("off_hours_access",), _off_hours),
    Incident("firewall", "A firewall rule is added on a Saturday night, outside its window", "fw-01", 3, 19, 22, ("firewall_changed",), _firewall, weekday=SATURDAY),
    Incident("public-bucket", "The archive of designs is opened to the whole internet", CLOUD, 2, 9, 53, ("cloud_storage_made_public",), _bucket, weekday=THURSDAY),
    Incident("silent-source", "The backup server is not heard from any more", "backup-01", 2, 4, 5, ("source_silent",), _last_words, quiet=-1),
)  # fmt: skip
