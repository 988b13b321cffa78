"""An ordinary day: office hours, nightly backups, timers, visitors, and the internet's constant knocking.

Nothing in here is meant to raise an alert; tests/content/test_demo_company.py holds it to that.
"""

from __future__ import annotations

from random import Random

from watchbill.content.demo.company import EDGE, HIGH, HOSTS, PEOPLE, WEB, desk, remote
from watchbill.content.demo.lines import AUTH, CRON, KERNEL, LOCAL, MAIL, Day, role, user

_HOUR, _DAYTIME = 3600, (8, 8, 9, 9, 9, 10, 10, 11, 11, 12, 13, 13, 14, 14, 15, 15, 16, 17, 18)
_STAFF = [name for name in PEOPLE if name.startswith(("rd.", "sw.", "ops.", "net.", "sec.", "dba", "lab."))]
_ADMINS = [name for name in PEOPLE if name.startswith(("ops.", "net.", "dba"))]
_WORK = [host for host in HOSTS if host not in HIGH and not host.startswith(("print", "kiosk"))]
_PAGES = ("/", "/products", "/products/spectrometers", "/products/balances", "/support", "/downloads/manual-4711.pdf",
          "/portal/orders", "/portal/calibration", "/contact", "/news/2026", "/assets/site.css", "/assets/site.js")  # fmt: skip
_AGENTS = ("Mozilla/5.0 (X11; Linux x86_64) Demo/1.0", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Demo/1.0",
           "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Demo/1.0", "DemoSearchBot/2.1 (+https://search.example/bot)")  # fmt: skip
_COMMANDS = ("/usr/bin/systemctl status postgresql", "/usr/bin/journalctl -u portal -n 100", "/usr/bin/apt-get update",
             "/usr/bin/systemctl reload nginx", "/usr/bin/df -h", "/usr/bin/less /srv/portal/app.log")  # fmt: skip
_CALLS = (("ec2", "DescribeInstances"), ("s3", "ListBuckets"), ("s3", "GetBucketLocation"), ("cloudwatch", "PutMetricData"),
          ("sts", "GetCallerIdentity"), ("ecr", "GetAuthorizationToken"), ("logs", "DescribeLogGroups"),
          ("rds", "DescribeDBInstances"), ("autoscaling", "DescribeAutoScalingGroups"))  # fmt: skip


def ordinary(day: Day, chance: Random) -> None:
    """Fill a day; on weekends a tenth of the people work."""
    busy = 0.1 if day.weekday >= 5 else 1.0
    _timers(day, chance)
    _nightly(day, chance)
    _people(day, chance, busy)
    _visitors(day, chance, 0.45 + 0.55 * busy)
    _knocking(day, chance)
    _services(day, chance, busy)
    _cloud(day, chance, busy)


def _timers(day: Day, chance: Random) -> None:
    for number, host in enumerate(HOSTS):
        for hour in range(number % 2, 24, 2):
            at, pid = hour * _HOUR + 17 * 60 + 1 + number % 3, chance.randrange(2000, 60000)
            day.say(
                at,
                host,
                "CRON",
                "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
                pid=pid,
                priority=AUTH,
            )
            day.say(
                at + 0.1,
                host,
                "CRON",
                "(root) CMD (cd / && run-parts --report /etc/cron.hourly)",
                pid=pid + 1,
                priority=CRON,
            )
            day.say(
                at + 0.9, host, "CRON", "pam_unix(cron:session): session closed for user root", pid=pid, priority=AUTH
            )
        for hour in range(number % 4, 24, 4):
            at = hour * _HOUR + chance.randrange(60, 3500)
            day.say(at, host, "systemd", "Starting sysstat-collect.service - system activity accounting tool...", pid=1)
            day.say(
                at + 0.4, host, "systemd", "Finished sysstat-collect.service - system activity accounting tool.", pid=1
            )
        at = chance.randrange(86_000)
        day.say(
            at, host, "chronyd", f"Selected source 192.0.2.{chance.randrange(2, 5)} (ntp.larkfield.example)", pid=612
        )
        if chance.random() < 0.3:
            day.say(
                at + 100,
                host,
                "kernel",
                f"[{at}.{chance.randrange(10**6):06d}] perf: interrupt took too long, lowering sample rate",
                priority=KERNEL,
            )


