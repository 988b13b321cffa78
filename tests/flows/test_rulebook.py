"""People find a rule among thousands by what it is for, and those that do not run by file and line."""

import pytest

from watchbill.core.clock import SystemClock
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.flows import collections, content
from watchbill.flows.rulebook import KEYS, Rulebook, RuleFilter, on_what

RULE = """title: {title}
id: 00000000-0000-4000-8000-00000000000{number}
status: {status}
logsource: {{{source}}}
detection: {{s: {{a: {number}}}, condition: s}}
level: {level}
"""
CORRELATION = """title: Both
id: 00000000-0000-4000-8000-000000000009
name: both
correlation: {type: temporal, rules: [own_rule, other], group-by: [a], timespan: 5m}
level: critical
"""


def rule(number, title, source, level="low", status="test"):
    return RULE.format(number=number, title=title, source=source, level=level, status=status)


@pytest.fixture
def data(tmp_path):
    """A collection of three rules, one of which does not run, and two rules of one's own that a third one counts."""
    theirs = tmp_path / "theirs"
    (theirs / "win").mkdir(parents=True)
    (theirs / "win" / "first.yml").write_text(rule(1, "First", "product: windows, service: sysmon", "high"))
    (theirs / "second.yml").write_text(rule(2, "Second", "product: linux, category: process_creation", status="stable"))
    (theirs / "broken.yml").write_text(rule(3, "Broken", "product: linux").replace("{a: 3}", "{a|nonsense: 3}"))
    data = DataDir(tmp_path / "data").create()
    collections.add(data, str(theirs), SystemClock())
    own = data.root / "rules"
    (own / "own_rule.yml").write_text(rule(4, "Own", "product: linux, service: sshd", "medium"))
    other = rule(5, "Other", "category: proxy").replace("status", "name: other\nstatus") + "---\n" + CORRELATION
    (own / "both.yml").write_text(other)
    return data


@pytest.fixture
def book(data):
    return Rulebook(data, Config(), content.rules(content.installed(data, Config())))


def titles(book, **wanted):
    return [info.title for info in book.find(RuleFilter(**wanted)) if info.collection != "watchbill"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["Both", "First", "Second"]),
        ({"collection": ("theirs",)}, ["First", "Second"]),
        ({"collection": ("own",)}, ["Both"]),
        ({"product": ("linux",)}, ["Both", "Second"]),
        ({"product": ("linux", "windows"), "severity": ("high", "critical")}, ["Both", "First"]),
        ({"service": ("sysmon",)}, ["First"]),
        ({"category": ("proxy",)}, ["Both"]),
        ({"product": ("none",), "collection": ("own", "theirs")}, ["Both"]),
        ({"status": ("stable",)}, ["Second"]),
        ({"text": "SECOND linux"}, ["Second"]),
        ({"text": "win/first.yml"}, ["First"]),
        ({"text": "sysmon stable"}, []),
        ({"control": "A.8.99"}, []),
    ],
)  # fmt: skip
def test_all_filters_must_hold_and_one_value_of_each(book, wanted, found):
    """A correlation is for what its rules are for; the worst rule stands first."""
    assert titles(book, **wanted) == found


def test_each_key_is_counted_under_the_other_filters(book):
    """What choosing one more value would show is what stands beside it."""
    wanted = RuleFilter(product=("linux",), severity=("low",))
    counts = book.counts(wanted)
    for key in KEYS:
        for value, count in counts[key].items():
            values = {name: getattr(wanted, name) for name in KEYS} | {key: (value,)}
            assert count == len(book.find(RuleFilter(**values))), (key, value)
    assert counts["product"]["linux"] >= 1
    assert counts["severity"]["critical"] >= 1


def test_what_does_not_run_says_where_without_the_servers_folders(book, data):
    """By file from the folder of rules on, and line; the collection counts it."""
    (problem,) = book.find_problems("NONSENSE")
    assert (problem.file, problem.line, problem.collection) == ("theirs/broken.yml", 5, "theirs")
    assert book.find_problems("nonsense", ["own"]) == []
    (one,) = book.collections
    assert (one.name, one.source, one.files, one.rules, one.problems) == ("theirs", "theirs", 3, 2, 1)
    assert not any(str(data.root) in info.path for info in book.find(RuleFilter()))


def test_log_sources_in_words(book):
    """All parts that are said, of all rules that a correlation counts."""
    words = {info.title: on_what(info) for info in book.find(RuleFilter())}
    assert words["First"] == "windows · sysmon"
    assert words["Both"] == "proxy, linux · sshd"


def test_a_collection_that_cannot_be_read_is_named(data):
    """Its rules still run, as one's own; the file stands among the problems."""
    (data.root / "rules" / "theirs" / "collection.json").write_text("{")
    book = Rulebook(data, Config(), content.rules(content.installed(data, Config())))
    assert [one.file for one in book.problems if "cannot be read" in one.reason] == ["theirs/collection.json"]
    assert "First" in titles(book, collection=("own",))


def test_an_address_is_shown_without_its_secret(data):
    """Who fetched rules by a token in the address does not show it to everybody."""
    path = data.root / "rules" / "theirs" / "collection.json"
    path.write_text(
        path.read_text().replace(str(data.root.parent / "theirs"), "https://me:secret@example.com/r.git?t=1")
    )
    (one,) = Rulebook(data, Config(), content.rules(content.installed(data, Config()))).collections
    assert one.source == "https://example.com/r.git"
