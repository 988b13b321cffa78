"""docs/write-a-rule.md is true: its example runs, and what it names is there."""

import re
from pathlib import Path

from trial import normalised, ruleset

from watchbill.engine.detect import parse_rules, run_rule_test
from watchbill.engine.detect.routing import OCSF_CLASSES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "write-a-rule.md").read_text()


def test_the_example_runs():
    """As it is printed, under the name that is printed, with its own tests."""
    text = re.search(r"```yaml\n(title: .*?)```", PAGE, re.DOTALL)[1]
    rules = parse_rules(text, "printer_admin.yml")
    assert rules.problems == ()
    [rule] = rules.rules
    assert rule.tests
    for test in rule.tests:
        found = run_rule_test(rules, rule.name, normalised(test.records), test.criticality)
        assert len(found) == test.alerts
        assert all(one.severity == test.severity for one in found)


def test_what_the_page_names_is_there():
    """OCSF classes and rules."""
    classes = re.search(r"OCSF\]\(.*?\.\n  `|class: (.*?)\. Fields", PAGE, re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`", classes)) <= OCSF_CLASSES.keys()
    for name in ("failed_logins_by_address", "off_hours_access"):
        assert name in PAGE
        assert name in ruleset().by_name
