"""A word of a form that must be one of a few."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from watchbill.core.errors import QueryError

Word = TypeVar("Word", bound=StrEnum)


def one_of(kind: type[Word], value: str) -> Word:
    """The member that ``value`` names. Raises QueryError with what could be chosen."""
    if value not in set(kind):
        raise QueryError(f"{value!r} cannot be chosen here", mend=f"choose one of {', '.join(kind)}")
    return kind(value)
