"""What retention gives to others. Times are UTC nanoseconds; public ids are "H-" (holds) and "E-" (erasures) and a number."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from watchbill.core.errors import NotFoundError


class ErasureReason(StrEnum):
    """Why records are erased: what stands in the ledger for ever, so nothing personal can be in it."""

    DATA_SUBJECT = "data subject"
    UNLAWFUL = "unlawful"
    SECRET = "secret logged"  # noqa: S105 - a password or key that was logged by mistake
    COURT = "court order"


class ErasureState(StrEnum):
    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    DONE = "done"


class PolicyView(msgspec.Struct, frozen=True):
    """Records of the sources that fit all three patterns (``*`` stands for anything) are kept for ``days``; 0: for ever."""

    name: str
    days: int
    source: str
    transport: str
    format: str
    by: str
    set_at: int

    def fits(self, source: str, transport: str, form: str) -> bool:
        """Tell whether a source is meant, without regard to case."""
        pairs = (source, self.source), (transport, self.transport), (form, self.format)
        return all(fnmatchcase(value.lower(), pattern.lower()) for value, pattern in pairs)


class HoldView(msgspec.Struct, frozen=True):
    """Records of these sources, received in [start, end), do not go while it stands. ``end`` None: from then on."""

    id: str
    source: str
    start: int
    end: int | None
    reason: str
    placed_by: str
    placed_at: int
    released_by: str
    released_at: int | None

    @property
    def stands(self) -> bool:
        return self.released_at is None

    def blocks(self, source: str, first: int, last: int) -> bool:
        """Tell whether it keeps a source's records that were received from ``first`` to ``last``."""
        inside = first < (1 << 62 if self.end is None else self.end) and last >= self.start
        return self.stands and inside and fnmatchcase(source.lower(), self.source.lower())


class ErasureView(msgspec.Struct, frozen=True):
    """``query`` is what was searched for; it is forgotten when the erasure is decided or done."""

    id: str
    state: ErasureState
    reason: ErasureReason
    note: str
    query: str
    records: int
    proposed_by: str
    proposed_at: int
    decided_by: str
    decided_at: int | None
    done_at: int | None


def number(public: str, letter: str) -> int:
    """Read "E-12" (or "12") as its number. Raises NotFoundError."""
    digits = public.strip().upper().removeprefix(f"{letter}-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise NotFoundError(f"{public!r} names nothing here", mend=f'write it like "{letter}-12"')
    return int(digits)
