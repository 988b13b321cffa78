# ruff: noqa: INP001 - a program, not a package
"""Makes docs/coverage.md from what was measured: ``python docs/coverage.py RULES REGRESSION`` (SigmaHQ's folders).

RULES holds the rules (rules, rules-emerging-threats, …), REGRESSION the collection's regression_data.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

from watchbill.content.windows import channels
from watchbill.core.clock import SystemClock
from watchbill.core.values import Severity
from watchbill.engine import rulefiles
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Rule, RuleSet
from watchbill.engine.detect.documents import documents
from watchbill.engine.normalise import Normaliser
from watchbill.engine.offline import Triage, survey
from watchbill.ledger import SourceFacts, StoredRecord
from watchbill.sdk import LogSource, Parser

PAGE = Path(__file__).with_name("coverage.md")
RUNNING = ("rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance", "rules-placeholder")
_OTHERS = "several or any"


def sources_of(parsers: tuple[Parser, ...]) -> set[tuple[LogSource, int]]:
    """The log sources (with OCSF class) that come out of the parsers: those of their samples, and Windows' table."""
    clock = SystemClock()
    found = {(parser.logsource, 0) for parser in parsers}
    for parser in parsers:
        normaliser = Normaliser(parsers, clock=clock)
        facts = SourceFacts(1, "coverage", "replay", {"format": parser.id})
        for sample in parser.samples:
            if sample.class_uid is not None:
                record = StoredRecord(0, sample.raw.encode("utf-8", "surrogateescape"), 1, clock.now(), 0, 0)
                found |= {(one.logsource, one.class_uid) for one in normaliser.normalise([(record, facts, 0)])}
    for channel in channels.SERVICES:
        for number in range(1, 6_000):
            for operation in ("", "CreateKey", "DeleteKey"):
                found.add((channels.logsource(channel, "", number, operation, "File"), 0))
    return found


def product_of(source: dict[str, object]) -> str:
    return str(source.get("product") or source.get("category") or _OTHERS)


def row(cells: list[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def top(tree: Path, file: str) -> str:
    """The folder of the collection in which a file stands."""
    return file.removeprefix(f"{tree}/").partition("/")[0]


def by_product(tree: Path, ruleset: RuleSet, parsers: tuple[Parser, ...]) -> list[str]:
    """Lines of the table by product, of the folders that are meant to run."""
    known = sources_of(parsers)
    fed: Counter[str] = Counter()
    unfed: dict[str, Counter[str]] = defaultdict(Counter)
    for rule in ruleset.rules:
        if top(tree, rule.path) not in RUNNING:
            continue
        product = product_of(rule.meta["logsource"])
        if any(rule.route.takes(*one) for one in known):
            fed[product] += 1
        else:
            unfed[product][_spelled(rule)] += 1
    refused: Counter[str] = Counter()
    for problem in ruleset.problems:
        if top(tree, problem.place.file) in RUNNING:
            text = Path(problem.place.file).read_text("utf-8", errors="replace")
            (_, document), *_ = documents(problem.place.file, text)
            refused[product_of(document.get("logsource") or {})] += 1
    lines = [
        row(["Product", "Rules", "Run on a source that we read", "No source yet", "Do not load"]),
        row(["---"] * 5),
    ]
    products = fed.keys() | unfed.keys() | refused.keys()
    for product in sorted(products, key=lambda one: (-fed[one] - sum(unfed[one].values()), one)):
        without = ", ".join(f"{count} {source}" for source, count in sorted(unfed[product].items()))
        total = fed[product] + sum(unfed[product].values()) + refused[product]
        lines.append(row([product, total, fed[product], without or "–", refused[product] or "–"]))
    without = sum(map(Counter.total, unfed.values()))
    lines.append(row(["**all**", fed.total() + without + refused.total(), fed.total(), without, refused.total()]))
    return lines


def by_folder(tree: Path, ruleset: RuleSet) -> list[str]:
    """Lines of the table by folder: how many rules run, and why the others do not."""
    running = Counter(top(tree, rule.path) for rule in ruleset.rules)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for problem in ruleset.problems:
        reasons[top(tree, problem.place.file)][_reason(problem.reason)] += 1
    lines = [row(["Folder", "Run", "Do not run, and why"]), row(["---"] * 3)]
    for folder in sorted(running.keys() | reasons.keys(), key=lambda one: (-running[one], one)):
        said = sorted(reasons[folder].items(), key=lambda item: (-item[1], item[0]))
        lines.append(row([folder, running[folder], "; ".join(f"{count}: {why}" for why, count in said) or "–"]))
    return lines


def _reason(said: str) -> str:
    """A reason without what is special to one rule."""
    return re.sub(r"^[^:]*\|[^:]*: |'|%[^%]*%| \(related: .*\)|;.*$", "", said).replace("|", "\\|").strip()


def _spelled(rule: Rule) -> str:
    return "/".join(part for part in (rule.route.product, rule.route.service, rule.route.category) if part)


def regression(root: Path, ruleset: RuleSet, parsers: tuple[Parser, ...]) -> list[str]:
    """Lines on SigmaHQ's own regression cases."""
    by_id = {rule.id: rule for rule in ruleset.rules}
    tried: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    differing = []
    for info in sorted(root.rglob("info.yml")):
        (_, case), *_ = documents(str(info), info.read_text("utf-8"))
        rule = by_id.get(case["rule_metadata"][0]["id"])
        stated = (case.get("regression_tests_info") or [{}])[0].get("match_count", 1)
        for path in sorted(one for one in info.parent.iterdir() if one.suffix in {".evtx", ".json", ".raw"}):
            form = path.suffix[1:]
            tried[form] += 1
            if rule is None:
                continue
            triage = Triage(
                RuleSet((rule,), ()), parsers, SystemClock(), least=Severity.INFORMATIONAL,
                parser="cisco" if form == "raw" else "",
            )  # fmt: skip
            found = sum(hit.count for hit in triage.run(survey([str(path)])[0], 1, lambda _size: None))
            passed[form] += found == stated
            if found != stated:
                differing.append(f"- `{info.parent.name}` ({form}): stated {stated}, found {found}")
    lines = [row(["Form", "Cases", "As stated"]), row(["---"] * 3)]
    lines += [row([form.upper(), tried[form], passed[form]]) for form in sorted(tried)]
    return [*lines, "", *(["Other counts than stated:", "", *differing] if differing else [])]


def tables(tree: Path, ruleset: RuleSet, parsers: tuple[Parser, ...]) -> dict[str, list[str]]:
    """The tables that need the rules alone, by their names on the page."""
    return {"by product": by_product(tree, ruleset, parsers), "by folder": by_folder(tree, ruleset)}


def filled(page: str, name: str, lines: list[str]) -> str:
    """The page with this table's lines."""
    head, _, rest = page.partition(f"<!-- {name} -->\n")
    _, _, tail = rest.partition("<!-- end -->")
    return "\n".join([f"{head}<!-- {name} -->", *lines, f"<!-- end -->{tail}"])


def main(tree: str, cases: str) -> None:
    """Measure, and write the page."""
    root = Path(tree)
    parsers = Catalog.load("watchbill.content", outside=False).parsers
    ruleset = rulefiles.load(rulefiles.rule_files([root]))
    page = PAGE.read_text("utf-8")
    made = tables(root, ruleset, parsers) | {"regression": regression(Path(cases), ruleset, parsers)}
    for name, lines in made.items():
        page = filled(page, name, lines)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