def _nightly(day: Day, chance: Random) -> None:
    for number, host in enumerate(HOSTS):
        at = 1.5 * _HOUR + number * 97 + chance.randrange(60)
        day.say(
            at,
            host,
            "CRON",
            "(root) CMD (/usr/local/sbin/nightly-backup --to backup-01)",
            pid=chance.randrange(2000, 60000),
            priority=CRON,
        )
        size = chance.randrange(200, 90_000) if host in HIGH else chance.randrange(50, 4_000)
        day.say(
            at + 20 + size / 200,
            "backup-01",
            "nightly-backup",
            f"stored {size} MB from {host} in {20 + size // 200} s",
            pid=4001,
        )
        day.say(0.05 * _HOUR + number, host, "systemd", "Starting logrotate.service - Rotate log files...", pid=1)
        day.say(0.05 * _HOUR + number + 1.5, host, "systemd", "Finished logrotate.service - Rotate log files.", pid=1)


def _people(day: Day, chance: Random, busy: float) -> None:
    for person in _STAFF:
        for _ in range(sum(chance.random() < 0.55 * busy for _ in range(9))):
            host = chance.choice(HIGH) if person in _ADMINS and chance.random() < 0.4 else chance.choice(_WORK)
            _session(day, chance, person, host, chance.choice(_DAYTIME) * _HOUR + chance.uniform(0, _HOUR))
    for host in ("app-01", "app-02", "app-03", "app-04", "web-01", "web-02"):
        if chance.random() < busy:  # a release by the service account's key
            at, pid = chance.choice((10, 11, 14, 15)) * _HOUR + chance.uniform(0, _HOUR), chance.randrange(2000, 60000)
            day.say(
                at,
                host,
                "sshd",
                f"Accepted publickey for svc-deploy from 192.0.2.11 port {pid} ssh2: ED25519 SHA256:demoDeployKeyFingerprint",
                pid=pid,
                priority=AUTH,
            )
            day.say(
                at + 9,
                host,
                "sudo",
                "svc-deploy : PWD=/srv/portal ; USER=root ; COMMAND=/usr/bin/systemctl restart portal",
                priority=AUTH,
            )
            day.say(at + 9.2, host, "systemd", "Stopped portal.service - Customer portal.", pid=1)
            day.say(at + 11, host, "systemd", "Started portal.service - Customer portal.", pid=1)


def _session(day: Day, chance: Random, person: str, host: str, at: float) -> None:
    address = desk(person) if chance.random() < 0.8 else remote(person)
    pid, port, uid = chance.randrange(2000, 60000), chance.randrange(32768, 61000), 1000 + PEOPLE.index(person)
    if chance.random() < 0.06:  # a slip of the finger
        day.say(
            at - 8,
            host,
            "sshd",
            f"Failed password for {person} from {address} port {port} ssh2",
            pid=pid,
            priority=AUTH,
        )
    day.say(
        at,
        host,
        "sshd",
        f"Accepted publickey for {person} from {address} port {port} ssh2: ED25519 SHA256:demo{uid}",
        pid=pid,
        priority=AUTH,
    )
    day.say(
        at + 0.2,
        host,
        "sshd",
        f"pam_unix(sshd:session): session opened for user {person}(uid={uid}) by (uid=0)",
        pid=pid,
        priority=AUTH,
    )
    day.say(at + 0.4, host, "systemd-logind", f"New session {pid % 997} of user {person}.", pid=640)
    if person in _ADMINS:
        for step in range(chance.randrange(1, 4)):
            when = at + 30 + step * 95 + chance.uniform(0, 60)
            day.say(
                when,
                host,
                "sudo",
                f"{person} : TTY=pts/{uid % 5} ; PWD=/home/{person} ; USER=root ; COMMAND={chance.choice(_COMMANDS)}",
                priority=AUTH,
            )
            day.say(
                when + 0.1,
                host,
                "sudo",
                f"pam_unix(sudo:session): session opened for user root(uid=0) by {person}(uid={uid})",
                priority=AUTH,
            )
            if host in HIGH:
                day.say(
                    when + 0.2,
                    host,
                    "audisp-syslog",
                    f'type=SYSCALL msg=audit({day.start // 10**9 + int(when)}.200:{pid}): arch=c000003e syscall=59 success=yes exit=0 items=2 ppid={pid} pid={pid + 2} auid={uid} uid=0 comm="sudo" exe="/usr/bin/sudo" key="privileged"',
                    pid=701,
                    priority=LOCAL,
                )
    stay = chance.uniform(300, 5000)
    if at + stay < 86_000:
        day.say(
            at + stay, host, "sshd", f"pam_unix(sshd:session): session closed for user {person}", pid=pid, priority=AUTH
        )
        day.say(
            at + stay + 0.1,
            host,
            "systemd-logind",
            f"Session {pid % 997} logged out. Waiting for processes to exit.",
            pid=640,
        )


