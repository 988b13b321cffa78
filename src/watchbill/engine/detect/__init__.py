"""Detection: rules are loaded, matched against events, and correlated over event time.

``load_rules(files)`` gives a RuleSet; ``Detector(ruleset, criticality)`` judges batches: ``match`` is stateless,
``feed`` keeps the windows of correlations. docs/detection.md has the whole design on one page.
"""

from watchbill.engine.detect.detector import Detector
from watchbill.engine.detect.match import Match, Matcher
from watchbill.engine.detect.rules import Problem, Rule, RuleSet, load_rules, parse_rules
from watchbill.engine.detect.trial import run_rule_test

__all__ = [
    "Detector", "Match", "Matcher", "Problem", "Rule", "RuleSet", "load_rules", "parse_rules", "run_rule_test",
]  # fmt: skip
