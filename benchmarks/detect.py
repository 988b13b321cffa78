"""Matching and correlation, beside orjson parsing (and discarding) the same events as JSON in the same run.

Our own rules run on a plausible mix of our own sources. With the third-party data beside the checkout, the SigmaHQ
collection also runs on process creations of which every command line is new.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from benchmarks.path import lines
from watchbill.core.clock import SystemClock
from watchbill.core.values import Criticality
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Detector, load_rules
from watchbill.engine.normalise import Normaliser
from watchbill.ledger import SourceFacts, StoredRecord
from watchbill.sdk import Event, LogSource

BATCH = 2_000
SIGMAHQ = Path(__file__).resolve().parents[2] / "shared" / "data" / "sigma" / "rules_tree"


def main() -> None:
    catalog = Catalog.load("watchbill.content")
    facts = SourceFacts(1, "bench", "syslog-tcp", {})
    now = time.time_ns()
    batch = [
        (StoredRecord(place, raw.rstrip(), 1, now + place * 10_000, 0, 0), facts, 0)
        for place, raw in enumerate(lines(60_000))
    ]
    events = Normaliser(catalog.parsers, clock=SystemClock()).normalise(batch)
    ours = load_rules(catalog.rule_files)
    compare(f"{len(ours.rules)} rules of our own, mixed events", Detector(ours, _medium), events)
    failures = [event for event in events if event.ocsf.get("status_id") == 2] * 30
    for place, event in enumerate(failures):
        event.position, event.ocsf["src_endpoint.ip"] = place, "198.51.100.9"
    compare("the same, failed logins of one address only", Detector(ours, _medium), failures)
    if SIGMAHQ.is_dir():
        start = time.process_time()
        collection = load_rules(SIGMAHQ.glob("rules*/**/*.yml"))
        print(f"load {len(collection.rules)} SigmaHQ rules: {time.process_time() - start:.1f} s")
        compare("SigmaHQ, process creations, every value new", Detector(collection, _medium), process_creations(20_000))


def compare(title: str, detector: Detector, events: Sequence[Event]) -> None:
    """Print events per CPU second of each part, and the whole as a fraction of parsing."""
    detector.feed(events[:BATCH], detector.match(events[:BATCH]))  # programs are compiled for the first batch
    raws = [orjson.dumps({**event.native, **event.ocsf, "message": event.message}) for event in events]
    batches = [events[start : start + BATCH] for start in range(BATCH, len(events), BATCH)]
    count = len(events) - BATCH
    found = 0
    matched = []
    parsing = min(_seconds(lambda: [orjson.loads(raw) for raw in raws[BATCH:]]) for _ in range(3))
    matching = _seconds(lambda: matched.extend(map(detector.match, batches)))

    def feed() -> None:
        nonlocal found
        for batch, matches in zip(batches, matched, strict=True):
            found += len(detector.feed(batch, matches))
            detector.dirty()

    feeding = _seconds(feed)
    print(f"{title}: {sum(map(len, matched))} matches, {found} detections in {count} events")
    for name, seconds in (("orjson parse", parsing), ("match", matching), ("feed", feeding)):
        print(f"  {name:<12} {count / seconds:12,.0f} events/s  {seconds / count * 1e6:8.2f} µs an event")
    print(f"  match+feed is {parsing / (matching + feeding):.2f} of orjson parsing")


def process_creations(count: int) -> list[Event]:
    """Windows process creations with about twenty fields, as Sysmon writes them, none like the other."""
    chance = random.Random(7)
    source = LogSource("windows", "sysmon", "process_creation")
    made = []
    for place in range(count):
        token = f"{chance.getrandbits(64):016x}"
        image = f"C:\\Program Files\\{token[:6]}\\{chance.choice(('svchost', 'app', 'cmd', 'agent'))}.exe"
        fields = {
            "EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", "Image": image, "ProcessId": place,
            "CommandLine": f'"{image}" --run {token} /q C:\\Data\\{token[4:9]}.dat', "User": f"CORP\\u{place % 900}",
            "ParentImage": f"C:\\Windows\\System32\\{token[:3]}.exe", "ParentCommandLine": f"{token} -k netsvcs",
            "CurrentDirectory": f"C:\\Users\\u{place % 900}\\", "IntegrityLevel": "Medium", "Company": "Example",
            "OriginalFileName": "app.exe", "Description": f"Agent {token[:2]}", "Product": "Agent",
            "Hashes": f"MD5={token}{token},IMPHASH={token[::-1]}{token}", "LogonId": f"0x{token[:6]}",
            "ProcessGuid": f"{{{token}}}", "ParentProcessGuid": f"{{{token[::-1]}}}", "FileVersion": "1.2.3",
            "UtcTime": "2026-03-04 10:00:00.000",
        }  # fmt: skip
        made.append(
            Event(0, {}, fields, "", time=place * 10**6 + 1, logsource=source, host=f"pc-{place % 50}", position=place)
        )
    return made


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _medium(_host: str) -> Criticality:
    return Criticality.MEDIUM


if __name__ == "__main__":
    main()
