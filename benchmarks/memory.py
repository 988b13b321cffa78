"""What detection takes of memory over ten million events of which no two are alike: all of our rules, and correlations.

Hours of events from thousands of hosts, in each of which user, address, process and message are new. The process's own
size is printed after every million (its most, and what it is at the moment), which must not go on growing.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.correlate import BATCH, SOURCE, START, batched
from watchbill.core.clock import HOUR
from watchbill.core.memory import settle_memory
from watchbill.core.values import Criticality
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Detector, RuleSet, load_rules, parse_rules
from watchbill.sdk import Event

EVENTS = int(os.environ.get("WATCHBILL_BENCH_EVENTS", "10_000_000"))
HOURS = 10
HOSTS = 5_000
RULES = """
title: Any
name: any
logsource: {product: linux}
detection: {s: {kind: [ssh, sudo, web]}, condition: s}
---
title: Many
name: many
correlation: {type: event_count, rules: [any], group-by: [user.name], timespan: 10m, condition: {gte: 10}}
---
title: Ports
name: ports
correlation: {type: value_count, rules: [any], group-by: [src_endpoint.ip], timespan: 5m, condition: {gte: 10, field: port}}
"""


def main() -> None:
    ours, more = load_rules(Catalog.load("watchbill.content").rule_files), parse_rules(RULES, "memory.yml")
    detector = Detector(RuleSet((*ours.rules, *more.rules), ()), lambda _host: Criticality.MEDIUM)
    gc.collect()
    settle_memory()  # as the engine does
    print(f"{len(ours.rules)} rules of our own and 2 correlations; before the first event {_now():,.0f} MB", flush=True)
    spent = 0.0
    done = matched = 0
    for batch in batched(events(EVENTS)):
        covers = (0, range(batch[0].position, batch[-1].position + 1))
        start = time.process_time()
        matches = detector.match(batch)
        detector.feed(batch, matches, covers)
        detector.dirty()
        spent += time.process_time() - start
        done, matched = done + len(batch), matched + len(matches)
        if done % (EVENTS // 10) < BATCH:
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            counters = detector.counters
            print(
                f"{done:>12,} events  {_now():6,.0f} MB (most {most:,.0f})  {counters.groups:,} groups, "
                f"{counters.spilled:,} on disk  {done / spent:,.0f} events/s, {matched / done:.1f} matches an event",
                flush=True,
            )


def events(count: int) -> Iterator[Event]:
    """Each differs from all others in everything but what routes it; one in three matches."""
    step = HOURS * HOUR // count
    for place in range(count):
        token = f"{place * 2654435761 % (1 << 32):08x}"
        kind = ("ssh", "sudo", "web", "cron", "dhcp", "mail", "ntp", "dns", "vpn")[place % 9]
        address = f"2001:db8::{token[:4]}:{token[4:]}"
        native = {
            "kind": kind,
            "user": f"u{token}",
            "port": str(place % 60_000),
            "pid": str(place),
            "path": f"/x/{token}",
        }
        ocsf = {
            "user.name": f"u{token}", "src_endpoint.ip": address, "process.name": f"p{token}", "file.path": f"/x/{token}",
            "device.hostname": f"host-{place % HOSTS}",
        }  # fmt: skip
        now = START + place * step
        yield Event(
            3002, ocsf, native, f"{kind}[{place}]: u{token} from {address} did {token}", time=now, logsource=SOURCE,
            host=ocsf["device.hostname"], source="bench", received=now + 10**9, position=place,
        )  # fmt: skip


def _now() -> float:
    """The process's resident size in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
    return pages * resource.getpagesize() / (1 << 20)


if __name__ == "__main__":
    main()
