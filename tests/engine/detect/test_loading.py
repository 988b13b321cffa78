"""Every rule that cannot run is a Problem with its place and reason; hostile files cost nothing."""

import pytest

from cpu import cpu_seconds
from watchbill.core.values import Criticality
from watchbill.engine.detect import Detector, load_rules, parse_rules
from watchbill.sdk import Event, LogSource

RULE = """title: T
name: rule
logsource: {{category: authentication}}
taxonomy: ocsf
detection:
  selection:
    {item}
  condition: {condition}
"""


def problem(text):
    (found,) = parse_rules(text).problems
    return found


@pytest.mark.parametrize(
    ("item", "condition", "line", "reason"),
    [
        ("a|re: '(?=x)'", "selection", 7, "RE2 refuses"),
        ("a|nonsense: x", "selection", 7, "'nonsense' is unknown"),
        ("a|re|cidr: x", "selection", 7, "exclude each other"),
        ("a|cidr: 192.0.2.1/24", "selection", 7, "no network"),
        ("a|expand: '%admins%'", "selection", 7, "placeholder %admins%"),
        ("a|gte: many", "selection", 7, "wants a number"),
        ("a|windash: ' -a -b -c -d'", "selection", 7, "at most 3 dashes"),
        ("a: {b: c}", "selection", 7, "mapping where values"),
        ("a: []", "selection", 7, "no values"),
        ("a: x", "selection and", 8, "ends too early"),
        ("a: x", "(selection", 8, "ends too early"),
        ("a: x", "selection | count() > 5", 8, "old aggregation"),
        ("a: x", "1 of filter*", 8, "no search"),
        ("a: x", "other", 8, "no search of this rule"),
        (f"a: {'x*' * 100}", "selection", 7, "more than 64 wildcards"),
        (f"a|re: {'x' * 20_000}", "selection", 7, "longer than 10000"),
        ("a|re: '((a{1,100}){1,100}){1,100}'", "selection", 7, "RE2 refuses"),
        (f"a: [{'x, ' * 300}x]", " or ".join(["selection"] * 400), 8, "searches repeated"),
        ("a: x", "(" * 100 + "selection" + ")" * 100, 8, "deeper than 40"),
        ("a: x", "not " * 3_000 + "selection", 8, "more than 2000 words"),
        ("a|expand: '%a%%a%'", "selection", 7, "placeholder %a%"),
    ],
)
def test_what_cannot_run_is_said_with_its_line(item, condition, line, reason):
    """File, line and a reason that tells what to mend."""
    found = problem(RULE.format(item=item, condition=condition))
    assert reason in found.reason
    assert (found.place.file, found.place.line) == ("rule.yml", line)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x [1]\nb: *x\n", "aliases are refused"),
        ("a: " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("a: [" + "1," * 60_000 + "1]", "more than 50000 values"),
        ("a: " + "x" * 2_000_000, "larger than"),
        ("a: 1\na: 2\n", "a second time"),
        ("a: !!python/name:os.system x\n", "is refused"),
        ("a: [1\n", "no YAML"),
        ("a: {" * 5000, "nested deeper"),
        ("? [a]\n: 1\n", "a key must be text"),
        ("- a\n", "must be a mapping"),
    ],
)
def test_hostile_yaml_is_refused(text, reason):
    """Bombs, deep nesting, giant lists and code are refused with a place."""
    assert reason in problem(text).reason


def test_one_of_thousands_of_searches_is_bounded():
    """Thousands of searches load, thousands of times thousands are refused with their line, both soon."""
    searches = "".join(f"  s{number}: {{a: x{number}}}\n" for number in range(5_000))
    text = f"title: T\nname: rule\nlogsource: {{product: p}}\ndetection:\n{searches}  condition: "

    def load():
        assert len(parse_rules(text + "1 of s*").rules) == 1
        found = problem(text + " or ".join(["all of s*"] * 400))
        assert "searches repeated" in found.reason
        assert found.place.line == 5_005

    assert cpu_seconds(load, 20) < 20


