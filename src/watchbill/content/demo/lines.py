"""How the company's systems spell things: syslog in two dialects, and CloudTrail's JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from watchbill.content.demo.company import ACCOUNT, CLOUD, HOSTS
from watchbill.core.clock import DAY, SECOND

#: A third of the hosts speak RFC 5424, the others RFC 3164.
_MODERN = frozenset(HOSTS[::3])
AUTH, DAEMON, CRON, LOCAL, KERNEL, MAIL = 86, 30, 78, 190, 6, 22
_CLOUD = CLOUD

Line = tuple[int, str, bytes]


class Day:
    """The lines of one UTC day, collected in any order as (time in ns, host, raw)."""

    def __init__(self, number: int) -> None:
        self.start = number * DAY
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)
        self.weekday = moment.weekday()
        self.iso = moment.strftime("%Y-%m-%d")
        self.web = moment.strftime("%d/%b/%Y")
        self._classic = f"{moment:%b} {moment.day:2d}"
        self.lines: list[Line] = []

    def say(self, second: float, host: str, app: str, text: str, *, pid: int = 0, priority: int = DAEMON) -> None:
        """One syslog message, so many seconds after midnight."""
        micros = int(second * 1_000_000)
        whole = micros // 1_000_000
        clock = f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        if host in _MODERN:
            head = f"<{priority}>1 {self.iso}T{clock}.{micros % 1_000_000:06d}Z {host} {app} {pid or '-'} - - "
        else:
            tag = f"{app}[{pid}]: " if pid else f"{app}: "
            head = f"<{priority}>{self._classic} {clock} {host} {tag}"
        self.lines.append((self.start + micros * 1_000, host, (head + text).encode()))

    def call(self, second: float, service: str, name: str, identity: dict[str, Any], address: str, **more: Any) -> None:
        """One CloudTrail record; ``more`` are further top-level fields."""
        whole = int(second)
        record = {
            "eventVersion": "1.09", "userIdentity": identity,
            "eventTime": f"{self.iso}T{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}Z",
            "eventSource": f"{service}.amazonaws.com", "eventName": name, "awsRegion": "eu-central-1",
            "sourceIPAddress": address, "userAgent": "aws-sdk-demo/1.0", "requestParameters": None,
            "responseElements": None, "eventID": f"{self.start // DAY:08x}-0000-4000-8000-{int(second * 1_000_000):012x}",
            "eventType": "AwsApiCall", "recipientAccountId": ACCOUNT, **more,
        }  # fmt: skip
        self.lines.append((self.start + int(second * SECOND), _CLOUD, orjson.dumps(record)))


def user(name: str) -> dict[str, Any]:
    """The identity of a person in the cloud account."""
    return {"type": "IAMUser", "principalId": f"AIDADEMO{name.upper()}", "arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
            "accountId": ACCOUNT, "userName": name}  # fmt: skip


def role(name: str, session: str) -> dict[str, Any]:
    """The identity of a program that took on a role."""
    return {
        "type": "AssumedRole", "principalId": f"AROADEMO:{session}", "accountId": ACCOUNT,
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}",
        "sessionContext": {"sessionIssuer": {"type": "Role", "arn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
                                             "accountId": ACCOUNT, "userName": name}},
    }  # fmt: skip
