"""Random rules on random events: the engine must agree with a matcher that is too simple to be wrong."""

import base64
import fnmatch
import ipaddress
import json
import re
from datetime import UTC, datetime

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
        flags |= re.MULTILINE if "m" in modifiers else 0
        # RE2's $ is the very end of the text (or of a line with m), Python's also is before a last line break.
        return re.search(wanted if "m" in modifiers else wanted.replace("$", r"\Z"), given_text, flags) is not None
    if {"minute", "hour", "day", "month", "year"} & set(modifiers):
        part, *compared = [one for one in modifiers if one not in {"neq", "all"}]
        try:
            moment = datetime.fromtimestamp(float(given_text), UTC)
        except ValueError:
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", given_text):
                return False
            moment = datetime.fromisoformat(given_text)
        number = getattr(moment, part)
        return {"": number == wanted, "lt": number < wanted, "gte": number >= wanted}["".join(compared)]
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
        held = {"lt": number < wanted, "lte": number <= wanted, "gt": number > wanted, "gte": number >= wanted}
        return held[modifiers[0]]
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
    for wide, encoding in WIDE.items():
        if wide in modifiers:
            data = (b"\xff\xfe" if wide == "utf16" else b"") + wanted.encode(encoding)
            forms = [base64.b64encode(data).decode()] if "base64" in modifiers else [data.decode()]
    if "base64" in modifiers and not WIDE.keys() & set(modifiers):
        forms = [base64.b64encode(wanted.encode()).decode()]
    if "base64offset" in modifiers:
        return any(encoded_somewhere(wanted, one, cased) for one in tails(given_text))
    left = given_text if cased else given_text.lower()
    return any(re.fullmatch(pattern(form if cased else form.lower(), place), left, re.DOTALL) for form in forms)


WIDE = {"wide": "utf-16le", "utf16le": "utf-16le", "utf16be": "utf-16be", "utf16": "utf-16le"}


def tails(given_text):
    return [given_text[at:] for at in range(len(given_text) + 1)]


def encoded_somewhere(wanted, tail, cased):
    """Whether a text begins with what base64 always writes for these bytes, at one of the three places within it."""
    found = False
    for shift in range(3):
        sure = None
        for before, after in (("\x00", "\x00"), ("\xff", "\xff"), ("U", "\xaa")):
            data = before.encode("latin-1") * shift + wanted.encode() + after.encode("latin-1") * 3
            written = base64.b64encode(data).decode()
            sure = (
                written if sure is None else "".join(a if a == b else "*" for a, b in zip(sure, written, strict=True))
            )
        core = max(sure.replace("**", "*").split("*"), key=len)
        found = found or (tail.startswith(core) if cased else tail.lower().startswith(core.lower()))
    return found


def item_holds(key, wanted, fields, message):
    name, *modifiers = key.split("|")
    wanted = wanted if isinstance(wanted, list) else [wanted]
    if not name:
        found = [re.search(pattern(text(one).lower()), message.lower(), re.DOTALL) is not None for one in wanted]
        return all(found)
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
        return all(item_holds(key, wanted, fields, message) for key, wanted in search.items())
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

    condition = re.sub(r"(1|any|all) of ([\w*]+)", quantified, detection["condition"])
    return eval(condition, {}, held)  # noqa: S307 - made by this test


FIELDS = ["A", "B", "c.d"]
words = st.text(alphabet="abAB1-/ .*?\\İßKſsS\n\x1e", max_size=5)
plain_words = st.text(alphabet="abAB1-/ .", min_size=1, max_size=4)
numbers = st.integers(-2, 12) | st.sampled_from([1.0, 2.5, 4625])
scalars = (
    words
    | numbers
    | st.booleans()
    | st.sampled_from(["192.0.2.7", "2001:db8::1", "true", "1", "YWI=", "2026-03-10T01:10:00Z", "YQBiAA==", "//5hAA=="])
)
values = scalars | st.none() | st.lists(scalars | st.none(), max_size=3)
events = st.tuples(st.dictionaries(st.sampled_from(FIELDS), values), words)


def listed(strategy):
    return strategy | st.lists(strategy, min_size=1, max_size=3)


def items(modifiers, wanted):
    return st.tuples(st.sampled_from(FIELDS), st.sampled_from(modifiers), listed(wanted)).map(
        lambda made: (made[0] + made[1], made[2])
    )


any_item = st.one_of(
    items(
        [
            "",
            "|contains",
            "|startswith",
            "|endswith",
            "|cased",
            "|contains|all",
            "|contains|cased",
            "|neq",
            "|startswith|cased",
            "|endswith|cased",
            "|cased|contains|all",
            "|contains|neq",
        ],
        scalars,
    ),
    items([""], st.none()),
    items(["|contains|windash", "|windash"], st.sampled_from([" -a", "/b", "a -b"])),
    items(["|base64", "|base64|contains"], plain_words),
    items(["|wide|base64", "|utf16be|base64|contains", "|utf16|base64", "|utf16le|base64"], plain_words),
    items(["|base64offset|contains"], st.text(alphabet="abcxyz", min_size=3, max_size=6)),
    items(
        ["|re", "|re|i", "|re|s", "|re|m", "|re|i|m|s"],
        st.sampled_from(
            ["a+b", "^A", "[ab]{2}", "b.a", "1|2", "a$", "(a|b)1", "[Ss]+x", "s{2}", "a b|b-a", "^$", "b*"]
        ),
    ),
    items(["|hour", "|minute|gte", "|day|lt", "|month", "|year|gte"], st.sampled_from([1, 3, 10, 2026])),
    st.tuples(st.just("|all"), st.lists(words.filter(bool), min_size=2, max_size=3)),
    items(["|cidr"], st.sampled_from(["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"])),
    items(["|lt", "|lte", "|gt", "|gte"], numbers),
    items(
        [
            "|fieldref",
            "|fieldref|contains",
            "|fieldref|endswith",
            "|fieldref|startswith",
            "|fieldref|cased",
            "|fieldref|neq",
        ],
        st.sampled_from(FIELDS),
    ),
    st.tuples(st.sampled_from(["A|exists", "B|exists"]), st.booleans()),
)
maps = st.lists(any_item, min_size=1, max_size=3).map(dict)
searches = maps | st.lists(maps | words.filter(bool) | numbers, min_size=1, max_size=3)
conditions = st.recursive(
    st.sampled_from(["s1", "s2", "t1", "1 of s*", "any of t*", "all of s*", "1 of them", "all of them"]),
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


@settings(max_examples=100, deadline=None)
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
