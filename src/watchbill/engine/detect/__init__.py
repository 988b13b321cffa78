"""Detection: rules are loaded, matched against events, and correlated over event time.

>>> from watchbill.engine.detect import Detector, load_rules

``load_rules(files)`` gives a RuleSet; ``Detector(ruleset, criticality)`` judges batches: ``match`` is stateless,
``feed`` keeps the windows of correlations. docs/detection.md has the whole design on one page.
"""

from watchbill.engine.detect.match import Match, Matcher
from watchbill.engine.detect.rules import Problem, Rule, RuleSet, load_rules, parse_rules

__all__ = ["Match", "Matcher", "Problem", "Rule", "RuleSet", "load_rules", "parse_rules"]
