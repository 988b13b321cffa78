"""The salts of a segment: one seed, expanded by a tree of hashes (Goldreich, Goldwasser and Micali, 1986).

A node of the tree is 16 bytes; the 64 bytes of SHA-512(0x02 ‖ node) are its four children from left to right; the
4,096 nodes at depth 6 are the salts. To forget one salt and keep the others, the seed is replaced by the nodes beside
the way down to it ("puncturing"): the forgotten salt cannot be computed from them.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import NamedTuple

try:  # CPython's own: a fixed cost a call that is a third of OpenSSL's, and the nodes are short
    from _sha512 import sha512  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha512

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
        nodes: Sequence[bytes] = [node]
        while below:
            below -= 1
            nodes = _children(nodes[: -(-wanted >> 2 * below + 2)])
        salts[first : first + wanted] = nodes[:wanted]
    return salts


def expand_whole(seed: Seed, count: int) -> Sequence[bytes]:
    """Return the first ``count`` salts of an unpunctured segment."""
    nodes: Sequence[bytes] = [seed.node]
    for below in range(DEPTH - 1, -1, -1):
        nodes = _children(nodes[: -(-count >> 2 * below + 2)])
    return nodes[:count]


def puncture(seeds: Sequence[Seed], leaves: Collection[int]) -> list[Seed]:
    """Return the fewest seeds that give every salt but those of ``leaves``."""
    gone = sorted(set(leaves))
    kept: list[Seed] = []
    waiting = list(seeds)
    while waiting:
        seed = waiting.pop()
        depth, number, node = seed
        below = 2 * (DEPTH - depth)
        if bisect_left(gone, number << below) == bisect_left(gone, number + 1 << below):
            kept.append(seed)
        elif below:
            waiting += [Seed(depth + 1, 4 * number + at, child) for at, child in enumerate(_children([node]))]
    return sorted(kept, key=lambda seed: seed.number << 2 * (DEPTH - seed.depth))


def _children(nodes: Sequence[bytes]) -> Sequence[bytes]:
    data = b"".join([sha512(b"\x02" + node).digest() for node in nodes])
    return struct.unpack("16s" * (len(data) // SIZE), data)
