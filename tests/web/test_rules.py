"""The pages of rules, with a collection that somebody added."""

from __future__ import annotations

import time

import pytest

from watchbill.core.clock import SystemClock
from watchbill.flows import collections, installation

RULE = """title: Theirs {0:02}
logsource: {{product: {1}, service: svc-{0:02}}}
detection: {{s: {{a: {0}}}, condition: s}}
level: low
status: experimental
"""


def text(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


@pytest.fixture
def theirs(console, tmp_path, monkeypatch):
    """Sixty rules of other people, and one that does not run, while the console is served."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for number in range(60):
        (folder / f"theirs_{number:02}.yml").write_text(RULE.format(number, "windows" if number % 2 else "macos"))
    (folder / "broken.yml").write_text("title: Broken\ndetection: {s: {a: 1}, condition: s}\n")
    (folder / "LICENSE").write_text("MIT License\n")
    monkeypatch.setattr(installation, "CHECK_SECONDS", 0)
    installation.rulebook()
    collections.add(console, str(folder), SystemClock())
    follow(lambda: "theirs_01" in installation.rulebook().by_name)
    yield
    collections.remove(console, "theirs")
    follow(lambda: "theirs_01" not in installation.rulebook().by_name)


def follow(wanted):
    deadline = time.monotonic() + 60
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_rules_are_found_by_collection_and_log_source(analyst, theirs):
    """In pages, each with what it is for; facets count what choosing them would show."""
    page = text(analyst.get("/rules?collection=theirs"))
    assert "1–50 of 60" in page
    assert "windows · svc-01" in page
    assert "Theirs 59" not in page
    assert "Theirs 59" in text(analyst.get("/rules?collection=theirs&page=2"))
    page = text(analyst.get("/rules?product=macos&q=theirs"))
    assert "1–30 of 30" in page
    assert "Theirs 01" not in page
    assert "No rule matches" in text(analyst.get("/rules?product=macos&severity=critical"))
    assert "51–60 of 60" in text(analyst.get("/rules?collection=theirs&page=99"))


def test_what_does_not_run_says_where(analyst, theirs):
    """File and line, without the server's folders; with its collection to filter by."""
    page = text(analyst.get("/rules?show=problems&collection=theirs"))
    assert "theirs/broken.yml:1" in page
    assert "1–1 of 1" in page
    assert str(installation.data().root) not in page
    assert "None of these matches" in text(analyst.get("/rules?show=problems&q=nobodyhasthis"))


def test_collections_say_their_licence_and_how_they_are_added(analyst, theirs):
    """The page names the command; nothing is uploaded."""

    page = text(analyst.get("/rules?show=collections"))
    assert "MIT License" in page
    assert "watchbill rules add PATH|URL" in page


def test_a_rule_says_what_it_is_for_and_from_where(analyst, theirs):
    """Its log source leads to the others of that."""
    page = text(analyst.get("/rules/theirs_01"))
    assert 'href="/rules?product=windows"' in page
    assert 'href="/rules?collection=theirs"' in page
    assert "theirs/theirs_01.yml" in page


def test_the_list_goes_out_as_it_is_filtered(analyst, theirs):
    """Whole, not the page alone."""
    lines = b"".join(analyst.get("/rules?collection=theirs&as=csv")).decode().strip().splitlines()
    assert len(lines) == 61
    assert "windows · svc-59" in "".join(lines)
