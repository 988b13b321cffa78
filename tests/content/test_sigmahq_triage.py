"""SigmaHQ whole: what of it runs and why the rest does not, and its own regression cases through readers and parsers."""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from watchbill.core.clock import SystemClock
from watchbill.core.values import Severity
from watchbill.engine import rulefiles
from watchbill.engine.catalog import Catalog
from watchbill.engine.offline import Triage, survey

RUNNING = ("rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance")
#: Stated as 1, yet the recording holds more events that the rule plainly names. Each hit was looked at.
MISCOUNTED = {
    "file_event_win_anydesk_artefact": 3,  # AnyDesk writes user.conf three times, under three suffixes
    "file_event_win_cred_dump_tools_dropped_files": 3,  # procdump.exe, procdump64.exe and procdump64a.exe are dropped
}
#: Why a rule of SigmaHQ does not run, as a reader may judge.
REASONS = {
    "deprecated": r"its authors have deprecated it",
    "aggregation": r"the old aggregation syntax",
    "placeholder": r"no values are known for the placeholder",
}


@pytest.fixture(scope="module")
def tree(shared_data):
    return shared_data / "sigma" / "rules_tree"


@pytest.fixture(scope="module")
def ruleset(tree):
    return rulefiles.load(rulefiles.rule_files([tree]))


def top(tree, path):
    return path.removeprefix(f"{tree}/").partition("/")[0]


def test_at_most_one_in_a_hundred_does_not_load(tree, ruleset):
    """Of the rules that are meant to run, only those that ask for one's own names."""
    refused = [one for one in ruleset.problems if top(tree, one.place.file) in RUNNING]
    running = [rule for rule in ruleset.rules if top(tree, rule.path) in RUNNING]
    assert len(refused) <= len(running) / 100
    assert all(re.search(REASONS["placeholder"], one.reason) for one in refused)


def test_each_rule_that_does_not_run_says_why(tree, ruleset):
    """With file, line and a reason of a known kind; few need a reason of their own."""
    assert all(one.place.line for one in ruleset.problems)
    found = Counter()
    for one in ruleset.problems:
        kinds = [kind for kind, said in REASONS.items() if re.search(said, one.reason)]
        found[top(tree, one.place.file), *(kinds[:1] or ["other"])] += 1
    assert {folder for folder, kind in found if kind == "deprecated"} <= {"deprecated", "unsupported", *RUNNING}
    assert sum(count for (_, kind), count in found.items() if kind == "other") <= 20, found
    accounted = {rule.path for rule in ruleset.rules} | {one.place.file for one in ruleset.problems}
    assert {str(path) for path in rulefiles.rule_files([tree])} == accounted


def test_rules_with_placeholders_run_with_values(tree):
    """Every rule of rules-placeholder runs once its names have values."""
    files = rulefiles.rule_files([tree / "rules-placeholder"])
    names = {name for path in files for name in re.findall(r"%([\w-]+)%", path.read_text("utf-8"))}
    refused = rulefiles.load(files).problems
    assert len(refused) == len(files)
    with_values = rulefiles.load(files, {name: ["192.0.2.0/24" if "ip" in name.lower() else "x"] for name in names})
    assert [str(one) for one in with_values.problems] == []


def test_the_page_on_coverage_is_current(tree, ruleset):
    """docs/coverage.md says what is so; ``python docs/coverage.py RULES REGRESSION`` writes it anew."""
    path = Path(__file__).parents[2] / "docs" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_page", path)
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    text = page.PAGE.read_text("utf-8")
    for name, lines in page.tables(tree, ruleset, Catalog.load("watchbill.content", outside=False).parsers).items():
        assert page.filled(text, name, lines) == text, name


def cases(root):
    for info in sorted((root / "sigma" / "regression").rglob("info.yml")):
        case = yaml.safe_load(info.read_text("utf-8"))
        stated = (case.get("regression_tests_info") or [{}])[0].get("match_count", 1)
        yield info.parent, case["rule_metadata"][0]["id"], MISCOUNTED.get(info.parent.name, stated)


def test_regression_cases_give_the_stated_matches(shared_data, ruleset):
    """All 95 cases, each as EVTX and as JSON (the one of Cisco as its text), as often as they say."""
    parsers = Catalog.load("watchbill.content", outside=False).parsers
    differing, forms = {}, Counter()
    for folder, rule_id, stated in cases(shared_data):
        (rule,) = [rule for rule in ruleset.rules if rule.id == rule_id]
        for path in sorted(path for path in folder.iterdir() if path.suffix in {".evtx", ".json", ".jsoncls", ".raw"}):
            if path.suffix == ".jsoncls" and path.with_suffix(".json").exists():
                continue
            sources, skipped = survey([str(path)])
            triage = Triage(
                type(ruleset)((rule,), ()), parsers, SystemClock(), least=Severity.INFORMATIONAL,
                parser="cisco" if path.suffix == ".raw" else "",
            )  # fmt: skip
            found = sum(hit.count for hit in triage.run(sources, 1, lambda _size: None))
            forms[path.suffix] += 1
            if found != stated or skipped or triage.troubles:
                differing[path.name] = (folder.name, found, stated, skipped, triage.troubles)
    assert differing == {}
    assert forms[".evtx"] == 94
    assert forms[".json"] + forms[".jsoncls"] == 94
    assert forms[".raw"] == 1
