"""The salts of a segment: one seed, expanded by a tree of hashes (Goldreich, Goldwasser and Micali, 1986).

A node of the tree is 16 bytes; the 64 bytes of SHA-512(0x02 ‖ node) are its four children from left to right; the
4,096 nodes at depth 6 are the salts. To forget one salt and keep the others, the seed is replaced by the nodes beside
the way down to it ("puncturing"): the forgotten salt cannot be computed from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha512
from typing import NamedTuple

DEPTH = 6
SIZE = 16


class Seed(NamedTuple):
    """A node that is known: its depth, its number from the left at that depth, its 16 bytes."""

    depth: int
    number: int
    node: bytes


def expand(seeds: Sequence[Seed], count: int) -> list[bytes | None]:
    """Return the first ``count`` salts; None where the salt was forgotten."""
    salts: list[bytes | None] = [None] * count
    for depth, number, node in seeds:
        below = DEPTH - depth
        first = number << 2 * below
        wanted = min(count - first, 1 << 2 * below)
        if wanted <= 0:
            continue
        nodes = [node]
        while below:
            below -= 1
            nodes = _children(nodes[: -(-wanted >> 2 * below + 2)])
        salts[first : first + wanted] = nodes[:wanted]
    return salts


def puncture(seeds: Sequence[Seed], leaf: int) -> list[Seed]:
    """Return seeds that give every salt but that of ``leaf``."""
    kept = []
    for seed in seeds:
        depth, number, node = seed
        if leaf >> 2 * (DEPTH - depth) != number:
            kept.append(seed)
            continue
        while depth < DEPTH:
            depth += 1
            children = _children([node])
            way = leaf >> 2 * (DEPTH - depth) & 3
            kept += [Seed(depth, 4 * number + at, child) for at, child in enumerate(children) if at != way]
            number, node = 4 * number + way, children[way]
    return sorted(kept, key=lambda seed: seed.number << 2 * (DEPTH - seed.depth))


def _children(nodes: Sequence[bytes]) -> list[bytes]:
    data = b"".join([sha512(b"\x02" + node).digest() for node in nodes])
    return [data[at : at + SIZE] for at in range(0, len(data), SIZE)]
