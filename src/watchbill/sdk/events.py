"""What a parser makes of a record: the source's native fields and its OCSF event, side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

#: Sigma's categories that are kinds of a wider one, whose rules are for their events too.
WIDER_CATEGORY = {
    "file_delete_detected": "file_delete",
    "registry_add": "registry_event",
    "registry_delete": "registry_event",
    "registry_rename": "registry_event",
    "registry_set": "registry_event",
}


class LogSource(NamedTuple):
    """Sigma's log source: what a rule of the usual taxonomy is routed by. Empty means unsaid."""

    product: str = ""
    service: str = ""
    category: str = ""


class Event(msgspec.Struct, gc=False):
    """One normalised event. Made by a parser, completed by the normaliser, then never changed.

    ``ocsf`` is flat: dotted attribute paths of OCSF 1.8 to plain values ("src_endpoint.ip": "192.0.2.7"); lists and
    objects inside lists stay as they are. ``native`` holds the source's own field names, as Sigma rules spell them.
    Times are UTC nanoseconds.
    """

    class_uid: int
    ocsf: dict[str, Any]
    native: dict[str, Any]
    message: str
    #: Event time; 0 lets the normaliser take the transport's time, else the time of receipt.
    time: int = 0
    logsource: LogSource = LogSource()
    #: Name of the device that the event happened on ("" lets the normaliser take the transport's).
    host: str = ""
    # The rest is filled in by the normaliser.
    parser: str = ""
    source: str = ""
    received: int = 0
    shard: int = 0
    position: int = 0
    #: Why this record is quarantined ("" for a good one); it still is an event, searchable and counted.
    flaw: str = ""

    @property
    def id(self) -> str:
        """The event's name for ever: its place in the ledger, "shard-position"."""
        return f"{self.shard}-{self.position}"