def _visitors(day: Day, chance: Random, busy: float) -> None:
    for _ in range(int(360 * busy)):
        host, agent = chance.choice(WEB), chance.choice(_AGENTS)
        address = (
            f"203.0.113.{chance.randrange(100, 250)}"
            if chance.random() < 0.8
            else f"2001:db8:{chance.randrange(16, 4096):x}::{chance.randrange(1, 65535):x}"
        )
        at = (chance.choice(_DAYTIME) if chance.random() < 0.75 else chance.randrange(23)) * _HOUR + chance.uniform(
            0, 3000
        )
        for _ in range(chance.randrange(2, 11)):
            at += chance.uniform(0.2, 40)
            status, size = (
                (200, chance.randrange(800, 90_000))
                if chance.random() < 0.94
                else (chance.choice((301, 304, 404)), 153)
            )
            _access(day, at, host, address, f"GET {chance.choice(_PAGES)} HTTP/1.1", status, size, agent)


def _access(day: Day, at: float, host: str, address: str, request: str, status: int, size: int, agent: str) -> None:
    whole = int(at)
    stamp = f"{day.web}:{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d} +0000"
    day.say(at, host, "nginx", f'{address} - - [{stamp}] "{request}" {status} {size} "-" "{agent}"', priority=LOCAL)


def _knocking(day: Day, chance: Random) -> None:
    """Scanners, each address once in a while: below every threshold, and part of every edge system's day."""
    addresses = chance.sample(range(1, 60), 58)
    for slot, last in enumerate(addresses):
        at, host, address = slot * 1480 + chance.uniform(0, 600), chance.choice(EDGE), f"203.0.113.{last}"
        if slot % 3:
            name = chance.choice(("admin", "test", "oracle", "ubuntu", "user", "guest"))
            day.say(
                at,
                host,
                "sshd",
                f"Invalid user {name} from {address} port {40000 + slot}",
                pid=9000 + slot,
                priority=AUTH,
            )
            day.say(
                at + 2,
                host,
                "sshd",
                f"Failed password for invalid user {name} from {address} port {40000 + slot} ssh2",
                pid=9000 + slot,
                priority=AUTH,
            )
        elif host != "vpn-01":
            path = chance.choice(("/wp-login.php", "/.env", "/admin.php", "/.git/config", "/robots.txt"))
            _access(day, at, host, address, f"GET {path} HTTP/1.1", 404, 153, "curl/8.5.0")


def _services(day: Day, chance: Random, busy: float) -> None:
    for _ in range(int(500 * (0.3 + 0.7 * busy))):
        host = f"app-0{chance.randrange(1, 5)}"
        at = chance.choice(_DAYTIME) * _HOUR + chance.uniform(0, _HOUR)
        order, took = chance.randrange(10_000, 99_999), chance.randrange(3, 900)
        day.say(
            at,
            host,
            "portal",
            f'{{"level":"info","msg":"order saved","order":{order},"took_ms":{took}}}',
            pid=2201,
            priority=LOCAL,
        )
    for _ in range(int(260 * (0.3 + 0.7 * busy))):
        at, pid = chance.choice(_DAYTIME) * _HOUR + chance.uniform(0, _HOUR), chance.randrange(2000, 60000)
        peer = f"mx{chance.randrange(1, 9)}.partner.example[203.0.113.{chance.randrange(60, 99)}]"
        day.say(at, "mail-01", "postfix/smtpd", f"connect from {peer}", pid=pid, priority=MAIL)
        day.say(
            at + 1.2,
            "mail-01",
            "postfix/smtpd",
            f"disconnect from {peer} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
            pid=pid,
            priority=MAIL,
        )


def _cloud(day: Day, chance: Random, busy: float) -> None:
    for number in range(int(640 * (0.5 + 0.5 * busy))):
        service, name = chance.choice(_CALLS)
        who = role(*chance.choice((("ci-deploy", "build"), ("metrics", "agent"), ("portal", "i-0demo000000000001"))))
        more = {"errorCode": "AccessDenied", "errorMessage": "not authorized"} if number % 331 == 330 else {}
        day.call(
            chance.uniform(0, 86_390), service, name, who, f"198.51.100.{chance.randrange(2, 9)}", readOnly=True, **more
        )
    for person in [name for name in PEOPLE if name.startswith(("sw.", "ops."))]:
        if chance.random() < 0.6 * busy:
            at = chance.choice(_DAYTIME) * _HOUR + chance.uniform(0, 1800)
            day.call(at, "signin", "ConsoleLogin", user(person), desk(person), eventType="AwsConsoleSignIn",
                     responseElements={"ConsoleLogin": "Success"}, additionalEventData={"MFAUsed": "Yes", "MobileVersion": "No"})  # fmt: skip
            for step in range(chance.randrange(3, 12)):
                service, name = chance.choice(_CALLS)
                day.call(at + 20 + step * 33, service, name, user(person), desk(person), readOnly=True)
