"""The indexes choose whom to ask; what they answer is what asking everybody answers. Memos stay small."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.engine.detect.index import FieldIndex, Memo, key_of
from watchbill.engine.detect.predicates import MISSING, Predicate, holds

literals = st.text(alphabet="abc-", min_size=1, max_size=6)
predicates = st.builds(
    Predicate, st.sampled_from(["contains", "equals", "startswith", "endswith"]), literals, st.booleans()
)


def hits_in(memo, keys):
    """A memo may give its hits in parts."""
    return [set().union(*parts) for parts in zip(*memo.columns(keys), strict=True)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(predicates, min_size=20, max_size=60),
    st.lists(st.text(alphabet="abcABC-", max_size=20), min_size=1, max_size=5),
)
def test_many_literals_are_found_as_one_by_one(asked, texts):
    """Of starts, ends, wholes and parts, cased or not, in one automaton."""
    index = FieldIndex(enumerate(asked))
    for text in texts:
        assert index.hits(text) == {number for number, predicate in enumerate(asked) if holds(predicate)(text)}


def test_a_memo_is_bounded_and_tells_missing_from_null_and_true_from_one():
    """Whatever number of values comes, at most two generations are kept."""
    index = FieldIndex(enumerate([Predicate("exists"), Predicate("null"), Predicate("equals", "1")]))
    memo = Memo(index, values=100)
    for number in range(500):
        assert hits_in(memo, [str(10 * number + digit + 2) for digit in range(10)]) == [{0}] * 10
        assert len(memo) <= 110
    assert hits_in(memo, list(map(key_of, (MISSING, None, 1, 1.0, True, "1", ["x", 1])))) == [
        {1}, {0, 1}, {0, 2}, {0, 2}, {0}, {0, 2}, {0, 2},
    ]  # fmt: skip
