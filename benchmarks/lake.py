"""The lake: appends a second, small commits and their compaction, searches at ten million events (EVENTS to change it)."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from watchbill.core.clock import SECOND
from watchbill.lake import Lake
from watchbill.sdk.events import Event

ALWAYS = (0, 1 << 62)
START = 1_772_582_400 * SECOND
BATCH = 100_000
QUERIES = (
    "", "user:user7", "src_ip:203.0.113.9 host:web-03", "src_ip:203.0.113.0/28", "accepted", "zebrafish",
    "nothingofthat", "203.0.113.77", "fail* -user:user7", "src_endpoint.port:4242", "severity:>=4", "is:quarantined",
    "(user:user1 OR user:user2) accepted status:success",
)  # fmt: skip


def main() -> None:
    """Print the figures."""
    count = int(os.environ.get("EVENTS", "10_000_000"))
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        _appends(lake, count)
        _searches(lake, count)
        _small_commits(Lake(Path(folder) / "small"))


def _events(first: int, count: int, chance: random.Random) -> Iterator[Event]:
    """Sign-ins, a tenth of them good, spread over a month at ten million."""
    for position in range(first, first + count):
        host, user = f"web-{position % 40:02d}", f"user{chance.randrange(200)}"
        ip, port, good = f"203.0.113.{chance.randrange(256)}", chance.randrange(1024, 65_535), chance.random() < 0.1
        at = START + position * 260_000_000
        word = "Accepted" if good else "Failed"
        message = f"{word} password for {user} from {ip} port {port} ssh2" + " zebrafish" * (position % 2_000_003 == 77)
        fields = {
            "class_uid": 3002, "category_uid": 3, "activity_id": 1, "type_uid": 300_201, "time": at // 1_000_000,
            "severity_id": 1, "status_id": 1 if good else 2, "metadata.version": "1.8.0", "message": message,
            "metadata.product.name": "OpenSSH", "metadata.product.vendor_name": "OpenBSD", "device.hostname": host,
            "user.name": user, "src_endpoint.ip": ip, "src_endpoint.port": port, "service.name": "sshd",
            "is_remote": True, "auth_protocol": "password",
        }  # fmt: skip
        yield Event(
            3002, fields, {}, message, at, host=host, parser="sshd", source="auth.log", received=at, position=position
        )


def _appends(lake: Lake, count: int) -> None:
    chance, spent = random.Random(1), 0.0
    for first in range(0, count, BATCH):
        events = list(_events(first, min(BATCH, count - first), chance))
        began = time.process_time()
        lake.append(0, events, [()] * len(events), first + len(events))
        spent += time.process_time() - began
    print(f"append: {count / spent:,.0f} events/s of processor time, commits of {BATCH:,}")
    began = time.process_time()
    lake.compact()
    size = sum(path.stat().st_size for path in lake.path.rglob("*.zstd.parquet"))
    words = sum(path.stat().st_size for path in lake.path.rglob("*.words"))
    spent = time.process_time() - began
    print(f"compact: {count / spent:,.0f} events/s, {size / count:.1f} bytes an event and {words / count:.2f} of words")


def _searches(lake: Lake, count: int) -> None:
    print(f"search of {count:,} events, best of 3: milliseconds")
    print(f"  {'query':<52}{'page':>8}{'histogram':>11}{'facets':>8}  total")
    for query in QUERIES:
        page = min((lake.search(query, *ALWAYS) for _ in range(3)), key=lambda result: result.took)
        histogram = min(lake.histogram(query, *ALWAYS).took for _ in range(3))
        facets = min(lake.facets(query, *ALWAYS).took for _ in range(3))
        rest = "" if page.reached is None else f", {len(page.rows)} rows so far"
        print(f"  {query:<52}{page.took * 1e3:>8.0f}{histogram * 1e3:>11.0f}{facets * 1e3:>8.0f}  {page.total}{rest}")
    middle = START + count // 2 * 260_000_000
    narrow = min(lake.search("failed", middle, middle + 3600 * SECOND).took for _ in range(3))
    print(f"  {'failed, one hour':<52}{narrow * 1e3:>8.0f}")


def _small_commits(lake: Lake, commits: int = 600, each: int = 200) -> None:
    """Ten minutes of a commit a second."""
    chance, times = random.Random(2), []
    for number in range(commits):
        events = list(_events(number * each, each, chance))
        began = time.perf_counter()
        lake.append(0, events, [()] * each, (number + 1) * each)
        times.append(time.perf_counter() - began)
    times.sort()
    before = min(lake.search("", *ALWAYS).took for _ in range(3))
    began = time.perf_counter()
    lake.compact()
    spent = time.perf_counter() - began
    after = min(lake.search("", *ALWAYS).took for _ in range(3))
    print(f"small commits: p50 {times[commits // 2] * 1e3:.0f} ms, p99 {times[commits * 99 // 100] * 1e3:.0f} ms;")
    print(
        f"  newest page in {before * 1e3:.0f} ms over {commits} files, {after * 1e3:.0f} ms after {spent:.1f} s of compaction"
    )


if __name__ == "__main__":
    main()
