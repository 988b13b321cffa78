"""The whole SigmaHQ collection loads, and what does not says why.

Its regression cases run through readers and parsers in tests/content/test_sigmahq_triage.py.
"""

from collections import Counter

import pytest

from watchbill.engine.detect import load_rules

RUNNING = ("rules", "rules-emerging-threats", "rules-threat-hunting", "rules-compliance")


@pytest.fixture(scope="module")
def collection(shared_data):
    tree = shared_data / "sigma" / "rules_tree"
    return load_rules(tree.rglob("*.yml"))


def folder(problem):
    return problem.place.file.split("/rules_tree/")[1].split("/")[0]


def test_nearly_all_rules_load(collection):
    """Of the rules that are meant to run only those with placeholders for one's own names do not."""
    refused = [problem for problem in collection.problems if folder(problem) in RUNNING]
    assert all("no values are known for the placeholder" in problem.reason for problem in refused)
    assert len(refused) <= 2
    assert len(collection.rules) >= 3_950


def test_each_refusal_has_a_line_and_a_reason(collection):
    """Nothing is left out silently: old aggregations, placeholders and broken files are named."""
    kinds = Counter(problem.reason.split(":")[-1].split("%")[0].strip() for problem in collection.problems)
    assert all(problem.place.line and problem.reason for problem in collection.problems), kinds
    assert kinds["the condition uses the old aggregation syntax (|); write a Sigma correlation instead"] >= 50
