"""Filters take out of rules what an installation knows to be harmless; one that cannot says where and why."""

import pytest

from watchbill.core.times import from_rfc3339
from watchbill.engine.detect import Detector, parse_rules
from watchbill.sdk import Event, LogSource

RULE = """
title: Archive made
id: 6f3e2987-db24-4c78-a860-b4f4095a7095
name: archive
logsource: {product: windows, category: process_creation}
detection: {s: {Image|endswith: '\\rar.exe'}, condition: s}
---
title: Administrators
logsource: {product: windows, category: process_creation}
filter:
  rules: %s
  selection: {User|startswith: adm_}
  condition: %s
"""
NOW = from_rfc3339("2026-03-04T10:00:00Z")


def matches(rules, user):
    event = Event(
        1007,
        {},
        {"Image": "C:\\rar.exe", "User": user},
        "",
        time=1,
        logsource=LogSource("windows", "", "process_creation"),
    )
    return [match.rule for match in Detector(rules, None).match([event])]


@pytest.mark.parametrize("named", ["[6f3e2987-db24-4c78-a860-b4f4095a7095]", "[archive]", "any", "[any]"])
@pytest.mark.parametrize("condition", ["selection", "not selection", "not (selection)", "1 of them"])
def test_a_filter_takes_its_selection_out(named, condition):
    """By name, by id or any rule of the log source; in the specification's words or in pySigma's."""
    rules = parse_rules(RULE % (named, condition))
    assert not rules.problems
    assert matches(rules, "eve") == ["archive"]
    assert matches(rules, "adm_eve") == []
    assert rules.infos["archive"].extra["filters"] == ["Administrators"]


@pytest.mark.parametrize(
    ("named", "condition", "line", "reason"),
    [
        ("[nobody]", "selection", 11, "names the rule 'nobody', which is not there"),
        ("[]", "selection", 11, "rules must be a list"),
        ("[archive]", "other", 13, "no search of this rule"),
        ("[archive]", "selection and not selection", 13, "cannot tell"),
    ],
)
def test_a_filter_that_cannot_work_is_a_problem_with_its_line(named, condition, line, reason):
    """The rule itself runs on."""
    rules = parse_rules(RULE % (named, condition))
    assert [problem.place.line for problem in rules.problems] == [line]
    assert reason in rules.problems[0].reason
    assert matches(rules, "adm_eve") == ["archive"]


def test_a_filter_of_another_log_source_or_of_a_correlation_is_a_problem():
    """It would do nothing, and somebody believes that it does."""
    other = (RULE % ("[archive]", "selection")).replace(
        "category: process_creation}\nfilter", "service: sysmon}\nfilter"
    )
    assert "another log source" in parse_rules(other).problems[0].reason
    many = "---\ntitle: M\nname: many\ncorrelation: {type: event_count, rules: [archive], timespan: 5m, condition: {gte: 3}}\n"
    assert "is a correlation" in parse_rules(RULE % ("[many]", "selection") + many).problems[0].reason


def test_a_filter_with_an_end_no_longer_filters_after_it():
    """Until then the rules say when they have to be loaded anew; afterwards it is a problem."""
    text = RULE % ("[archive]", "selection") + "watchbill: {expires: 2026-03-04, reason: the migration}\n"
    before = parse_rules(text, now=NOW)
    assert (before.problems, before.ends) == ((), from_rfc3339("2026-03-05T00:00:00Z"))
    assert matches(before, "adm_eve") == []
    after = parse_rules(text, now=before.ends)
    assert "is over since 2026-03-05T00:00:00Z" in after.problems[0].reason
    assert matches(after, "adm_eve") == ["archive"]


@pytest.mark.parametrize(
    "governed", ["{expires: 2026-03-04}", "{expires: soon, reason: x}", "{until: 1, reason: x}", "yes"]
)
def test_the_end_of_a_filter_needs_a_day_and_a_reason(governed):
    """What is not understood does not filter."""
    rules = parse_rules(RULE % ("[archive]", "selection") + f"watchbill: {governed}\n")
    assert len(rules.problems) == 1
    assert matches(rules, "adm_eve") == ["archive"]
