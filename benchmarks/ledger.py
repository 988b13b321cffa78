"""Figures of the ledger: run with ``python -m benchmarks.ledger``. Absolute figures depend on the machine; the ratios
beside plain SHA-256 of the same bytes, and beside a bare append with fdatasync, are of the same run. "CPU s" figures are
for each second of processor time, so that they say nearly the same on a busy machine."""

from __future__ import annotations

import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from itertools import islice
from pathlib import Path
from statistics import median

from watchbill.content.demo.month import month
from watchbill.core.clock import DAY, SECOND, FixedClock, SystemClock
from watchbill.ledger import Reader, Writer, frames, orders, parallel, salts, segment, verify_ledger
from watchbill.ledger.compaction import compact
from watchbill.ledger.packing import Block
from watchbill.ledger.volume import shard_path, volumes

EVENTS = 200_000
BATCH = 1_000
#: Of each of which a median is taken: one alone says little on a machine that others use.
ROUNDS = 5
_ONCE = {"head", "checkpoint", "reserve"}


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


def spent() -> float:
    """Return the processor's seconds of this process and of those that it started and that are over."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def gain(lines: list[bytes], processes: int) -> float:
    """Return how many times as fast as one these processes hash: less than their number on a machine that is busy."""

    def work(_: int) -> dict[str, float]:
        return {"rate": plain_hash(lines + lines)}

    def took(count: int) -> float:
        began = time.perf_counter()
        list(parallel.each(range(count), work, count))
        return time.perf_counter() - began

    return processes * took(1) / took(processes)


def verify(folder: Path, name: str, lines: list[bytes], rounds: int = 5) -> None:
    """Print what verifying takes in one process, and in one for each core: the best of some rounds, which alternate, as
    what else runs on the machine takes the second core away.
    """
    hashed, cores = plain_hash(lines), os.cpu_count() or 1
    rates: dict[int, list[tuple[float, float]]] = {1: [], cores: []}
    for workers in [1, cores] * rounds:
        began, used = time.perf_counter(), spent()
        report = verify_ledger(folder / "ledger", keys=folder / "keys", workers=workers)
        assert report.ok, report.findings
        rates[workers].append((report.events / (time.perf_counter() - began), report.events / (spent() - used)))
    (wall, cpu), (together, cpu_together) = (map(max, zip(*rates[workers], strict=True)) for workers in (1, cores))
    print(f"  {name:<36}{cpu:>12,.0f} /CPU s   {cpu / hashed:.2f} of plain SHA-256; {wall:,.0f} /s in one process")
    print(
        f"  {name + f', {cores} processes':<36}{cpu_together:>12,.0f} /CPU s   {together:,.0f} /s: {together / wall:.2f} times one "
        f"(plain SHA-256 in {cores} processes: {gain(lines, cores):.2f} times one)"
    )


def stages(lines: list[bytes], whole: float) -> None:
    """Print what a segment's hashes cost for each record, beside what ``write`` took (nanoseconds) in all."""
    bodies, run = lines[: segment.SEGMENT_RECORDS], segment.Run(1, segment.SEGMENT_RECORDS, 0, 0, 1)
    payload, seed = b"".join(bodies), salts.Seed(0, 0, bytes(16))
    salted = salts.expand_whole(seed, len(bodies))
    committed = segment.commitments(bodies, salted)
    hashes = segment.leaves(0, 0, [run], committed)
    parts: dict[str, Callable[[], object]] = {
        "plain SHA-256, to compare": lambda: [sha256(raw).digest() for raw in bodies],
        "MAC of the group": lambda: frames.chain(bytes(32), frames.NO_MAC, payload),
        "salts": lambda: salts.expand_whole(seed, len(bodies)),
        "commitments": lambda: segment.commitments(bodies, salted),
        "leaves": lambda: segment.leaves(0, 0, [run], committed),
        "nodes": lambda: segment.chunk_nodes(hashes),
    }
    costs = {}
    for name, part in parts.items():
        began = time.process_time()
        for _ in range(20):
            part()
        costs[name] = (time.process_time() - began) / 20 / len(bodies) * 1e9
        print(f"    {name:<34}{costs[name]:>12,.0f} ns a record")
    _, *rest = costs.values()
    print(
        f"    {'append, join, write, sync, compare':<34}{whole - sum(rest):>12,.0f} ns a record: the rest of {whole:,.0f}"
    )


def measure(size: int) -> None:
    lines = [line(n, size) for n in range(EVENTS)]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        bare = bare_append(folder, lines)
        hashes, rates = [], []
        for place in (*(folder / f"round-{number}" for number in range(1, ROUNDS)), folder):
            hashes.append(plain_hash(lines))
            whole, per_cpu, acknowledged, commits = write(place, lines)
            rates.append(per_cpu)
        hashed, per_cpu = median(hashes), median(rates)
        print(f"\n{EVENTS:,} records of {size} bytes, {BATCH} a commit")
        print(f"  plain SHA-256 of the same bytes     {hashed:>12,.0f} /CPU s")
        print(f"  bare append and fdatasync           {bare:>12,.0f} /s")
        print(f"  append, commit (acknowledged)       {acknowledged:>12,.0f} /s   {acknowledged / bare:.2f} of bare")
        print(f"  the same, sealed, read back, signed {whole:>12,.0f} /s")
        print(
            f"                                      {per_cpu:>12,.0f} /CPU s   {per_cpu / hashed:.2f} of plain SHA-256; "
            f"the median of {ROUNDS} rounds of {min(rates):,.0f} to {max(rates):,.0f}"
        )
        stages(lines, 1e9 / per_cpu)
        print(f"  commit p50 {quantile(commits, 0.5):.1f} ms, p99 {quantile(commits, 0.99):.1f} ms")
        waits, share = paced(folder, lines, 20_000, 3)
        print(
            f"  at 20,000/s: acknowledged p50 {quantile(waits, 0.5):.1f} ms, p99 {quantile(waits, 0.99):.1f} ms, {share:.0%} of a core"
        )
        rate = read(folder)
        print(f"  read                                {rate:>12,.0f} /CPU s")
        verify(folder, "verify", lines)
        packed(folder, size, lines)


