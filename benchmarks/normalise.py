"""How many records a second one core normalises, by kind of record; ratios within one run are what counts."""

from __future__ import annotations

import importlib
import pkgutil
import time

from watchbill.content import parsers as package
from watchbill.core.clock import SystemClock
from watchbill.engine.normalise import Normaliser
from watchbill.ledger import SourceFacts, StoredRecord

KINDS = {
    "sshd failed": "Mar  4 10:{m:02}:{s:02} web-{h:02} sshd[{n}]: Failed password for invalid user u{n} from 192.0.2.{h} port {n} ssh2",
    "sshd mixed": "<38>Mar  4 10:{m:02}:{s:02} web-{h:02} sshd[{n}]: {kind}",
    "sshd iso": "2026-03-04T10:{m:02}:{s:02}.{n:06}+01:00 web-{h:02} sshd[{n}]: Connection closed by 192.0.2.{h} port {n} [preauth]",
    "cron": "Mar  4 10:{m:02}:{s:02} web-{h:02} CRON[{n}]: (root) CMD (run-parts /etc/cron.hourly)",
    "nginx": '192.0.2.{h} - - [04/Mar/2026:10:{m:02}:{s:02} +0000] "GET /a/{n}?x={h} HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64)"',
    "auditd": 'type=SYSCALL msg=audit(1772618400.{s:03}:{n}): arch=c000003e syscall=59 success=yes exit=0 a0=55 items=2 ppid=1 pid={n} auid=1000 uid=0 comm="rm" exe="/usr/bin/rm" key="x"',
    "other": "Mar  4 10:{m:02}:{s:02} web-{h:02} app[{n}]: something happened here without any pairs",
}
SSHD = (
    "Invalid user u from 192.0.2.7 port 4",
    "Failed password for root from 192.0.2.7 port 4 ssh2",
    "Accepted publickey for deploy from 203.0.113.5 port 51022 ssh2: ED25519 SHA256:abc",
    "pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0)",
    "Received disconnect from 192.0.2.7 port 4:11: Bye Bye [preauth]",
    "Connection closed by authenticating user root 192.0.2.7 port 4 [preauth]",
)
COUNT = 20_000


def main() -> None:
    parsers = [
        importlib.import_module(f"{package.__name__}.{m.name}").PARSER for m in pkgutil.iter_modules(package.__path__)
    ]
    now = time.time_ns()
    for number, (name, form) in enumerate(KINDS.items(), start=1):
        source = SourceFacts(number, name, "replay", {})
        lines = [
            form.format(m=n // 60 % 60, s=n % 60, h=n % 90, n=n, kind=SSHD[n % len(SSHD)]).encode()
            for n in range(COUNT)
        ]
        batch = [(StoredRecord(n, raw, number, now, 0, n), source, 0) for n, raw in enumerate(lines)]
        best = 0.0
        for _ in range(3):
            normaliser = Normaliser(parsers, clock=SystemClock())
            start = time.process_time()
            for at in range(0, COUNT, 1_000):
                events = normaliser.normalise(batch[at : at + 1_000])
            best = max(best, COUNT / (time.process_time() - start))
        print(f"{name:12} {best:10,.0f} events/s   {1e6 / best:6.1f} us   {events[0].parser}")


if __name__ == "__main__":
    main()
