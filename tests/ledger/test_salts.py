"""The salts' tree: fast expansion equals the plain definition, and puncturing forgets exactly one."""

from hashlib import sha512

from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.ledger.salts import Seed, expand, puncture


def plain(seed, leaf):
    """Walk down to one salt, two bits a step."""
    for shift in range(10, -1, -2):
        way = leaf >> shift & 3
        seed = sha512(b"\x02" + seed).digest()[16 * way : 16 * way + 16]
    return seed


@given(st.binary(min_size=16, max_size=16), st.integers(1, 4096))
@settings(max_examples=30)
def test_expansion_follows_the_definition(seed, count):
    """First, last and middle salts are those of the walk."""
    salts = expand([Seed(0, 0, seed)], count)
    assert len(salts) == count
    for leaf in {0, count // 2, count - 1}:
        assert salts[leaf] == plain(seed, leaf)


@given(st.sets(st.integers(0, 4095), min_size=1, max_size=5))
@settings(max_examples=20)
def test_puncturing_forgets_those_and_keeps_the_others(leaves):
    """Each forgotten salt is gone, each other one unchanged."""
    seeds = [Seed(0, 0, b"0123456789abcdef")]
    before = expand(seeds, 4096)
    at_once = puncture(seeds, leaves)
    for leaf in leaves:
        seeds = puncture(seeds, {leaf})
    assert at_once == seeds
    after = expand(seeds, 4096)
    assert {n for n in range(4096) if after[n] is None} == leaves
    assert all(a in (b, None) for a, b in zip(after, before, strict=True))
