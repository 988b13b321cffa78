"""Raw JSON records are judged exactly as the events that a parser makes of them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.content.windows.shapes import FORMS
from watchbill.engine.detect import jsonmatch, plan, program
from watchbill.engine.detect.jsonmatch import JsonMatcher
from watchbill.engine.detect.match import Matcher
from watchbill.engine.detect.rules import load_rules, parse_rules
from watchbill.sdk import Event, LogSource
from watchbill.sdk.shapes import Derived, Kind, Shape

RULE = "title: {0}\nname: {0}\nlogsource: {{product: {1}}}\ndetection: {{s: {2}, t: {3}, condition: {4}}}\n"
SEARCHES = (
    "{a: x}", "{a: null}", "{a|exists: true}", "{a.b: x}", "{a.b.c: [x, 1]}", "{b: 1}", "{b|contains: '1'}", "{made: xx}",
    "{made|exists: false}", "{a|fieldref: b}", "{a|startswith: 'kéy/'}", "{c|endswith: '/word'}", "{b|contains: '\\nk{'}",
    "{a|cased: ['x', 'KeyWord']}", "{b: 'tru'}", "{c|contains: ['ull', 'rue']}", "{a|re: 'k.*wo+rd'}", "{c|contains: '\\\\x'}", "[x]", "[keyword, 'k y']", "{c|re: '^x'}", "{kind: one}", "{a|gt: 0}",
)  # fmt: skip


def kind_of(header):
    if header[0] not in ("one", "two") or isinstance(header[1], bool):
        return None
    derived = {"made": Derived(("d", "deep.a"), lambda d, a: f"{d}{a}" if isinstance(d, str) else None)}
    return Kind(LogSource("p"), {"kind": header[0], "number": header[1]}, derived)


def message(record):
    return "\n".join(f"{name}: {value}" for name, value in record.items())


SHAPES = {
    "itself": Shape(("k", "n"), kind_of, message=message),
    "nested": Shape(("k", "n"), kind_of, roots=("deep", "more.*"), text="#text", message=message),
    "raw": Shape(("k", "n.m"), kind_of, roots=("deep",)),
}
scalars = st.sampled_from(
    [
        "x",
        "X",
        "xx",
        "",
        "keyword",
        "\u212aeyword",
        'a "keyword" \\u',
        1,
        1.0,
        True,
        None,
        10**30,
        -0.5,
        "kéy/word",
        "\nk{",
        "\\nk{",
        "\\\\x",
        "\\x",
        "true",
        "KeyWord",
        "\u017f",
        "a\\/word",
    ]
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc") | st.just("#text"), inner, max_size=3)
    ),
    max_leaves=5,
)
members = st.dictionaries(st.sampled_from(["a", "b", "c", "d", "a.b", "b.c", "made"]), values, max_size=4)
records = st.builds(
    lambda top, k, n, more: {**top, "k": k, "n": n, **more},
    members,
    st.sampled_from(["one", "two", "one", "other", 1]),
    st.sampled_from([1, True, 1.0, "1", {"m": 1}, {"#text": 1}]),
    st.fixed_dictionaries(
        {}, optional={"deep": members | scalars, "more": st.dictionaries(st.just("z"), members) | scalars}
    ),
)


def plainly(rules, shape, raws):
    """Read whole records with ``Shape.read`` and judge them as events."""
    events, others = {}, []
    for at, raw in enumerate(raws):
        try:
            record = json.loads(raw)
        except ValueError:
            record = None
        read = shape.read(record) if isinstance(record, dict) else None
        if read is None:
            others.append(at)
            continue
        text = shape.message(record) if shape.message else raw.decode()
        events[at] = Event(0, {}, read[1], text, logsource=read[0].logsource)
    places = list(events)
    return {(match.rule, places[match.at]) for match in Matcher(rules).match(list(events.values()))}, others


@pytest.fixture(scope="module")
def rules():
    conditions = ("s", "s and not t", "s or t", "not s")
    texts = [
        RULE.format(f"r{one}x{two}x{place}", "p", SEARCHES[one], SEARCHES[two], condition)
        for one in range(len(SEARCHES))
        for two in range(len(SEARCHES))
        for place, condition in enumerate(conditions)
        if (one * 3 + two) % 17 == place
    ]
    ruleset = parse_rules("---\n".join(texts))
    assert not ruleset.problems
    return ruleset.rules


def spelled(record, way):
    """The record as different programs write it: escapes for what is not ASCII, for slashes, for letters."""
    text = json.dumps(record, ensure_ascii=way % 2 == 0, indent=1 if way == 2 else None)
    if way == 3:
        text = text.replace("/", "\\/").replace("k", "\\u006b").replace("w", "\\u0077")
    return text.encode()


@pytest.mark.parametrize("learns", [((2, 0.0), (5, 0.0)), plan._CHOSEN_AT], ids=["learns often", "learns once"])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.usefixtures("engine")
def test_random_records_are_judged_as_by_the_plain_reading(rules, name, learns, monkeypatch):
    """Whatever nesting, repetition and type of value; what is of another shape is handed back."""
    monkeypatch.setattr(plan, "_CHOSEN_AT", learns)
    shape = SHAPES[name]
    matcher = JsonMatcher(rules, shape)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(records, min_size=1, max_size=12))
    def agree(batch):
        raws = [spelled(record, at % 4) for at, record in enumerate(batch)]
        judged = matcher.match([*raws, b'{"k": "one", "a": "x"', b"[1]"])
        expected, others = plainly(rules, shape, [*raws, b"{", b"[1]"])
        assert set(judged.matches) == expected
        assert judged.others == others
        assert [match.at for match in judged.matches] == sorted(match.at for match in judged.matches)

    agree()


def test_kinds_share_the_program_for_a_crowd_of_rules(rules, monkeypatch):
    """What is folded of some rules by the kind differs; the others are asked by one program, of either kind."""
    monkeypatch.setattr(program, "CROWD", 20)
    monkeypatch.setattr(jsonmatch, "CROWD", 20)
    monkeypatch.setattr(jsonmatch, "_TRIED_AT", 40)
    monkeypatch.setattr(program, "_APART", 0.5)
    monkeypatch.setattr(plan, "_CHOSEN_AT", ((2, 0.0), (5, 0.0)))
    shape = SHAPES["itself"]
    matcher = JsonMatcher(rules, shape)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(records, min_size=1, max_size=6))
    def agree(batch):
        raws = [spelled(record, at % 4) for at, record in enumerate(batch)]
        assert set(matcher.match(raws).matches) == plainly(rules, shape, raws)[0]

    shared = []
    chosen = program.Programs.of

    def of(self, wanted):
        shared.append(chosen(self, wanted))
        return shared[-1]

    monkeypatch.setattr(program.Programs, "of", of)
    agree()
    crowds = [one for programs in shared for one in programs if len(one.program.rules) >= 20]
    assert any(one.foreign for one in crowds)
    assert len({id(one.program) for one in crowds}) < len(crowds)


def test_fields_of_many_parts_are_found_wherever_they_stand():
    """Below objects, below lists of objects, and under keys that have dots themselves."""
    search = "{a.b.items.c.items.d|endswith: /0, a.d: null}"
    rules = parse_rules(RULE.format("deep", "p", search, "{z: 1}", "s")).rules
    records = [
        {"a": {"b": {"items": [{"c": {"items": [{"d": "0.0.0.0/0"}]}}]}}},
        {"a": {"b": {"items": {"c": {"items": {"d": "0.0.0.0/0"}}}}}},
        {"a": {"b": [{"items": {"c": {"items": {"d": "192.0.2.0/24"}}}}]}},
        {"a.b": {"items.c": {"items": {"d": "0.0.0.0/0"}}}},
        {"a.b.items.c.items.d": "0.0.0.0/0"},
        {"a": {"d": 1}},
    ]
    raws = [json.dumps({"k": "one", "n": 1, **record}).encode() for record in records]
    for name in ("itself", "raw"):
        judged = JsonMatcher(rules, SHAPES[name]).match(raws)
        expected, others = plainly(rules, SHAPES[name], raws)
        assert (set(judged.matches), judged.others) == (expected, others)
    assert {at for _, at in plainly(rules, SHAPES["itself"], raws)[0]} == {0, 1, 3, 4}


def test_hostile_records_cost_nothing_and_are_handed_back_or_judged(rules):
    """Nested 100,000 deep, a million keys, repeated keys, huge numbers."""
    shape = SHAPES["itself"]
    deep = b'{"k":"one","n":1,"a":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
    deeper = b'{"k":"one","n":1,"z":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    many = json.dumps({"k": "one", "n": 1, "b": 1, **{f"f{n}": n for n in range(200_000)}}).encode()
    twice = b'{"k":"two","n":1,"k":"one","a":{"b":"y"},"a":{"b":"x"}}'
    huge = b'{"k":"one","n":' + b"9" * 4_000 + b',"b":' + b"1" * 4_000 + b"}"
    raws = [deep, deeper, many, twice, huge]
    judged = JsonMatcher(rules, shape).match(raws)
    names = {at: {match.rule for match in judged.matches if match.at == at} for at in range(len(raws))}
    assert judged.others == [0, 1]
    assert names[3]
    assert names[2]
    assert names[4]


def test_windows_records_are_judged_as_their_parser_makes_them(shared_data):
    """SigmaHQ on its own regression recordings, in the form that they come in and flattened."""
    ruleset = load_rules((shared_data / "sigma" / "rules_tree" / "rules" / "windows").rglob("*.yml"))
    found = set()
    for form in FORMS[:1]:
        raws = []
        for path in sorted((shared_data / "sigma" / "regression").rglob("*.json")):
            text = path.read_text("utf-8-sig")
            decoder, at = json.JSONDecoder(), 0
            while at < len(text):
                record, at = decoder.raw_decode(text, at)
                raws += [json.dumps(one).encode() for one in (record if isinstance(record, list) else [record])]
                while at < len(text) and text[at] in " \r\n\t,":
                    at += 1
        matcher = JsonMatcher(ruleset.rules, form.shape)
        judged = matcher.match(raws)
        expected, others = plainly(ruleset.rules, form.shape, raws)
        assert set(judged.matches) == expected
        assert judged.others == others
        found |= {match.rule for match in judged.matches}
    assert len(found) > 60
