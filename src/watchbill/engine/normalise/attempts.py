"""Counts a failed sign-in once, however many lines speak of it.

One wrong password makes sshd write up to four lines ("Invalid user", "error: PAM: …", "Failed password …",
"Connection closed by invalid user …"), of which a given configuration shows some. A parser says with
``native["attempt"]`` which kind of line it saw. For each (host, service, process or peer, user) every kind is summed,
and the number of attempts is the largest sum: each event gets as ``count`` what it adds to that maximum, which is
0 for a line that repeats what another has told. The total does not depend on the order of the lines.
"""

from __future__ import annotations

from watchbill.core.clock import MINUTE
from watchbill.sdk import Event

#: An attempt's lines lie closer together than this; a process id may serve another connection afterwards. A reader
#: that starts anew normalises the records of this span before its position once more and drops the results.
WINDOW = 10 * MINUTE
_LIMIT = 50_000


class _Seen:
    __slots__ = ("kinds", "since", "total")

    def __init__(self, since: int) -> None:
        self.since = since
        self.total = 0
        self.kinds: dict[str, int] = {}


class Attempts:
    """The connections of the last minutes and what has been counted for them; bounded in number."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str, str], _Seen] = {}

    def count(self, event: Event) -> None:
        """Set the event's ``count`` to the number of attempts that it adds."""
        native, ocsf = event.native, event.ocsf
        user = ocsf.get("actor.user.name") or ocsf.get("user.name", "")
        place = native.get("pid") or ocsf.get("src_endpoint.ip") or ocsf.get("src_endpoint.hostname", "")
        key = (event.host, ocsf.get("service.name", ""), place, user)
        seen = self._seen.get(key)
        if seen is None or abs(event.time - seen.since) > WINDOW:
            if seen is None and len(self._seen) >= _LIMIT:
                del self._seen[next(iter(self._seen))]
            seen = self._seen[key] = _Seen(event.time)
        kind = native["attempt"]
        told = seen.kinds.get(kind, 0) + ocsf.get("count", 1)
        seen.kinds[kind] = told
        adds = max(told - seen.total, 0)
        seen.total += adds
        if adds != 1:
            ocsf["count"] = adds
        else:
            ocsf.pop("count", None)
