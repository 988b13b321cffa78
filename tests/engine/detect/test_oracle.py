"""Random rules on random events: the engine must agree with a matcher that is too simple to be wrong."""

import base64
import fnmatch
import ipaddress
import json
import re

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from watchbill.core.values import Criticality
from watchbill.engine.detect import Detector, parse_rules
from watchbill.sdk import Event, LogSource

WINDOWS = LogSource("windows", "", "process_creation")


def text(value):
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def pattern(value, place=""):
    """Spell a Sigma string as a Python regular expression, one character after the other."""
    made, at = "", 0
    while at < len(value):
        char, following = value[at], value[at + 1 : at + 2]
        at += 1
        if char == "\\" and following and following in "*?\\":
            made += re.escape(following)
            at += 1
        else:
            made += {"*": ".*", "?": "."}.get(char) or re.escape(char)
    before = ".*" if place in {"contains", "endswith"} else ""
    after = ".*" if place in {"contains", "startswith"} else ""
    return before + made + after


def value_holds(modifiers, wanted, fields, name, given_text):
    cased = "cased" in modifiers
    place = next((one for one in modifiers if one in {"contains", "startswith", "endswith"}), "")
    if "re" in modifiers:
        flags = re.ASCII | (re.IGNORECASE if "i" in modifiers else 0) | (re.DOTALL if "s" in modifiers else 0)
        return re.search(wanted, given_text, flags) is not None
    if "cidr" in modifiers:
        try:
            return ipaddress.ip_address(given_text) in ipaddress.ip_network(wanted)
        except ValueError:
            return False
    if {"lt", "lte", "gt", "gte"} & set(modifiers):
        try:
            number = float(given_text)
        except ValueError:
            return False
        return {"lt": number < wanted, "lte": number <= wanted, "gt": number > wanted, "gte": number >= wanted}[
            modifiers[0]
        ]
    if "fieldref" in modifiers:
        other = fields.get(wanted)
        if other is None:
            return False
        left, right = (given_text, text(other)) if cased else (given_text.lower(), text(other).lower())
        return {
            "": left == right,
            "contains": right in left,
            "startswith": left.startswith(right),
            "endswith": left.endswith(right),
        }[place]
    wanted = text(wanted)
    forms = [wanted]
    if "windash" in modifiers:
        forms = [re.sub(r"\B[-/]\b", dash, wanted) for dash in "-/–—―"]
    if "base64" in modifiers:
        forms = [base64.b64encode(wanted.encode()).decode()]
    left = given_text if cased else given_text.lower()
    return any(re.fullmatch(pattern(form if cased else form.lower(), place), left, re.DOTALL) for form in forms)


def item_holds(key, wanted, fields):
    name, *modifiers = key.split("|")
    wanted = wanted if isinstance(wanted, list) else [wanted]
    there, value = name in fields, fields.get(name)

    def one(want):
        if "exists" in modifiers:
            return there == want
        if want is None:
            return value is None
        items = [item for item in value if item is not None] if isinstance(value, list) else [value]
        return value is not None and any(value_holds(modifiers, want, fields, name, text(item)) for item in items)

    held = all(map(one, wanted)) if "all" in modifiers else any(map(one, wanted))
    return held != ("neq" in modifiers)


def search_holds(search, fields, message):
    if isinstance(search, dict):
        return all(item_holds(key, wanted, fields) for key, wanted in search.items())
    return any(
        search_holds(part, fields, message)
        if isinstance(part, dict)
        else re.search(pattern(text(part).lower()), message.lower(), re.DOTALL) is not None
        for part in search
    )


def oracle(detection, fields, message):
    """The condition is handed to Python itself, which knows and, or, not and parentheses."""
    held = {name: search_holds(part, fields, message) for name, part in detection.items() if name != "condition"}

    def quantified(found):
        chosen = [held[name] for name in held if fnmatch.fnmatchcase(name, found[2].replace("them", "*"))]
        return str(all(chosen) if found[1] == "all" else any(chosen))

    condition = re.sub(r"(1|all) of ([\w*]+)", quantified, detection["condition"])
    return eval(condition, {}, held)  # noqa: S307 - made by this test


