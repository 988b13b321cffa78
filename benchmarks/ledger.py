"""Figures of the ledger: run with ``python -m benchmarks.ledger``. Absolute figures depend on the machine; the ratios
beside plain SHA-256 of the same bytes, and beside a bare append with fdatasync, are of the same run. "CPU s" figures are
for each second of processor time, so that they say nearly the same on a busy machine."""

from __future__ import annotations

import os
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from watchbill.core.clock import SystemClock
from watchbill.ledger import Reader, Writer, verify_ledger

EVENTS = 200_000
BATCH = 1_000


def line(n: int, size: int) -> bytes:
    text = b"<38>Mar  4 10:00:00 web-%02d sshd[%d]: Failed password for invalid user u%d from 192.0.2.7 port %d ssh2" % (
        n % 40, 1000 + n % 9000, n, 1024 + n % 60_000,
    )  # fmt: skip
    return (text + b" ." * size)[:size]


def plain_hash(lines: list[bytes]) -> float:
    began = time.process_time()
    for raw in lines:
        sha256(raw).digest()
    return len(lines) / (time.process_time() - began)


def bare_append(folder: Path, lines: list[bytes]) -> float:
    began = time.perf_counter()
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for at in range(0, len(lines), BATCH):
        os.write(fd, b"".join(lines[at : at + BATCH]))
        os.fdatasync(fd)
    os.close(fd)
    return len(lines) / (time.perf_counter() - began)


def quantile(times: list[float], share: float) -> float:
    return sorted(times)[int(share * (len(times) - 1))] * 1e3


def write(folder: Path, lines: list[bytes]) -> tuple[float, float, float, list[float]]:
    """Return events/s of everything, the same for each CPU second, that of append and commit, and the commits' seconds."""
    clock = SystemClock()
    commits, appending = [], 0.0
    began, used = time.perf_counter(), time.process_time()
    with Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=clock) as writer:
        source = writer.source("web-01", "syslog-tcp")
        for at in range(0, len(lines), BATCH):
            before = time.perf_counter()
            writer.append(source, lines[at : at + BATCH], clock.now())
            appending += time.perf_counter() - before
            before = time.perf_counter()
            writer.commit()
            commits.append(time.perf_counter() - before)
            writer.tick()
    count = len(lines)
    total = time.perf_counter() - began
    used = time.process_time() - used
    return count / total, count / used, count / (appending + sum(commits)), commits


def paced(folder: Path, lines: list[bytes], rate: int, seconds: float) -> tuple[list[float], float]:
    """Append at a steady rate; return the seconds from append to acknowledgement, and the processor's share."""
    clock = SystemClock()
    waits = []
    with Writer.open(folder / "paced", shard=0, keys=folder / "paced-keys", clock=clock) as writer:
        source = writer.source("web-01", "syslog-tcp")
        batch = lines[: rate // 100]
        began, used = time.perf_counter(), time.process_time()
        for n in range(int(seconds * 100)):
            due = began + n / 100
            if (wait := due - time.perf_counter()) > 0:
                time.sleep(wait)
            writer.append(source, batch, clock.now())
            writer.commit()
            waits.append(time.perf_counter() - due)
            writer.tick()
        return waits, (time.process_time() - used) / (time.perf_counter() - began)


def read(folder: Path) -> float:
    reader = Reader(folder / "ledger", 0)
    count, began = 0, time.process_time()
    while records := reader.read(count, 5_000):
        count = records[-1].position + 1
    reader.close()
    return count / (time.process_time() - began)


def measure(size: int) -> None:
    lines = [line(n, size) for n in range(EVENTS)]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        hashed, bare = plain_hash(lines), bare_append(folder, lines)
        whole, per_cpu, acknowledged, commits = write(folder, lines)
        print(f"\n{EVENTS:,} records of {size} bytes, {BATCH} a commit")
        print(f"  plain SHA-256 of the same bytes     {hashed:>12,.0f} /CPU s")
        print(f"  bare append and fdatasync           {bare:>12,.0f} /s")
        print(f"  append, commit (acknowledged)       {acknowledged:>12,.0f} /s   {acknowledged / bare:.2f} of bare")
        print(f"  the same, sealed, read back, signed {whole:>12,.0f} /s")
        print(
            f"                                      {per_cpu:>12,.0f} /CPU s   {per_cpu / hashed:.2f} of plain SHA-256"
        )
        print(f"  commit p50 {quantile(commits, 0.5):.1f} ms, p99 {quantile(commits, 0.99):.1f} ms")
        waits, share = paced(folder, lines, 20_000, 3)
        print(
            f"  at 20,000/s: acknowledged p50 {quantile(waits, 0.5):.1f} ms, p99 {quantile(waits, 0.99):.1f} ms, {share:.0%} of a core"
        )
        rate = read(folder)
        print(f"  read                                {rate:>12,.0f} /CPU s")
        for workers in (1, os.cpu_count() or 1):
            began, used = time.perf_counter(), time.process_time()
            report = verify_ledger(folder / "ledger", keys=folder / "keys", workers=workers)
            assert report.ok, report.findings
            used = time.process_time() - used
            print(
                f"  verify, {workers} process(es)              {report.events / (time.perf_counter() - began):>12,.0f} /s"
            )
            if workers == 1:
                per_cpu = report.events / used
                print(
                    f"                                      {per_cpu:>12,.0f} /CPU s   {per_cpu / hashed:.2f} of plain SHA-256"
                )
        stored = sum(path.stat().st_size for path in (folder / "ledger").rglob("*") if path.is_file())
        print(f"  stored beside the records themselves {(stored - EVENTS * size) / EVENTS:.2f} bytes an event")


def main() -> None:
    for size in (300, 1024):
        measure(size)


if __name__ == "__main__":
    main()