def test_a_rule_with_many_values_is_matched_in_bounded_time():
    """Ten thousand literals of one field, and a text that nearly has them all."""
    values = ", ".join(f"'{number:05}{'a' * (number % 50)}'" for number in range(10_000))
    ruleset = parse_rules(RULE.format(item=f"a|contains: [{values}]", condition="selection"))
    text = "".join(f"{number:05}"[::-1] for number in range(20_000))
    detectors = [Detector(ruleset, lambda _: Criticality.LOW)]

    def match():
        assert detectors.pop().match([Event(3002, {"a": text}, {}, "")])
        detectors.append(Detector(ruleset, lambda _: Criticality.LOW))

    assert cpu_seconds(match, 10) < 10


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("tiers: {high: {gte: 3}}", "to a correlation"),
        ("levels: {extreme: high}", "is not known here"),
        ("levels: {high: awful}", "must be one of"),
        ("owners: me", "is not known here"),
        ("tests: [{name: x, alerts: 1}]", "needs records"),
    ],
)
def test_our_own_key_is_validated(key, reason):
    """A slip in the extension key stops the rule, with the line of the slip."""
    found = problem(RULE.format(item="a: x", condition="selection") + f"watchbill:\n  {key}\n")
    assert reason in found.reason
    assert found.place.line == 10


def test_a_correlation_of_a_rule_that_is_not_there_does_not_run():
    """And what is built on it does not run either; both are told."""
    part = "title: T\nname: {0}\ncorrelation: {{type: temporal, rules: [{1}], timespan: 5m}}\n"
    problems = parse_rules("---\n".join((part.format("one", "absent"), part.format("two", "one")))).problems
    assert len(problems) == 2


def test_placeholders_are_filled_in_when_values_are_known(tmp_path):
    """``expand`` becomes any of the values that the organisation gives."""
    path = tmp_path / "rule.yml"
    path.write_text(RULE.format(item="user.name|expand: '%admins%'", condition="selection"))
    detector = Detector(load_rules([path], {"admins": ["ann", "bob*"]}), lambda _: Criticality.LOW)
    events = [Event(3002, {"user.name": name}, {}, "") for name in ("ann", "Bobby", "eve")]
    assert [match.at for match in detector.match(events)] == [0, 1]


@pytest.mark.parametrize(
    ("item", "value", "held"),
    [
        ("a|base64offset|contains: foobar", "xZm9vYmFy", True),
        ("a|wide|base64offset|contains: ping", "cABpAG4AZw", True),
        ("a|utf16|base64: ab", "//5hAGIA", True),
        ("a|cidr: 2001:db8::/32", "2001:db8::7", True),
        ("a|cidr: 192.0.2.0/24", "::ffff:192.0.2.9", True),
        ("time|hour|gte: 20", "2026-03-04T21:00:00Z", True),
        ("time|hour: 3", 1772593200000, True),
        ("a.b.c: x", "unused", False),
    ],
)
def test_modifiers_that_the_oracle_does_not_know(item, value, held):
    """Encodings, networks and parts of times."""
    ruleset = parse_rules(RULE.format(item=item, condition="selection"))
    field = item.partition("|")[0].partition(":")[0]
    event = Event(3002, {field.replace(".b", "-b"): value}, {}, "")
    assert bool(Detector(ruleset, lambda _: Criticality.LOW).match([event])) == held


def test_dotted_fields_reach_into_lists_of_objects():
    """OCSF's ``resources.name`` is the name of any of the resources."""
    ruleset = parse_rules(RULE.format(item="resources.name: two", condition="selection"))
    event = Event(3002, {"resources": [{"name": "one"}, {"name": "two"}]}, {}, "")
    assert Detector(ruleset, lambda _: Criticality.LOW).match([event])


def test_a_log_source_is_matched_by_what_the_rule_names():
    """``category: webserver`` is for every web server, ``service: nginx`` for one."""
    text = "title: {0}\nname: {0}\nlogsource: {{{1}}}\ndetection: {{s: {{a: x}}, condition: s}}\n"
    ruleset = parse_rules(
        "---\n".join((text.format("all", "category: webserver"), text.format("one", "service: nginx")))
    )
    events = [
        Event(4002, {}, {"a": "x"}, "", logsource=LogSource("", name, "webserver")) for name in ("nginx", "apache")
    ]
    found = Detector(ruleset, lambda _: Criticality.LOW).match(events)
    assert [(match.rule, match.at) for match in found] == [("all", 0), ("one", 0), ("all", 1)]
