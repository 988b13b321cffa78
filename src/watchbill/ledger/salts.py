"""The salts of a segment: one seed, expanded by a binary tree of hashes (Goldreich, Goldwasser and Micali, 1986).

A node of the tree is 16 bytes; SHA-256(0x02 ‖ node) is its left child followed by its right child; the 4,096 nodes
at depth 12 are the salts. To forget one salt and keep the others, the seed is replaced by the siblings along the
way down to it ("puncturing"): the forgotten salt cannot be computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

DEPTH = 12
SIZE = 16


class Seed(NamedTuple):
    """A node that is known: its depth, its number from the left at that depth, its 16 bytes."""

    depth: int
    number: int
    node: bytes


def expand(seeds: Sequence[Seed], count: int) -> list[bytes | None]:
    """Return the first ``count`` salts; None where the salt was forgotten."""
    salts: list[bytes | None] = [None] * count
    for depth, index, node in seeds:
        first = index << (DEPTH - depth)
        if first >= count:
            continue
        wanted = min(count - first, 1 << (DEPTH - depth))
        nodes = [node]
        for below in range(DEPTH - depth - 1, -1, -1):
            parents = nodes[: -(-wanted // (2 << below))]
            nodes = [
                half
                for digest in [sha256(b"\x02" + n).digest() for n in parents]
                for half in (digest[:16], digest[16:])
            ]
        salts[first : first + wanted] = nodes[:wanted]
    return salts


def puncture(seeds: Sequence[Seed], leaf: int) -> list[Seed]:
    """Return seeds that give every salt but that of ``leaf``."""
    kept = []
    for seed in seeds:
        depth, index, node = seed
        if leaf >> (DEPTH - depth) != index:
            kept.append(seed)
            continue
        while depth < DEPTH:
            digest = sha256(b"\x02" + node).digest()
            depth += 1
            bit = leaf >> (DEPTH - depth) & 1
            halves = digest[:16], digest[16:]
            kept.append(Seed(depth, 2 * index + 1 - bit, halves[1 - bit]))
            index, node = 2 * index + bit, halves[bit]
    return sorted(kept, key=lambda seed: seed.number << (DEPTH - seed.depth))
