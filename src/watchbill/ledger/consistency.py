"""Consistency proofs (RFC 6962, section 2.1.2): that a head of the log is an extension of one that was seen before.

Whoever keeps the last checkpoint that it saw, and asks for this proof when it comes back, notices that a log was cut
back or written anew: ``follow`` is all that an agent, a witness or a monitor needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from watchbill.core.errors import LedgerError
from watchbill.ledger import tree
from watchbill.ledger.note import Checkpoint, Verifier, open_note
from watchbill.ledger.tiles import TileReader

#: The most hashes that a proof can have, and that a witness takes.
LONGEST = 63


class RollbackError(LedgerError):
    """The log is not an extension of what was seen before: it was cut back, or shows somebody another history."""


def prove(log: TileReader, old: int, new: int) -> list[bytes]:
    """Return the proof that the tree of ``new`` entries extends that of ``old``; [] from nothing or to itself.

    Raises LedgerError if the log has not as many entries or cannot be read.
    """
    if not 0 <= old <= new:
        raise LedgerError(f"there is no proof from {old} entries to {new}")
    if old in {0, new}:
        return []

    def walk(low: int, high: int, *, whole: bool) -> Iterator[bytes]:
        """``whole``: the subtree's old part is a head that the other side has already."""
        if high == old:
            if not whole:
                yield log.subtree(low, high)
            return
        middle = low + tree.split(high - low)
        if old <= middle:
            yield from walk(low, middle, whole=whole)
            yield log.subtree(middle, high)
        else:
            yield from walk(middle, high, whole=False)
            yield log.subtree(low, middle)

    return list(walk(0, new, whole=True))


def check(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check a proof between two heads. Raises ValueError if it does not hold."""
    if not 0 <= old <= new or any(len(node) != 32 for node in proof):
        raise ValueError("this is no consistency proof")
    if old in {0, new}:
        if proof or (old == 0 and old_root != tree.EMPTY) or (old == new and old_root != new_root):
            raise ValueError("the heads are not those of one log")
        return
    rest = list(proof)

    def walk(low: int, high: int, *, whole: bool) -> tuple[bytes, bytes]:
        """Return the heads of the old part and of all of a subtree."""
        if high == old:
            head = old_root if whole else _take(rest)
            return head, head
        middle = low + tree.split(high - low)
        if old <= middle:
            before, after = walk(low, middle, whole=whole)
            return before, tree.node_hash(after, _take(rest))
        before, after = walk(middle, high, whole=False)
        left = _take(rest)
        return tree.node_hash(left, before), tree.node_hash(left, after)

    before, after = walk(0, new, whole=True)
    if rest or before != old_root or after != new_root:
        raise ValueError("the heads are not those of one log")


def _take(rest: list[bytes]) -> bytes:
    if not rest:
        raise ValueError("the consistency proof is too short")
    return rest.pop(0)


def follow(held: Checkpoint | None, note: str, proof: Sequence[bytes], log: Verifier) -> Checkpoint:
    """Return the head to keep from now on, having checked that it extends the one that is held.

    ``note`` is the log's checkpoint as it gave it, ``log`` its key. Raises RollbackError when the log went back or shows
    another history, and ValueError for what is not signed or no checkpoint.
    """
    seen = Checkpoint.parse(open_note(note, log))
    if seen.origin != log.name or (held and held.origin != seen.origin):
        raise ValueError(f"this is a checkpoint of {seen.origin}")
    if held is None:
        return seen
    if seen.size < held.size:
        raise RollbackError(
            f"{held.origin} had {held.size} entries and now shows {seen.size}",
            mend="keep both checkpoints: together they prove that the log was cut back",
        )
    try:
        check(held.size, held.root, seen.size, seen.root, proof)
    except ValueError as error:
        raise RollbackError(
            f"{held.origin} shows another history than before ({held.size} to {seen.size} entries: {error})",
            mend="keep both checkpoints and the proof",
        ) from error
    return seen
