"""Whose connection it is: servers name the peer once and later lines by the process id alone."""

from __future__ import annotations

from watchbill.core.clock import MINUTE
from watchbill.sdk import Event, ocsf

_WINDOW = 10 * MINUTE
_LIMIT = 50_000


class Peers:
    """The peers of the last minutes by (host, program, process id); bounded in number."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[int, str, str]] = {}

    def complete(self, event: Event, app: str, pid: str) -> None:
        """Learn the peer from the event, or give it the one that is known.

        What its parser could not attribute (an attempt or a broken handshake, status "other") becomes a failure.
        """
        values = event.ocsf
        key = (event.host, app, pid)
        for name in ("src_endpoint.ip", "src_endpoint.hostname"):
            if name in values:
                if key not in self._known and len(self._known) >= _LIMIT:
                    del self._known[next(iter(self._known))]
                self._known[key] = (event.time, name, values[name])
                return
        known = self._known.get(key)
        if known is None or not 0 <= event.time - known[0] <= _WINDOW:
            return
        values[known[1]] = event.native["src_ip"] = known[2]
        if values["status_id"] == ocsf.OTHER and ("attempt" in event.native or event.class_uid == ocsf.SSH_ACTIVITY):
            values["status_id"], values["severity_id"] = ocsf.FAILURE, 2
            values.pop("status", None)
