"""One family of errors: what happened, where, how to mend it, and whether trying again can help."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where in some input the trouble is. Lines and columns count from 1, byte offsets from 0."""

    file: str
    line: int | None = None
    column: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        parts = [self.file]
        if self.line is not None:
            parts.append(str(self.line))
            if self.column is not None:
                parts.append(str(self.column))
        text = ":".join(parts)
        return f"{text} (byte {self.offset})" if self.offset is not None else text


class WatchbillError(Exception):
    """Anything that Watchbill itself refuses or fails at.

    Raises with the place and the mend, so that a person can act on the message alone:

    >>> str(WatchbillError("the port is no number", place=Place("watchbill.toml", 3), mend="write port = 5514"))
    'watchbill.toml:3: the port is no number. To mend: write port = 5514'
    """

    def __init__(self, what: str, *, place: Place | None = None, mend: str = "", retry: bool = False) -> None:
        super().__init__(what, place, mend, retry)
        self.what = what
        self.place = place
        self.mend = mend
        self.retry = retry

    def __str__(self) -> str:
        text = f"{self.place}: {self.what}" if self.place else self.what
        return f"{text.rstrip('.')}. To mend: {self.mend}" if self.mend else text


class ConfigError(WatchbillError):
    """The configuration cannot be used as it is written."""


class ContentError(WatchbillError):
    """A unit of content (rule, parser, check, notifier, responder, framework) cannot be loaded."""


class LedgerError(WatchbillError):
    """The ledger refuses, or what is on disk is not what was written."""


class LakeError(WatchbillError):
    """Events at rest cannot be written or searched."""


class QueryError(WatchbillError):
    """A search, filter or time range cannot be understood."""


class NotFoundError(WatchbillError):
    """The thing that was named is not there."""


class ConflictError(WatchbillError):
    """The thing is not in a state in which this can be done."""


class DeniedError(WatchbillError):
    """The person may not do this."""


class DeliveryError(WatchbillError):
    """A notification was not delivered; ``retry`` tells whether sending it again can help."""
