"""Who sends: one origin is one source of the ledger, with what was seen of it in this run."""

from __future__ import annotations

from typing import Any

from watchbill.engine.collect.tls import Identity


class Origin:
    """A source as the receivers know it; its ledger number is given by the sink when it first sends.

    ``state`` is a word for the operator: listening, connected, following, waiting, unreadable, failed, finished.
    """

    __slots__ = ("bytes", "dropped", "error", "facts", "last", "lines", "name", "peers", "reason", "state", "transport")

    def __init__(self, name: str, transport: str, *, state: str = "", **facts: str) -> None:
        self.name = name
        self.transport = transport
        self.facts = facts
        self.state = state
        self.reason = ""
        self.error = ""
        self.lines = 0
        self.bytes = 0
        self.dropped = 0
        #: Open connections.
        self.peers = 0
        #: Time of the last record's receipt, UTC nanoseconds.
        self.last = 0

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.transport

    def status(self) -> dict[str, Any]:
        """The origin as plain values for run/collect-status.json."""
        return {
            "name": self.name, "transport": self.transport, "state": self.state, "reason": self.reason,
            "lines": self.lines, "bytes": self.bytes, "dropped": self.dropped,
            "last_record": self.last, "last_error": self.error, **self.facts,
        }  # fmt: skip


class Origins:
    """All origins of a run. Network peers are strangers, so their number is bounded: who comes after
    ``limit`` peers of a transport shares one origin of the name "<transport>:others".
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._all: dict[tuple[str, str], Origin] = {}

    def add(self, name: str, transport: str, *, state: str = "", **facts: str) -> Origin:
        """The origin of this name and transport, made when it is new."""
        origin = self._all.get((name, transport))
        if origin is None:
            origin = self._all[name, transport] = Origin(name, transport, **facts)
        if state:
            origin.state = state
        return origin

    def peer(self, transport: str, address: str) -> Origin:
        """The origin of a network peer, named by transport and address as in "syslog-tcp:192.0.2.7"."""
        name = f"{transport}:{address}"
        known = self._all.get((name, transport))
        if known is not None:
            return known
        if len(self._all) >= self._limit:
            return self.add(f"{transport}:others", transport)
        return self.add(name, transport, address=address)

    def certified(self, transport: str, identity: Identity) -> Origin:
        """The origin of a peer with a client certificate, named by that: "syslog-tls:web-01.example.com"."""
        facts = {"certificate": identity.fingerprint, "host": identity.name}
        return self.declared(f"{transport}:{identity.name}", transport, **facts)

    def declared(self, name: str, transport: str, **facts: str) -> Origin:
        """The origin of a sender that is known by its credentials; new facts take the place of older ones."""
        if (name, transport) not in self._all and len(self._all) >= self._limit:
            return self.add(f"{transport}:others", transport)
        origin = self.add(name, transport, **facts)
        if origin.facts != facts:
            origin.facts = facts
        return origin

    def remove(self, origin: Origin) -> None:
        """Forget an origin that is no longer watched (the ledger keeps its records and number)."""
        self._all.pop(origin.key, None)

    def statuses(self) -> list[dict[str, Any]]:
        return [origin.status() for origin in self._all.values()]