def held(folder: Path) -> int:
    """Return what the ledger takes, but for what it holds once whatever its size: head, checkpoint, the reserve of 64 KiB."""
    files = [path for path in (folder / "ledger").rglob("*") if path.is_file() and path.name not in _ONCE]
    return sum(path.stat().st_size for path in files)


def empty() -> int:
    """Return what a shard takes before its first record: above all its key entry, in the log and in the first volume."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=SystemClock()).close()
        return held(folder)


def close_volume(folder: Path) -> None:
    """Have the writer close its volume, as it does by size or age."""
    clock = SystemClock()
    (order,) = orders.erasure(0, "E-0", "none", "a", "b", [(1 << 60, 1)])
    orders.carry_out(folder / "ledger", folder / "keys", clock, [order])


def packed(folder: Path, size: int, lines: list[bytes]) -> None:
    """Pack what was written; print what it takes, what it costs, and how it is read and verified afterwards."""
    before = held(folder)
    close_volume(folder)
    began = time.process_time()
    compact(folder / "ledger", 0)
    used = time.process_time() - began
    after, bodies = held(folder), pieces(folder)
    text = EVENTS * size
    print(f"  stored as written {100 * before / text:.1f} % of the text, packed {100 * after / text:.1f} %")
    once = empty()
    each = (after - bodies - once) / EVENTS
    print(f"  packed, beside the records' own bytes {each:.3f} bytes an event, and {once:,} bytes a shard")
    print(f"  pack and check                      {EVENTS / used:>12,.0f} /CPU s")
    chance, reader, waits = random.Random(1), Reader(folder / "ledger", 0), []
    for _ in range(200):
        at = time.perf_counter()
        reader.get(chance.randrange(EVENTS))
        waits.append(time.perf_counter() - at)
    reader.close()
    print(f"  one record of a packed volume p50 {quantile(waits, 0.5):.1f} ms, p99 {quantile(waits, 0.99):.1f} ms")
    print(f"  read, packed                        {read(folder):>12,.0f} /CPU s")
    verify(folder, "verify, packed", lines)


def pieces(folder: Path) -> int:
    """Return the bytes of the deflated records alone."""
    total = 0
    for volume in volumes(shard_path(folder / "ledger", 0)):
        with volume.path.open("rb") as file:
            for header in frames.headers(file.fileno(), 0, volume.path.stat().st_size):
                if header.kind == frames.Kind.PACKED:
                    total += sum(one.end - one.start for one in Block(frames.read(file.fileno(), header)).pieces)
    return total


def usual() -> None:
    """What the logs of a usual month take, at a low rate, with everything that the ledger keeps beside them."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder, clock, text, count = Path(name), FixedClock(1_772_618_400 * SECOND), 0, 0
        records = list(islice(month(1, clock.now()), 100_000))
        with Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=clock) as writer:
            for at in range(0, len(records), 500):
                for one in records[at : at + 500]:
                    writer.append(writer.source(one.source_name, one.transport), [one.raw], clock.now())
                    text, count = text + len(one.raw), count + 1
                writer.commit()
                clock.advance(SECOND)
                writer.tick()
        before = held(folder)
        close_volume(folder)
        compact(folder / "ledger", 0)
        print(
            f"\n{count:,} usual records of {text / count:.0f} bytes from 14 hosts, each received by itself, 500 a second"
        )
        print(f"  stored as written {100 * before / text:.1f} % of the text, packed {100 * held(folder) / text:.1f} %")


def restart() -> None:
    """A start behind 100 GB: 1,600 volumes of 64 MiB (sparse), and one of 60 MB that was not closed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder, clock = Path(name), FixedClock(1_772_618_400 * SECOND)
        with Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=clock) as writer:
            source = writer.source("web-01", "syslog-tcp")
            for n in range(1_600):
                writer.append(source, [line(n, 1024)], clock.now())
                writer.commit()
                clock.advance(DAY)
                writer.tick()
            for _ in range(60):
                writer.append(source, [line(n, 1024) for n in range(1000)], clock.now())
                writer.commit()
        closed = volumes(shard_path(folder / "ledger", 0))[:-1]
        for volume in closed:
            os.truncate(volume.path, 64 << 20)
        began = time.perf_counter()
        Writer.open(folder / "ledger", shard=0, keys=folder / "keys", clock=clock).close()
        took = time.perf_counter() - began
        print(f"\nstart behind {len(closed) * 64 / 1024:,.0f} GiB and a volume of 60 MB: {took:.1f} s")


def main() -> None:
    for size in (300, 1024):
        measure(size)
    usual()
    restart()
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
