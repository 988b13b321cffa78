"""The engine against the oracle on all third-party data: ``python tests/engine/detect/agreement.py DATA``.

Every record (with ``--share 50`` one in fifty, always the same) is normalised and judged by the matcher for events, raw JSON also by the one for raw records, and each of
their answers is held against ``naive``: event by event, rule by rule, for all of SigmaHQ's rules and all of our own.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import zlib
from collections import Counter
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from corpora import SETS, files, read
from naive import NaiveRule, document
from rich.console import Console
from rich.progress import track

from watchbill.core.clock import FixedClock
from watchbill.core.times import from_rfc3339
from watchbill.engine import rulefiles
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Matcher, load_rules
from watchbill.engine.detect.jsonmatch import JsonMatcher
from watchbill.engine.normalise import Normaliser
from watchbill.engine.offline.text import LONGEST
from watchbill.ledger import SourceFacts, StoredRecord

NOW = from_rfc3339("2027-12-31T00:00:00Z")
#: As many as the product takes at once, so that plans are made again on the way.
BATCH = 2_000
TOLD = 20


class Difference(NamedTuple):
    """Rules on which engine and oracle do not agree about one record. ``path`` is "event" or "raw"."""

    file: str
    at: int
    path: str
    missed: tuple[str, ...]
    invented: tuple[str, ...]
    raw: str


class Agreement:
    """Judges records both ways and says what differed. ``compared`` counts by data set and path, ``matched`` by rule."""

    def __init__(self, root):
        ruleset, self._parsers, placeholders = everything(root)
        self._matcher = Matcher(ruleset.rules)
        self._native = [rule for rule in ruleset.rules if rule.route.space == "native"]
        self._names_of_native = frozenset(rule.name for rule in self._native)
        self._raw_matchers = {}
        self._naive = {
            rule.name: NaiveRule(document(rule.text, rule.title), placeholders, rule.route.class_uid)
            for rule in ruleset.rules
            if rule.expression is not None
        }
        self._for_kind = {}
        self.compared = Counter()
        self.matched = Counter()

    def differences(self, corpus):
        """Yield what differs in the records of one file."""
        normaliser = Normaliser(self._parsers, clock=FixedClock(NOW), longest=LONGEST)
        facts = SourceFacts(1, corpus.name, "replay", {})
        for start in range(0, len(corpus.raws), BATCH):
            batch = corpus.raws[start : start + BATCH]
            records = [(StoredRecord(at, raw, 1, NOW, 0, at), facts, 0) for at, raw in enumerate(batch)]
            events = normaliser.normalise(records)
            said = list(map(self._oracle, events))
            self.matched.update(name for names in said for name in names)
            found = _by_place(self._matcher.match(events), len(batch))
            yield from self._compared(corpus, "event", start, dict(enumerate(said)), found)
            for shape in self._shapes(batch[0]):
                judged = self._raw_matchers[shape].match(batch)
                native = {at: said[at] & self._names_of_native for at in range(len(batch)) if at not in judged.others}
                yield from self._compared(corpus, "raw", start, native, _by_place(judged.matches, len(batch)))

    def _oracle(self, event):
        """The names of the rules that match, one rule after the other."""
        kind = (event.logsource, event.class_uid)
        if kind not in self._for_kind:
            self._for_kind[kind] = [(name, rule) for name, rule in self._naive.items() if rule.takes(*kind)]
        return frozenset(
            name for name, rule in self._for_kind[kind] if rule.holds(getattr(event, rule.space), event.message)
        )

    def _shapes(self, raw):
        """The shape by which ``watchbill detect`` would judge a file that begins so, if there is one."""
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError):
            return []
        shapes = [shape for parser in self._parsers for shape in parser.shapes]
        chosen = [shape for shape in shapes if isinstance(record, dict) and shape.read(record) is not None][:1]
        for shape in chosen:
            if shape not in self._raw_matchers:
                self._raw_matchers[shape] = JsonMatcher(self._native, shape)
        return chosen

    def _compared(self, corpus, path, start, said, found):
        self.compared[corpus.data_set, path] += len(said)
        for at, expected in said.items():
            if expected != found[at]:
                missed, invented = sorted(expected - found[at]), sorted(found[at] - expected)
                raw = corpus.raws[start + at].decode("utf-8", "backslashreplace")
                yield Difference(corpus.name, start + at, path, tuple(missed), tuple(invented), raw)


def _by_place(matches, count):
    found = [set() for _ in range(count)]
    for match in matches:
        found[match.at].add(match.rule)
    return list(map(frozenset, found))


def everything(root):
    """All rules that can run, all parsers, and values for all of the rules' placeholders."""
    catalog = Catalog.load("watchbill.content", outside=False)
    paths = rulefiles.rule_files([root / "sigma" / "rules_tree"])
    names = {name for path in paths for name in re.findall(r"%([\w-]+)%", path.read_text("utf-8"))}
    values = {name: ["192.0.2.0/24"] if "ip" in name.lower() else ["x", "svc?-*"] for name in names}
    return load_rules([*paths, *catalog.rule_files], values), catalog.parsers, values


def sampled(corpus, share):
    """One record in so many, chosen by what they are, so that another file before this one changes nothing."""
    return corpus._replace(raws=[raw for raw in corpus.raws if zlib.crc32(raw) % share == 0])


def main(arguments):
    """Compare in as many processes as there are cores; prints a table, and returns how many records differ."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("data", type=Path, help="the folder of the third-party data")
    reader.add_argument("--sets", nargs="+", default=SETS, metavar="SET", help=f"some of {', '.join(SETS)}")
    reader.add_argument("--share", type=int, default=1, help="compare one record in so many")
    reader.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    asked = reader.parse_args(arguments)
    todo = sorted(files(asked.data, asked.sets), key=lambda one: -one[1].size)
    compared, matched, differing = Counter(), Counter(), []
    with get_context("fork").Pool(asked.workers, _prepare, (asked.data, asked.share)) as pool:
        results = pool.imap_unordered(_work, todo)
        for differences, counts, rules in track(results, "comparing", len(todo), console=Console(stderr=True)):
            differing += differences
            compared += counts
            matched += rules
    for data_set in asked.sets:
        print(f"{data_set:28} {compared[data_set, 'event']:9,} events {compared[data_set, 'raw']:9,} of them raw")
    print(f"{sum(compared.values()):,} answers, {matched.total():,} matches of {len(matched):,} rules")
    for one in differing[:TOLD]:
        print(f"{one.file} record {one.at} ({one.path}): missed {one.missed}, invented {one.invented}: {one.raw[:500]}")
    print(f"{len(differing):,} differ")
    return len(differing)


_process = {}


def _prepare(root, share):
    _process.update(agreement=Agreement(root), root=root, share=share)


def _work(file):
    agreement = _process["agreement"]
    agreement.compared.clear()
    agreement.matched.clear()
    corpus = sampled(read(_process["root"], *file), _process["share"])
    return list(agreement.differences(corpus)), agreement.compared, agreement.matched


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
