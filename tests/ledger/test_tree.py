"""Merkle trees against RFC 6962's own recursion and published vectors."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.ledger import tree

# The reference leaves and roots of certificate-transparency-go's merkle tests, for sizes 0 to 8.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive(leaves):
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def hashes(count):
    return [tree.leaf_hash(b"%d" % n) for n in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_published_vectors(size):
    """Roots of 0 to 8 leaves are known from other implementations."""
    assert tree.root([tree.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


@given(st.integers(0, 600))
def test_levels_and_frontier_agree_with_the_recursion(size):
    """Both ways of building a tree give the RFC's head."""
    leaves = hashes(size)
    frontier = tree.Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    assert tree.root(leaves) == frontier.root() == naive(leaves)


@given(st.data())
def test_a_range_proof_leads_to_the_root_and_nothing_else_does(data):
    """Any run of leaves can be proven; a changed leaf, place or proof leads elsewhere."""
    size = data.draw(st.integers(1, 70))
    first = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(first + 1, size))
    leaves = hashes(size)
    proof = tree.range_proof(first, end, size, lambda low, high: naive(leaves[low:high]))
    assert tree.root_from_range(first, leaves[first:end], size, proof) == naive(leaves)
    assert tree.root_from_range(first, [b"x" * 32, *leaves[first + 1 : end]], size, proof) != naive(leaves)
    with pytest.raises(ValueError):
        tree.root_from_range(first, leaves[first:end], size, [*proof, b"x" * 32])
    if proof:
        with pytest.raises(ValueError):
            tree.root_from_range(first, leaves[first:end], size, proof[:-1])


def test_nodes_that_are_cut_give_another_head():
    """What a forged block holds in the place of nodes is hashed as it is, and is an error of nobody's but the block's."""
    nodes = hashes(5)
    assert tree.root([*nodes[:2], nodes[2][:7], *nodes[3:]]) != tree.root(nodes)
    assert tree.root([b"", *nodes[1:]]) != tree.root(nodes)
