"""The rules that a web process shows follow the folder of rules."""

import time

import pytest

from watchbill.core.paths import DataDir
from watchbill.flows import installation

RULE = "title: Added\nlogsource: {product: windows}\ndetection: {s: {EventID: 1}, condition: s}\nlevel: low\n"


@pytest.fixture
def rules(tmp_path, settings, monkeypatch):
    """The folder of rules of an installation that looks at it whenever it is asked."""
    settings.DATA = DataDir(tmp_path / "data").create()
    monkeypatch.setattr(installation, "CHECK_SECONDS", 0)
    folder = settings.DATA.root / "rules"
    folder.mkdir()
    return folder


def until(wanted):
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def runs():
    return "added" in installation.rulebook().by_name


def test_rules_that_come_and_go_are_seen_without_a_restart(rules):
    """And nothing is loaded again while no file changes."""
    before = installation.rulebook()
    assert installation.rulebook() is before
    (rules / "added.yml").write_text(RULE)
    until(runs)
    assert installation.ruleset().by_name["added"].title == "Added"
    assert installation.rulebook() is installation.rulebook()
    (rules / "added.yml").unlink()
    until(lambda: not runs())


def test_rules_that_cannot_be_loaded_leave_the_ones_of_before(rules, monkeypatch):
    """Files may go while they are read: it is tried again."""
    (rules / "added.yml").write_text(RULE)
    before = installation.rulebook()
    tried = []

    def fail(folders):
        tried.append(folders)
        raise FileNotFoundError("gone")

    (rules / "second.yml").write_text(RULE)
    with monkeypatch.context() as broken:
        broken.setattr(installation.content.RuleFolders, "load", fail)
        until(lambda: installation.rulebook() is before and len(tried) > 1)
    until(lambda: "second" in installation.rulebook().by_name)
