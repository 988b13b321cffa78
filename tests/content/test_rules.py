"""Every rule: governed as row R1 wants it, and right about its own examples, by real parsers and the real engine."""

import re
from uuid import UUID

import pytest
from trial import catalog, normalised, ruleset

from watchbill.core.values import Criticality, Severity
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import run_rule_test

RULES = [rule for rule in ruleset().rules if rule.alerts]
CASES = [(rule, test) for rule in RULES for test in rule.tests]
OWNERS = {"security-operations", "platform-operations", "cloud-platform", "application-operations"}


def test_every_rule_runs():
    """No file of ours is a problem, and every file alerts under its own name."""
    assert ruleset().problems == ()
    assert {rule.name for rule in RULES} == {path.stem for path in catalog().rule_files}


@pytest.mark.parametrize(("rule", "test"), CASES, ids=[f"{rule.name}: {test.name}" for rule, test in CASES])
def test_a_rules_own_example(rule, test):
    """As many alerts as the example says, as severe and about whom it says; all of its records are understood."""
    events = normalised(test.records, format_id=test.format)
    assert [event.flaw for event in events if event.flaw] == []
    found = run_rule_test(ruleset(), rule.name, events, test.criticality, test.until)
    assert len(found) == test.alerts, [detection.why for detection in found]
    for detection in found:
        if test.severity:
            assert detection.severity == test.severity
        for kind, values in test.entities.items():
            wanted = values if isinstance(values, list) else [values]
            assert set(wanted) <= set(detection.entities.get(kind, ())), detection.entities
        assert detection.why
        assert detection.events


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_governed(rule):
    """Owner, rationale, response, controls that exist, false positives, ATT&CK tags, an id of its own, examples."""
    info = ruleset().infos[rule.name]
    framework = Catalog.load("watchbill.content", outside=False).framework("iso27001_2022")
    assert info.description
    assert info.owner in OWNERS
    assert len(info.rationale) > 40
    assert len(info.response) >= 1
    assert info.false_positives
    assert info.controls
    for number in info.controls:
        assert framework.control(number)
    assert any(re.fullmatch(r"attack\.t\d{4}(\.\d{3})?", tag) for tag in info.tags)
    assert UUID(rule.id)
    counts = [test.alerts for test in rule.tests]
    assert any(counts), "no positive example"
    assert 0 in counts, "no negative example"


def test_a_threshold_has_an_example_one_below_it():
    """For each correlation by count there is a negative example with exactly one thing too few."""
    for rule in RULES:
        if rule.correlation and rule.correlation.kind in {"event_count", "value_count"}:
            below = rule.correlation.tier(Criticality.MEDIUM).gte - 1
            sizes = {len(test.records) for test in rule.tests if test.alerts == 0}
            unreachable = below > 1000
            assert unreachable or below == 0 or below in sizes, rule.name


def test_the_figures_of_failed_sign_ins():
    """High 3 in 5 minutes critical, medium 5 in 10 high, low 10 in 15 medium (row D2)."""
    tiers = ruleset().by_name["failed_logins_by_address"].correlation.tiers
    minute = 60_000_000_000
    assert {c: (t.gte, t.timespan // minute, t.level) for c, t in tiers.items()} == {
        Criticality.HIGH: (3, 5, Severity.CRITICAL),
        Criticality.MEDIUM: (5, 10, Severity.HIGH),
        Criticality.LOW: (10, 15, Severity.MEDIUM),
    }
