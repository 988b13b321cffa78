"""The whole path: syslog over TCP in, alerts out, on a real installation with all rules.

Prints events/s sustained end to end (first byte sent → last position judged and stored; the lake follows within two
seconds), the processor time that each process takes for an event, the time from receipt to alert at a steady rate (first
evidence durable in the ledger → alert stored), and the memory of each process at rest and after. The time of a loop that
never changes and the load are printed with them, for what others do on the machine shows in all of these figures.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from watchbill.ledger import Reader

EVENTS = int(os.environ.get("BENCH_EVENTS", "400000"))
RATE = 5_000
SECONDS = 20


def lines(count: int, start: int = 0) -> list[bytes]:
    """A plausible mix: web requests, sessions, cron, sudo; one failed login in a hundred, from ever other addresses."""
    stamp = time.strftime("%b %d %H:%M:%S", time.gmtime())
    made = []
    for number in range(start, start + count):
        host = f"host-{number % 40:02d}"
        kind = number % 100
        if kind == 0:
            address = f"198.51.{number // 256 % 256}.{number % 256}"
            text = f"sshd[{number % 30000}]: Failed password for invalid user u{number} from {address} port 4{number % 1000:03d} ssh2"
        elif kind < 30:
            text = f"sshd[{number % 30000}]: Accepted publickey for dev{number % 50} from 192.0.2.{number % 250} port 5{number % 1000:03d} ssh2: ED25519 SHA256:k{number % 50}"
        elif kind < 50:
            text = f"CRON[{number % 30000}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
        elif kind < 60:
            text = f"sudo:   dev{number % 50} : TTY=pts/{number % 9} ; PWD=/srv ; USER=root ; COMMAND=/usr/bin/systemctl status job{number % 700}"
        else:
            text = f'nginx: 203.0.113.{number % 250} - - [{time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())}] "GET /shop/item/{number} HTTP/1.1" 200 {number % 9000} "-" "Mozilla/5.0 (X11; Linux x86_64)"'
        made.append(f"<38>{stamp} {host} {text}\n".encode())
    return made


def attack(number: int) -> bytes:
    """Six failures from one address that nobody else uses: one alert."""
    stamp = time.strftime("%b %d %H:%M:%S", time.gmtime())
    address = f"203.0.{number // 250}.{number % 250}"
    line = f"<38>{stamp} target-{number} sshd[77]: Failed password for root from {address} port 41000 ssh2\n"
    return line.encode() * 6


class Installation:
    """A running ``watchbill up`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.console, self.syslog = _free_port(), _free_port()
        environment = {
            **os.environ, "WATCHBILL_COLLECT_DISCOVER": "no", "WATCHBILL_CONSOLE_PORT": str(self.console),
            "WATCHBILL_SYSLOG_TCP_PORT": str(self.syslog), "WATCHBILL_SYSLOG_UDP_PORT": "0",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-m", "watchbill", "up", "--data", str(folder), "--quiet"], env=environment
        )
        self.connection = self._connect()

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.console), 1).close()
                return socket.create_connection(("127.0.0.1", self.syslog), 10)
            except OSError:
                time.sleep(0.2)
        raise SystemExit("the installation did not start")

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def judged(self) -> int:
        return self._one("SELECT position FROM readers_position WHERE name = 'detect' AND shard = 0") or 0

    def latencies(self) -> list[float]:
        """Seconds from the receipt of an alert's first evidence to the stored alert, in rising order."""
        with sqlite3.connect(f"file:{self.folder}/state.sqlite3?mode=ro", uri=True) as database:
            rows = database.execute(
                "SELECT opened_at, min(position) FROM alerts_alert a JOIN alerts_evidence e ON e.alert_id = a.id "
                "WHERE shard = 0 GROUP BY a.id"
            ).fetchall()
        ledger = Reader(self.folder / "ledger", 0)
        return sorted((opened - ledger.get(position).received) / 1e9 for opened, position in rows)

    def _one(self, query: str) -> int | None:
        with sqlite3.connect(f"file:{self.folder}/state.sqlite3?mode=ro", uri=True) as database:
            row = database.execute(query).fetchone()
        return row[0] if row else None

    def memory(self) -> dict[str, int]:
        """Resident MB of the supervisor and its processes (shared pages counted in each)."""
        pids = {"supervisor": self.process.pid}
        pids |= {path.stem: int(path.read_text()) for path in (self.folder / "run").glob("*.pid")}
        return {name: _resident(pid) for name, pid in pids.items()}

    def cpu(self) -> dict[str, float]:
        pids = {path.stem: int(path.read_text()) for path in (self.folder / "run").glob("*.pid")}
        tick = os.sysconf("SC_CLK_TCK")
        stats = {name: Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for name, pid in pids.items()}
        return {name: (int(fields[11]) + int(fields[12])) / tick for name, fields in stats.items()}

    def stop(self) -> None:
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def machine() -> str:
    """How fast and how busy the machine is now."""
    began, loop = time.process_time(), {}
    for number in range(1_000_000):
        loop[number & 1023] = number
    took = (time.process_time() - began) * 1000
    return f"a loop of a million takes {took:.0f} ms of processor time; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


def throughput(installation: Installation) -> None:
    data = lines(EVENTS)
    before = installation.judged()
    cpu = installation.cpu()
    began = time.monotonic()
    for start in range(0, EVENTS, 2_000):
        installation.send(b"".join(data[start : start + 2_000]))
    sent = time.monotonic() - began
    while installation.judged() - before < EVENTS:
        if time.monotonic() - began > 600:
            raise SystemExit(f"only {installation.judged() - before} of {EVENTS} were judged")
        time.sleep(0.05)
    took = time.monotonic() - began
    used = {name: round((now - cpu[name]) / EVENTS * 1e6, 1) for name, now in installation.cpu().items()}
    print(f"{EVENTS:,} events: accepted at {EVENTS / sent:,.0f}/s, judged at {EVENTS / took:,.0f}/s end to end")
    print(f"processor time in microseconds an event, by process: {json.dumps(used)}")
    # What others take away from us does not show in this figure, and how fast a core is does.
    name, dearest = max(used.items(), key=lambda item: item[1])
    bound = min(1e6 / dearest, (os.cpu_count() or 1) * 1e6 / sum(used.values()))
    print(f"so {bound:,.0f}/s is the most that {os.cpu_count()} cores of this speed can judge; the dearest is {name}")


def latency(installation: Installation) -> None:
    """A steady rate with an attack each quarter of a second."""
    step = RATE // 20
    began = time.monotonic()
    for tick in range(20 * SECONDS):
        installation.send(b"".join(lines(step, 10_000_000 + tick * step)))
        if tick % 5 == 0:
            installation.send(attack(tick))
        time.sleep(max(0.0, began + (tick + 1) / 20 - time.monotonic()))
    time.sleep(3)
    new = installation.latencies()
    if not new:
        raise SystemExit("no alert was raised")
    print(
        f"receipt (durable) to alert (stored) at {RATE:,}/s over {len(new)} alerts: "
        f"p50 {new[len(new) // 2] * 1000:.0f} ms, p99 {new[int(len(new) * 0.99)] * 1000:.0f} ms"
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="watchbill-bench-") as folder:
        installation = Installation(Path(folder))
        try:
            time.sleep(8)
            print(f"machine before: {machine()}")
            memory = installation.memory()
            print(f"memory at rest: {sum(memory.values())} MB resident: {json.dumps(memory)}")
            latency(installation)
            throughput(installation)
            memory = installation.memory()
            print(f"machine after: {machine()}")
            print(f"memory after: {sum(memory.values())} MB resident: {json.dumps(memory)}")
        finally:
            installation.stop()


if __name__ == "__main__":
    main()
