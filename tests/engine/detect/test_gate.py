"""The gate lets through whatever a rule may match, however JSON spells it."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from watchbill.engine.detect import plan
from watchbill.engine.detect.gate import Gate
from watchbill.engine.detect.index import key_of
from watchbill.engine.detect.predicates import Atom, Predicate, holds

ODD = 'aknu/\\"{}[],: éeé\u212a\u0130\u017f\nt1.-^'
texts = st.text(alphabet=ODD + ODD.upper(), max_size=8)
WORDS = ["true", "null", "1e5", "whoami", "C:\\new\\temp\\", 'say "hi"', "a:b,c", "\\\\srv\\x", "^^", "~1"]
scalars = texts | st.sampled_from([*WORDS, True, None, 10**20, 1e16, -0.5])
values = scalars | st.lists(scalars | st.dictionaries(texts, scalars, max_size=2), max_size=2)


@st.composite
def asked_of(draw, value):
    """A predicate on text that very likely holds for a value."""
    keys = key_of(value)
    text = draw(st.sampled_from(keys)) if isinstance(keys, tuple) and keys else keys if isinstance(keys, str) else ""
    start = draw(st.integers(0, len(text)))
    part = text[start : draw(st.integers(start, len(text)))]
    kind = draw(st.sampled_from(["contains", "startswith", "endswith", "equals", "glob", "regex"]))
    low = {"contains": part, "startswith": text[: len(part)], "endswith": text[start:], "equals": text}.get(kind, part)
    if kind == "glob":
        return Predicate("glob", ("", low.lower().replace("?", ""), ""))
    if kind == "regex":
        return Predicate("regex", f"(?i){re.escape(low)}")
    cased = draw(st.booleans())
    return Predicate(kind, low if cased else low.lower(), cased)


@st.composite
def cases(draw):
    value = draw(values)
    return value, draw(st.lists(asked_of(value), min_size=1, max_size=4))


def spellings(value):
    """The record as different programs write it."""
    record = {"a": value}
    yield json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass")
    plain = json.dumps(record, indent=1)
    yield plain.encode()
    yield plain.replace("/", "\\/").encode()
    yield _some_letters_escaped(plain).encode()


def _some_letters_escaped(text):
    """As ``\\u006b``, outside escapes."""
    return re.sub(r"\\.|[kKn^]", lambda found: found[0] if found[0][0] == "\\" else f"\\u{ord(found[0]):04X}", text)


@pytest.fixture
def greedy(monkeypatch):
    """Every rule that has any literal is told by it, however often that is met."""
    monkeypatch.setattr(plan, "_MOST", 1e9)
    monkeypatch.setattr(plan, "_CHOSEN_AT", ((7, 0.0), (9, 0.0)))


@pytest.mark.usefixtures("engine")
def test_what_may_match_passes(greedy):
    told = 0

    @settings(max_examples=400, deadline=None)
    @given(cases())
    @example(([{"x": "a\nb"}], [Predicate("contains", "a\\n")]))
    @example(([{"x": "\\srv"}], [Predicate("contains", "\\\\srv")]))
    @example((True, [Predicate("startswith", "tru"), Predicate("equals", "true")]))
    @example(("\u212aeyword", [Predicate("contains", "key")]))
    def passes(case):
        nonlocal told
        value, predicates = case
        gate = Gate([Atom("native", "a", predicate) for predicate in predicates], lambda _: True)
        keys = key_of(value)
        matched = {
            at
            for at, predicate in enumerate(predicates)
            if any(map(holds(predicate), keys if isinstance(keys, tuple) else [keys] if isinstance(keys, str) else []))
        }
        for _ in range(3):  # chosen by the first that are seen, and then anew
            raws = list(spellings(value))
            gate.learn(raws)
            found = gate.candidates(raws)
            for at, raw in enumerate(raws):
                assert matched <= {*found.get(at, ()), *gate.open}, raw
            told += len(matched.difference(gate.open))

    passes()
    assert told > 400


def test_what_has_no_literal_of_a_rule_is_not_let_through(greedy):
    """Else it were no gate; numbers and what has no plain spelling tell nothing."""
    asked = [Predicate("endswith", "\\cmd.exe"), Predicate("contains", "1234"), Predicate("regex", "(?i)who(ami|is)")]
    gate = Gate([Atom("native", "a", predicate) for predicate in asked], lambda _: True)
    raws = [json.dumps({"a": text}).encode() for text in ("C:\\cmd.exe", "C:\\cmd.exe /c whoami", "nobody", "WHOIS x")]
    gate.learn(raws)
    assert gate.open == (1,)
    assert gate.candidates(raws) == {0: (0,), 1: (2,), 3: (2,)}