FIELDS = ["A", "B", "c.d"]
words = st.text(alphabet="abAB1-/ .*?\\İßK\n", max_size=5)
plain_words = st.text(alphabet="abAB1-/ .", min_size=1, max_size=4)
numbers = st.integers(-2, 12) | st.sampled_from([1.0, 2.5, 4625])
scalars = words | numbers | st.booleans() | st.sampled_from(["192.0.2.7", "2001:db8::1", "true", "1", "YWI="])
values = scalars | st.none() | st.lists(scalars | st.none(), max_size=3)
events = st.tuples(st.dictionaries(st.sampled_from(FIELDS), values), words)


def listed(strategy):
    return strategy | st.lists(strategy, min_size=1, max_size=3)


def items(modifiers, wanted):
    return st.tuples(st.sampled_from(FIELDS), st.sampled_from(modifiers), listed(wanted)).map(
        lambda made: (made[0] + made[1], made[2])
    )


any_item = st.one_of(
    items(["", "|contains", "|startswith", "|endswith", "|cased", "|contains|all", "|contains|cased", "|neq"], scalars),
    items([""], st.none()),
    items(["|contains|windash", "|windash"], st.sampled_from([" -a", "/b", "a -b"])),
    items(["|base64", "|base64|contains"], plain_words),
    items(["|re", "|re|i", "|re|s"], st.sampled_from(["a+b", "^A", "[ab]{2}", "b.a", "1|2", "a$"])),
    items(["|cidr"], st.sampled_from(["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"])),
    items(["|lt", "|lte", "|gt", "|gte"], numbers),
    items(["|fieldref", "|fieldref|contains", "|fieldref|endswith", "|fieldref|cased"], st.sampled_from(FIELDS)),
    st.tuples(st.sampled_from(["A|exists", "B|exists"]), st.booleans()),
)
maps = st.lists(any_item, min_size=1, max_size=3).map(dict)
searches = maps | st.lists(maps | words.filter(bool) | numbers, min_size=1, max_size=3)
conditions = st.recursive(
    st.sampled_from(["s1", "s2", "t1", "1 of s*", "all of s*", "1 of them", "all of them"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or", "and not", "or not"]), inner).map(" ".join),
        inner.map("not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=6,
)
detections = st.fixed_dictionaries({"s1": searches, "s2": searches, "t1": searches, "condition": conditions})


def written(detection, title="r"):
    return yaml.safe_dump(
        {"title": title, "name": title, "logsource": {"product": "windows"}, "detection": detection},
        allow_unicode=True,
    )


def fieldref_of_lists(detection, fields):
    """Comparing a list with another field has no meaning in Sigma."""
    return "fieldref" in json.dumps(detection) and any(isinstance(value, list) for value in fields.values())


@settings(max_examples=150, deadline=None)
@given(st.lists(detections, min_size=1, max_size=4), st.lists(events, min_size=1, max_size=6))
@example([{"s1": {"A": 1}, "s2": {"A": True}, "t1": {"A": "1"}, "condition": "1 of s* and not t1"}],
         [({"A": True}, ""), ({"A": 1}, ""), ({"A": 1.0}, ""), ({"A": "1"}, "")])  # fmt: skip
@example([{"s1": {"A|exists": True}, "s2": {"A": None}, "t1": {"A": ""}, "condition": "s1 and not s2 and not t1"}],
         [({"A": []}, ""), ({"A": None}, ""), ({"A": ""}, ""), ({}, "")])  # fmt: skip
def test_the_engine_agrees_with_the_naive_matcher(rules, happened):
    """Event by event and rule by rule, whatever the values."""
    happened = [pair for pair in happened if not any(fieldref_of_lists(rule, pair[0]) for rule in rules)]
    ruleset = parse_rules("---\n".join(written(rule, f"r{place}") for place, rule in enumerate(rules)))
    assert not ruleset.problems
    batch = [Event(0, {}, fields, message, logsource=WINDOWS) for fields, message in happened]
    found = set(Detector(ruleset, lambda _: Criticality.LOW).match(batch))
    expected = {
        (f"r{place}", at)
        for place, rule in enumerate(rules)
        for at, (fields, message) in enumerate(happened)
        if oracle(rule, fields, message)
    }
    assert found == expected
