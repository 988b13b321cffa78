"""Matching and correlation, beside orjson parsing (and discarding) the same records in the same run.

Our own rules run on a plausible mix of our own sources, as parsed events. With the third-party data beside the checkout,
the SigmaHQ collection runs on raw Windows records, every value of which is made new: all kinds mixed, and process
creations alone; in one process and in two; with twice the rules; and naively, one condition after the other.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import msgspec
import orjson

from benchmarks.path import lines
from watchbill.core.clock import SystemClock
from watchbill.core.memory import settle_memory
from watchbill.core.values import Criticality
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Detector, Rule, RuleSet, load_rules
from watchbill.engine.detect.conditions import Expression, Not
from watchbill.engine.detect.jsonmatch import JsonMatcher
from watchbill.engine.detect.match import EventColumns
from watchbill.engine.detect.predicates import Atom
from watchbill.engine.detect.verify import compile_select
from watchbill.engine.normalise import Normaliser
from watchbill.engine.offline import Triage, survey
from watchbill.ledger import SourceFacts, StoredRecord
from watchbill.sdk import Event, Parser
from watchbill.sdk.shapes import Shape

BATCH = 2_000
#: Raw records come in batches as ``watchbill detect`` reads them: sixteen MiB or so.
RAW_BATCH = 8_000
#: As many mixed records as the prototype was measured with (968,705), in hundreds of kinds, of which each has its plan; in
#: one process, then in two, each of which makes its own plans. Process creations are a few kinds that cost more each.
MIXED, CREATIONS = 960_000, 240_000
WARM = 24_000
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Corpus = Callable[[], Iterator[bytes]]
#: The place of the flat form (NXLog's, Azure Monitor's) among the shapes of the Windows parser.
FLAT = 5
#: Fields whose values are few in life, too.
_FEW = {
    "IntegrityLevel", "Channel", "EventID", "Company", "Product", "Description", "OriginalFileName", "FileVersion",
    "Hostname", "SourceName", "Message", "EventType", "ObjectType", "OperationType", "Keywords", "LogonType", "Protocol",
    "Signed", "Signature", "SignatureStatus", "Status", "AccessMask", "AccessList", "Provider", "ProviderGuid", "Severity",
    "Category", "SourceModuleName", "SourceModuleType", "AccountType", "Initiated", "host", "tags", "@version",
}  # fmt: skip


def main() -> None:
    live()
    if not (DATA / "sigma").is_dir():
        print("the third-party data (../shared/data) is not on this machine: no figures for the SigmaHQ collection")
        return
    files = sorted((DATA / "sigma" / "rules_tree").glob("rules*/**/*.yml"))
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "rules"
        rules = loading(files, cache)
        collection = load_rules(files, cache=cache)
        parsers = Catalog.load("watchbill.content").parsers
        shape = next(one for one in parsers if one.id == "windows").shapes[FLAT]
        mixed, creations = corpora()
        for title, raws in (("mixed", mixed), ("process creations", creations)):
            one = offline(f"SigmaHQ, raw records, {title}, every value new", rules, shape, raws)
            two = both(collection, parsers, raws)
            print(
                f"  watchbill detect with two processes, times one by the clock: {' '.join(f'{ratio:.2f}' for ratio in two)}"
            )
            doubled = offline("  the same with twice the rules", rules + twins(rules), shape, raws)
            print(f"  twice the rules cost {doubled / one - 1:+.0%}")
            naive(rules, shape, list(islice(raws(), 200)))
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def live() -> None:
    """Our own rules on parsed events."""
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


def compare(title: str, detector: Detector, events: Sequence[Event]) -> None:
    """Print events per CPU second of each part, and the whole as a fraction of parsing."""
    detector.feed(events[:BATCH], detector.match(events[:BATCH]))  # programs are compiled for the first batch
    raws = [orjson.dumps({**event.native, **event.ocsf, "message": event.message}) for event in events]
    batches = [events[start : start + BATCH] for start in range(BATCH, len(events), BATCH)]
    count = len(events) - BATCH
    found = 0
    matched: list[Any] = []
    parsing = min(_parsing(raws[BATCH:]) for _ in range(3))
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


def loading(files: Sequence[Path], cache: Path) -> tuple[Rule, ...]:
    """Load the collection without and with its cache."""
    for title in ("cold", "from the cache"):
        start = time.process_time()
        rules = load_rules(files, cache=cache).rules
        print(f"load {len(rules)} SigmaHQ rules, {title}: {time.process_time() - start:.2f} s of CPU")
    return rules


def offline(title: str, rules: Sequence[Rule], shape: Shape, raws: Corpus) -> float:
    """Print what matching raw records costs in one process; returns the seconds of CPU for each second of parsing."""
    matcher = JsonMatcher(rules, shape)
    batches = _batches(raws())
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        warming = sum(_seconds(partial(matcher.match, batch)) for batch in islice(batches, WARM // RAW_BATCH))
        matching = parsing = 0.0
        found, seen = 0, WARM
        for batch in batches:  # in turns, so that both see the machine in the same mood
            seen += len(batch)
            start = time.process_time()
            found += len(matcher.match(batch).matches)
            matching += time.process_time() - start
            parsing += _parsing(batch)
    finally:
        gc.enable()
        gc.unfreeze()
    count = seen - WARM
    print(f"{title}: {found / count:.2f} matches an event, {seen:,} records")
    print(f"  orjson parse {parsing / count * 1e6:8.2f} µs an event")
    print(f"  match        {matching / count * 1e6:8.2f} µs an event: {parsing / matching:.3f} of orjson parsing")
    print(f"  (the first {WARM} events, plans made meanwhile: {warming / WARM * 1e6:.2f} µs an event)")
    return matching / parsing


def both(rules: RuleSet, parsers: Sequence[Parser], raws: Corpus) -> list[float]:
    """How many times as fast ``watchbill detect`` is with two processes as with one, by the clock, its rules loaded: in five
    rounds, for the second core is seldom ours alone; the middle one counts.
    """
    settle_memory()  # as the command does
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.writelines(raw + b"\n" for raw in raws())
        file.flush()
        sources, _ = survey([file.name])

        def seconds(count: int) -> float:
            start = time.perf_counter()
            for _ in Triage(rules, parsers, SystemClock()).run(sources, count, lambda _: None):
                pass
            return time.perf_counter() - start

        rounds = sorted(seconds(1) / seconds(2) for _ in range(5))
    gc.unfreeze()
    return rounds


def naive(rules: Sequence[Rule], shape: Shape, few: Sequence[bytes]) -> None:
    """One rule after the other, one condition after the other, on events already decoded."""
    read = [found for raw in few if (found := shape.read(json.loads(raw)))]
    chosen = [rule for rule in rules if rule.expression is not None]
    checks = [(rule.route, compile_select(rule.expression)) for rule in chosen if rule.expression]
    start = time.process_time()
    for kind, native in read:
        columns = EventColumns([Event(0, {}, native, "", logsource=kind.logsource)])
        for route, check in checks:
            if route.takes(kind.logsource, 0):
                check(columns, (0,))
    spent = (time.process_time() - start) / len(read)
    print(f"  naively      {spent * 1e6:8.0f} µs an event: {_parsing(few) / len(few) / spent:.5f} of orjson parsing")


def twins(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """As many rules once more, whose texts are like the others' but for a letter."""
    return tuple(
        msgspec.structs.replace(rule, name=f"{rule.name}-twin", expression=_twin(rule.expression))
        for rule in rules
        if rule.expression is not None
    )


