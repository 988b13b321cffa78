"""Random rules on random events: the engine must agree with a matcher that is too simple to be wrong."""

import json
import re

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from naive import NaiveRule, document

from watchbill.core.values import Criticality
from watchbill.engine.detect import Detector, parse_rules
from watchbill.engine.detect.jsonmatch import JsonMatcher
from watchbill.sdk import Event, Kind, LogSource, Shape

WINDOWS = LogSource("windows", "", "process_creation")
PLACEHOLDERS = {"names": ["a", "b*", "1"], "networks": ["192.0.2.0/24", "2001:db8::/32"], "one": ["B-1"]}
#: A field with a constant, a nested one, and any member at the top: what raw records are matched by.
SHAPE = Shape(("k",), lambda header: Kind(WINDOWS, {"k": header[0]}) if header[0] == "one" else None)

FIELDS = ["A", "B", "c.d", "k"]
words = st.text(alphabet="abAB1-/ .*?\\İßKſsS\n\x1e–", max_size=5)
plain_words = st.text(alphabet="abAB1-/ .", min_size=1, max_size=4)
numbers = st.integers(-2, 12) | st.sampled_from([1.0, 2.5, 4625])
TIMES = [
    "2026-03-10T01:10:00Z",
    "2025-12-29T23:59:59+05:00",
    "1772618400",
    1772618400,
    1767225599000,
    "1767225599000000",
]
scalars = (
    words
    | numbers
    | st.booleans()
    | st.sampled_from(
        ["192.0.2.7", " ::ffff:192.0.2.7", "2001:db8::1", "true", "1", "YWI=", "YQBiAA==", "//5hAA==", "a\0b\0"]
    )
    | st.sampled_from(TIMES)
)
lists = st.lists(scalars | st.none() | st.lists(scalars, max_size=2), max_size=3)
values = scalars | st.none() | lists
nested = st.dictionaries(st.just("d"), values, max_size=1)
events = st.tuples(
    st.dictionaries(st.sampled_from(FIELDS[:3]), values)
    | st.fixed_dictionaries({}, optional={"A": values, "c": nested | st.lists(nested, max_size=2)}),
    words,
)


#: Patterns that Python and RE2 read alike, and those in which they differ.
REGEXES = [
    "a+b", "^A", "[ab]{2}", "b.a", "1|2", "a$", "(a|b)1", "[Ss]+x", "s{2}", "a b|b-a", "^$", "b*", r"\bA\b", r"^\w+$", r"[^\s\d]{2}",
    "(?i)a.b", r"\\", "^[]a]", "k", "[^-/]$", ".{2,}", "(?s).{3}", ".{4,5}?",
]  # fmt: skip
#: Every modifier of the specification's appendix, alone and in what combinations have a meaning: the modifiers, the
#: values that they go with, and the fields ("" for keywords).
MODIFIED = {
    "strings": (
        (
            "contains startswith endswith cased all neq contains|all contains|cased cased|contains|all contains|neq "
            "startswith|cased endswith|cased endswith|neq startswith|all|neq"
        ),
        scalars,
    ),
    "nothing": ("", scalars),
    "null": ("neq", st.none()),
    "windash": (
        "windash contains|windash windash|endswith windash|contains|all windash|cased windash|base64offset|contains",
        st.sampled_from([" -a", "/b", "a -b", "–a", "-a /b", "a-b"]),
    ),
    "base64": ("base64 base64|contains base64|cased base64|neq", plain_words),
    "wide": (
        (
            "wide wide|base64 utf16be utf16be|base64|contains utf16|base64 utf16|startswith utf16le|base64 "
            "utf16le|contains wide|base64offset|contains"
        ),
        plain_words,
    ),
    "wide beyond ASCII": (
        "wide|base64 utf16be|base64|contains utf16|base64offset|contains", st.sampled_from(["é", "aßb", "Kſ", "Īa"])
    ),
    "base64offset": (
        "base64offset|contains base64offset base64offset|contains|cased", st.text("abcxyz", min_size=3, max_size=6)
    ),
    "re": ("re re|i re|s re|m re|i|m|s re|neq re|all", st.sampled_from(REGEXES)),
    "times": (
        "minute hour day week month year minute|gte day|lt week|lte year|gt hour|neq",
        st.sampled_from([1, 3, 9, 10, 11, 12, 29, 52, 59, 2025, 2026]),
    ),
    "keywords": (
        "all contains startswith endswith cased contains|all windash re neq", plain_words.map(re.escape), [""]
    ),
    "cidr": ("cidr cidr|neq", st.sampled_from(["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32", "192.0.2.7"])),
    "comparisons": ("lt lte gt gte lt|neq gte|all", numbers),
    "fieldref": (
        "fieldref fieldref|contains fieldref|endswith fieldref|startswith fieldref|cased fieldref|neq", st.sampled_from(FIELDS)
    ),
    "exists": ("exists exists|neq", st.booleans(), [*FIELDS, "c"]),
    "expand": (
        "expand expand|contains expand|startswith|cased expand|neq expand|contains|all expand|re windash|expand",
        st.sampled_from(["%names%", "a%names%", "%one%", "%names%-%one%", "-%one%", "plain", "50%"]),
    ),
    "expanded networks": ("cidr|expand expand|cidr", st.just("%networks%")),
}  # fmt: skip


