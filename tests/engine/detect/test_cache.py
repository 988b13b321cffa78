"""Rules are the same from the cache, and a cache that is not right is as good as none."""

import pytest

from watchbill.engine.detect.rules import load_rules

RULES = """title: T
name: rule
description: what it is for
logsource: {category: process_creation}
detection:
  s:
    a|re: ^x
    b|cidr: 192.0.2.0/24
    c|base64offset|contains: foobar
    d: [null, 'x*y?z', 1, 2.5, true]
    e|gte: 3
    f|fieldref: g
    h|hour|lt: 7
  t: [keyword, {k: v}]
  condition: s and not t or 1 of *
---
title: C
name: many
correlation: {type: event_count, rules: [rule], timespan: 5m, group-by: [a], condition: {gte: 3}}
watchbill: {tiers: {high: {gte: 2}}}
---
title: broken
name: broken
logsource: {product: x}
detection: {s: {a|nonsense: 1}, condition: s}
"""


@pytest.fixture
def files(tmp_path):
    path = tmp_path / "many.yml"
    path.write_text(RULES)
    return [path, tmp_path / "absent.yml"]


def test_what_is_remembered_is_what_was_loaded(files, tmp_path):
    """Rules, problems and where each key of a rule stands; the file is for its owner only."""
    cache = tmp_path / "cache"
    fresh = load_rules(files, cache=cache)
    assert len(fresh.rules) == 2
    assert len(fresh.problems) == 2
    again = load_rules(files, cache=cache)
    assert again == fresh
    assert again is not fresh
    assert [rule.meta.lines for rule in again.rules] == [rule.meta.lines for rule in fresh.rules]
    assert cache.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob(".cache*"))


def test_another_rule_or_placeholder_is_not_answered_from_the_cache(files, tmp_path):
    """The key is everything that the result follows from."""
    cache = tmp_path / "cache"
    load_rules(files, cache=cache)
    files[0].write_text(RULES.replace("title: T", "title: U"))
    assert load_rules(files, cache=cache).by_name["rule"].title == "U"
    files[0].write_text(RULES.replace("a|re: ^x", "a|expand: '%who%'"))
    assert "rule" not in load_rules(files, cache=cache).by_name
    assert "rule" in load_rules(files, {"who": ["ann"]}, cache=cache).by_name


def test_a_damaged_cache_is_passed_over_and_made_anew(files, tmp_path):
    """Whatever byte is wrong, and wherever it ends."""
    cache = tmp_path / "cache"
    fresh = load_rules(files, cache=cache)
    whole = cache.read_bytes()
    for at in range(0, len(whole), 97):
        cache.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert load_rules(files, cache=cache) == fresh
        cache.write_bytes(whole[:at])
        assert load_rules(files, cache=cache) == fresh
        assert cache.read_bytes()[:18] == whole[:18]


def test_a_cache_that_cannot_be_written_is_no_obstacle(files, tmp_path):
    """The rules are there all the same."""
    assert len(load_rules(files, cache=tmp_path / "absent" / "cache").rules) == 2
