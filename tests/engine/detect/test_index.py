"""What looks for literals says whom to ask: everybody of whom the literal is there. Memos stay small."""

import platform
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.engine.detect import index
from watchbill.engine.detect import literals as engines
from watchbill.engine.detect.index import Literals, Lookup, key_of
from watchbill.engine.detect.literals import HAS_HYPERSCAN, Automaton, Scanner
from watchbill.engine.detect.predicates import MISSING, Predicate, holds

ALPHABET = "abcAK\u212a\u0130-\x1e"
literals = st.text(alphabet="abck-", min_size=1, max_size=6)
predicates = st.builds(
    Predicate, st.sampled_from(["contains", "equals", "startswith", "endswith"]), literals, st.booleans()
)


FOR_EACH_ENGINE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FOR_EACH_ENGINE
@given(
    st.lists(predicates, min_size=1, max_size=30, unique=True),
    st.lists(st.text(alphabet=ALPHABET, max_size=20), min_size=1, max_size=5),
)
@pytest.mark.usefixtures("engine")
def test_many_literals_are_found_as_one_by_one(asked, texts):
    """Of starts, ends, wholes and parts, cased or not; of texts with a separator or odd letters all may hold."""
    found = Literals(asked).find(texts)
    for at, text in enumerate(texts):
        holding = {number for number, predicate in enumerate(asked) if holds(predicate)(text)}
        assert holding == set(found.get(at, ())) or ("\x1e" in text and holding <= set(found[at]))


def places(lookup, keys):
    asked = defaultdict(list)
    lookup.add_to(asked, keys)
    return {rule: sorted(set(found)) for rule, found in asked.items()}


def test_missing_null_lists_and_surrogates():
    """What is not there has no literal, a list those of its items, and what cannot be searched is asked in any case."""
    lookup = Lookup({Predicate("equals", "1"): [7], Predicate("contains", "x"): [8, 9]})
    keys = list(map(key_of, (MISSING, None, 1, 1.0, True, "1", ["x", 1], [], "\ud800", "")))
    assert places(lookup, keys) == {7: [2, 3, 5, 6, 8], 8: [6, 8], 9: [6, 8]}


@pytest.mark.parametrize("different", [5, 100_000])
def test_a_memo_is_bounded_and_right(different, monkeypatch):
    """Few values, which are remembered, and ever new ones, which are not."""
    monkeypatch.setattr(index, "MEMO_VALUES", 100)
    lookup = Lookup({Predicate("endswith", "3"): [0], Predicate("startswith", "12"): [1]})
    for start in range(0, 20_000, 50):
        keys = [str(number % different) for number in range(start, start + 50)]
        expected = {rule: [at for at, key in enumerate(keys) if test(key)] for rule, test in enumerate(_TESTS)}
        assert places(lookup, keys) == {rule: found for rule, found in expected.items() if found}
        assert len(lookup._known) <= 200


_TESTS = (lambda text: text.endswith("3"), lambda text: text.startswith("12"))


@FOR_EACH_ENGINE
@given(
    st.lists(
        st.binary(min_size=1, max_size=4).map(bytes.lower),
        min_size=1,
        max_size=20,
        unique=True,
    ),
    st.lists(st.lists(st.sampled_from([b"a", b"A", b"ab", b"\xe2\x84", b"\\", b"B", b"\0"])).map(b"".join), max_size=6),
)
@pytest.mark.usefixtures("engine")
def test_a_scanner_finds_what_is_there(literals, texts):
    """By Hyperscan as by Aho-Corasick, each as often as it is there, overlapping ones too."""
    literals = [*literals, b"ab", b"a"] if {b"ab", b"a"}.isdisjoint(literals) else literals
    literals = [one for one in literals if b"\n" not in one]
    if not literals:
        return
    found = Scanner(literals).find(texts)
    for at, text in enumerate(texts):
        low = text.lower()
        expected = [
            number for number, one in enumerate(literals) for start in range(len(low)) if low.startswith(one, start)
        ]
        assert sorted(found.get(at, [])) == expected


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("literal", [b"a" * 16_001, b"a\0" * 8, b""], ids=["too long for one", "with NUL", "none"])
def test_what_one_engine_does_not_take_another_does(literal):
    """No rule from outside stops the search, however odd its texts."""
    automaton = Automaton([literal, b"xy"] if literal else [])
    assert automaton.find(b"b" + literal + b"xy") == ([(0, len(literal) + 1), (1, len(literal) + 3)] if literal else [])


def test_what_searches_fast_takes_over_once_it_has_paid(monkeypatch):
    """Not before, and it finds the same."""
    built = []
    fast = engines._fast
    monkeypatch.setattr(engines, "_fast", lambda *asked, **how: built.append(asked) or fast(*asked, **how))
    monkeypatch.setattr(engines, "_PAYS", 2_000)
    automaton = Automaton([b"ab", b"b"])
    told = [(automaton.find(b"xab" * 500), len(built)) for _ in range(5)]
    assert [count for _, count in told] == [0, 0, 1, 1, 1]  # two literals, 1,500 bytes each time
    assert all(hits == told[0][0] for hits, _ in told)
    assert told[0][0][:3] == [(0, 3), (1, 3), (0, 6)]


def test_this_machine_has_what_its_lock_file_says():
    """Where there are wheels of Hyperscan the quick way is the usual one."""
    assert (platform.machine() in {"x86_64", "aarch64", "arm64"}) == HAS_HYPERSCAN
