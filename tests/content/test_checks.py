"""Checks: pure judges over snapshots, right about their own examples, and never passed by silence."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial import catalog

from watchbill.core.times import parse_duration
from watchbill.sdk import Outcome

CHECKS = catalog().checks
EXAMPLES = [(check, example) for check in CHECKS for example in check.examples]
KNOWN = {"ledger", "assets", "sources", "accounts", "alerts", "channels", "storage"}


@pytest.mark.parametrize(
    ("check", "example"), EXAMPLES, ids=[f"{check.id}-{n}" for n, (check, _) in enumerate(EXAMPLES)]
)
def test_a_checks_own_example(check, example):
    """The verdict is the stated one, says its numbers, names what is wrong, and leaves the snapshot alone."""
    snapshot = json.loads(json.dumps(example.snapshot))
    before = copy.deepcopy(snapshot)
    verdict = check.judge(snapshot)
    assert verdict.outcome == example.outcome, verdict
    assert verdict.summary.endswith(".")
    assert bool(verdict.findings) or verdict.outcome != Outcome.FAILED
    assert not verdict.findings or verdict.outcome != Outcome.PASSED
    assert snapshot == before


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_every_check_is_whole(check):
    """Controls that exist, words for people, intervals that can be read, an example of each outcome."""
    framework = catalog().framework("iso27001_2022")
    assert all(framework.control(number) for number in check.controls)
    assert check.controls
    assert check.title
    assert check.rationale
    assert check.mend
    assert set(check.reads) <= KNOWN
    assert parse_duration(check.max_age) >= parse_duration(check.every)
    assert {example.outcome for example in check.examples} == set(Outcome)
    for example in check.examples:
        assert set(example.snapshot) == set(check.reads)


@pytest.mark.parametrize("name", ["assets", "sources", "accounts", "channels", "storage"])
def test_nothing_to_look_at_is_never_a_pass(name):
    """An empty list is no evidence of anything."""
    empty = {key: [] for key in KNOWN - {"ledger", "alerts"}}
    for check in CHECKS:
        if name in check.reads:
            assert check.judge({read: empty[read] for read in check.reads}).outcome != Outcome.PASSED, check.id


SOURCES = st.lists(
    st.fixed_dictionaries({
        "name": st.text(max_size=5),
        "state": st.sampled_from(["alive", "silent", "recorded", "unreadable"]), "events": st.integers(0, 1000),
        "quarantined": st.integers(0, 1000), "skew_ms": st.none() | st.integers(-9_999, 9_999),
    })
)  # fmt: skip


@given(SOURCES)
def test_adding_a_bad_source_never_makes_it_pass(sources):
    """A verdict can only get worse by a silent, skewed, unreadable source of an asset that has no other."""
    bad = {"name": "bad source", "state": "alive", "events": 1000, "quarantined": 999, "skew_ms": 99_000}
    checks = {check.id: check for check in CHECKS}
    for name in ("records_understood", "clocks_synchronised"):
        assert checks[name].judge({"sources": [*sources, bad]}).outcome == Outcome.FAILED
    assets = [{"name": "dark", "criticality": "high", "owner": "", "reviewed": False, "sources": ["bad source"]}]
    silent = [*sources, bad | {"state": "silent"}]
    assert checks["critical_assets_send"].judge({"assets": assets, "sources": silent}).outcome == Outcome.FAILED