def items(modifiers, wanted, fields=FIELDS):
    """Lines of a search: a field with one of these modifiers, and a value or a few."""
    keys = st.tuples(st.sampled_from(fields), st.sampled_from(modifiers.split() or [""])).map("|".join)
    return st.tuples(keys.map(lambda key: key.rstrip("|")), wanted | st.lists(wanted, min_size=1, max_size=3))


any_item = st.one_of(*(items(*kind) for kind in MODIFIED.values()))
maps = st.lists(any_item, min_size=1, max_size=3).map(dict)
keywords = words.filter(bool) | numbers
searches = (
    maps | keywords | st.lists(maps | keywords | st.lists(keywords, min_size=1, max_size=2), min_size=1, max_size=3)
)
simple = st.sampled_from(
    ["s1", "s2", "t-1", "_h", "1 of s*", "any of t*", "all of s*", "1 of them", "all of them", "1 of _*", "all of *1", "ANY OF s*"]
)  # fmt: skip
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "and not", "or not", "AND", "Or Not"]), inner).map(" ".join),
        inner.map("not {}".format),
        inner.map("not not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=6,
)
detections = st.fixed_dictionaries(
    {
        "s1": searches,
        "s2": searches,
        "t-1": searches,
        "_h": searches,
        "condition": conditions | st.lists(conditions, min_size=1, max_size=2),
    }
)


def written(detection, title="r"):
    return yaml.safe_dump(
        {"title": title, "name": title, "logsource": {"product": "windows"}, "detection": detection},
        allow_unicode=True,
    )


def agree(rules, happened):
    """Hold the matchers for events and for raw records against the oracle, event by event and rule by rule."""
    texts = [written(rule, f"r{place}") for place, rule in enumerate(rules)]
    ruleset = parse_rules("---\n".join(texts), placeholders=PLACEHOLDERS)
    assert not ruleset.problems
    naive = [NaiveRule(document(text, f"r{at}"), PLACEHOLDERS) for at, text in enumerate(texts)]

    batch = [Event(0, {}, fields, message, logsource=WINDOWS) for fields, message in happened]
    found = set(Detector(ruleset, lambda _: Criticality.LOW).match(batch))
    assert found == {
        (f"r{rule}", at)
        for rule, one in enumerate(naive)
        for at, (fields, message) in enumerate(happened)
        if one.holds(fields, message)
    }

    records = [{**fields, "k": "one", "message": message} for fields, message in happened]
    raws = [json.dumps(record, ensure_ascii=at % 2 == 0).encode() for at, record in enumerate(records)]
    judged = JsonMatcher(ruleset.rules, SHAPE).match(raws)
    assert judged.others == []
    assert set(judged.matches) == {
        (f"r{rule}", at)
        for rule, one in enumerate(naive)
        for at, record in enumerate(records)
        if one.holds(SHAPE.read(record)[1], raws[at].decode())
    }


@pytest.mark.usefixtures("engine")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(detections, min_size=1, max_size=4), st.lists(events, min_size=1, max_size=6))
@example([{"s1": {"A": 1}, "s2": {"A": True}, "t-1": {"A": "1"}, "condition": "1 of s* and not t-1"}],
         [({"A": True}, ""), ({"A": 1}, ""), ({"A": 1.0}, ""), ({"A": "1"}, "")])  # fmt: skip
@example([{"s1": {"A|exists": True}, "s2": {"A": None}, "t-1": {"A": ""}, "condition": "s1 and not s2 and not t-1"}],
         [({"A": []}, ""), ({"A": None}, ""), ({"A": ""}, ""), ({}, "")])  # fmt: skip
@example([{"s1": {"A|re|i": "s{2}"}, "condition": "s1"}], [({"A": "ſſ"}, ""), ({"A": "Ss"}, "")])
@example(
    [{"s1": {"A|re": ".{2,}"}, "condition": "s1"}], [({"A": "a\né😀"}, ""), ({"A": "a\nb\n"}, ""), ({"A": ""}, "")]
)
@example([{"s1": {"A|re|s": ".{3}"}, "condition": "s1"}], [({"A": "a\nb"}, "")])
@example(
    [{"s1": {"A|fieldref": "B"}, "condition": "s1"}],
    [({"A": "İ", "B": "i̇"}, ""), ({"A": "ab", "B": "AB"}, ""), ({"A": "ab", "B": "a"}, "")],
)
@example([{"s1": {"A": "x"}, "condition": "s1"}] * 3, [({"A": "X"}, ""), ({"A": "y"}, "")])
def test_the_engine_agrees_with_the_naive_matcher(rules, happened):
    """Event by event and rule by rule, whatever the values."""
    agree(rules, happened)


@pytest.mark.parametrize("kind", MODIFIED)
def test_each_kind_of_modifier_by_itself(kind):
    """So that none is rare among the random rules."""

    @settings(max_examples=25, deadline=None)
    @given(st.lists(items(*MODIFIED[kind]), min_size=1, max_size=4), st.lists(events, min_size=1, max_size=6))
    def alone(chosen, happened):
        agree([{"s": dict([one]), "condition": "s"} for one in chosen], happened)

    alone()


def test_every_modifier_of_the_specification_is_among_them(shared_data):
    """Those of the appendix are tried, every one."""
    text = (shared_data / "sigma_spec" / "specification" / "sigma-appendix-modifiers.md").read_text("utf-8")
    specified = set(re.findall(r"^ *- `(\w+)`: ", text, re.MULTILINE))
    assert len(specified) > 25
    assert specified <= {name for names, *_ in MODIFIED.values() for name in re.findall(r"\w+", names)}
