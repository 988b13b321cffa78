"""RFC 6962 Merkle trees: https://www.rfc-editor.org/rfc/rfc6962#section-2.1 (SHA-256, leaves 0x00, nodes 0x01)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()
_begin_node = sha256(b"\x01").copy  # a copy that has its prefix costs less than joining the prefix to each pair


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return the tree from the leaf hashes (level 0) up to the root.

    A node without a sibling is carried up unchanged, which gives the RFC's tree: each left side is as full as can be.
    """
    tree = [leaves]
    while len(leaves) > 1:
        nodes, pairs = [], iter(leaves)
        for left, right in zip(pairs, pairs, strict=False):
            node = _begin_node()
            node.update(left + right)
            nodes.append(node.digest())
        leaves = [*nodes, leaves[-1]] if len(leaves) % 2 else nodes
        tree.append(leaves)
    return tree


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the tree head of these leaf hashes."""
    return levels(leaves)[-1][0] if leaves else EMPTY


def split(size: int) -> int:
    """Return the largest power of two below ``size`` (which is at least 2): the leaves of the left side."""
    return 1 << ((size - 1).bit_length() - 1)


def range_proof(first: int, end: int, size: int, subtree: Callable[[int, int], bytes]) -> list[bytes]:
    """Return the hashes that lead from the leaves [first, end) to the head of the tree of ``size`` leaves.

    They are the largest subtrees beside the range, from left to right; ``subtree(low, high)`` is asked for each.
    """

    def walk(low: int, high: int) -> Iterator[bytes]:
        if high <= first or low >= end:
            yield subtree(low, high)
        elif low < first or high > end:
            middle = low + split(high - low)
            yield from walk(low, middle)
            yield from walk(middle, high)

    return list(walk(0, size))


def root_from_range(first: int, leaves: Sequence[bytes], size: int, proof: Sequence[bytes]) -> bytes:
    """Return the tree head that ``leaves`` at ``first`` and a range proof lead to. Raises ValueError if they do not fit."""
    end = first + len(leaves)
    if not 0 <= first < end <= size:
        raise ValueError("the range is not inside the tree")
    rest = iter(proof)

    def walk(low: int, high: int) -> bytes:
        if high <= first or low >= end:
            found = next(rest, b"")
            if len(found) != 32:
                raise ValueError("the proof is too short")
            return found
        if first <= low and high <= end:
            return root(leaves[low - first : high - first])
        middle = low + split(high - low)
        return node_hash(walk(low, middle), walk(middle, high))

    head = walk(0, size)
    if next(rest, None) is not None:
        raise ValueError("the proof is too long")
    return head


class Frontier:
    """The right edge of a growing tree: the roots of its perfect subtrees, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def load(self, size: int, subtree: Callable[[int, int], bytes]) -> None:
        """Take up a tree of ``size`` leaves, whose subtrees [low, high) can be asked for."""
        low = 0
        self._roots = []
        for bit in range(size.bit_length() - 1, -1, -1):
            if size >> bit & 1:
                self._roots.append(subtree(low, low + (1 << bit)))
                low += 1 << bit
        self.size = size

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._roots.pop(), leaf)
            size >>= 1
        self._roots.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the tree head of all leaves so far."""
        if not self._roots:
            return EMPTY
        *rest, head = self._roots
        for left in reversed(rest):
            head = node_hash(left, head)
        return head