def _twin(expression: Expression) -> Expression:
    if isinstance(expression, Not):
        return Not(_twin(expression.item))
    if not isinstance(expression, Atom):
        return type(expression)(tuple(map(_twin, expression.items)))
    predicate = expression.predicate
    if predicate.kind not in {"contains", "startswith", "endswith"} or len(predicate.argument) < 5:
        return expression
    longer = f"{predicate.argument[:3]}q{predicate.argument[3:]}"
    return msgspec.structs.replace(expression, predicate=msgspec.structs.replace(predicate, argument=longer))


def corpora() -> tuple[Corpus, Corpus]:
    """Windows records of the public attack recordings: all of them, and the process creations."""
    records = []
    for path in sorted((DATA / "otrf_security_datasets").rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                for line in archive.read(name).splitlines():
                    try:
                        record = orjson.loads(line)
                    except ValueError:
                        continue
                    if isinstance(record, dict) and "Channel" in record and "EventID" in record:
                        records.append(record)
    creations = [one for one in records if one["EventID"] == 1 and "Sysmon" in one["Channel"]]
    random.Random(3).shuffle(records)
    return partial(renewed, records, MIXED), partial(renewed, creations, CREATIONS)


def renewed(records: Sequence[dict[str, Any]], count: int) -> Iterator[bytes]:
    """So many records, of which each value of many is like no other: a token is put into it."""
    chance = random.Random(7)
    for record in islice(cycle(records), count):
        token = f"{chance.getrandbits(40):010x}"
        yield orjson.dumps({name: _new(name, value, token) for name, value in record.items()})


def _new(name: str, value: Any, token: str) -> Any:
    if not isinstance(value, str) or name in _FEW or len(value) < 4 or value.startswith(("%%", "0x", "S-")):
        return value
    if name in {"CommandLine", "ParentCommandLine", "ScriptBlockText", "Payload"}:
        return f"{value} {token}"
    folder, backslash, last = value.rpartition("\\")
    return f"{folder}\\{token}\\{last}" if backslash else f"{value}{token[:6]}"


def _batches(raws: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(raws, RAW_BATCH)):
        yield batch


def _parsing(raws: Sequence[bytes]) -> float:
    start = time.process_time()
    for raw in raws:
        orjson.loads(raw)
    return time.process_time() - start


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _medium(_host: str) -> Criticality:
    return Criticality.MEDIUM


if __name__ == "__main__":
    main()
