r"""RELP, the Reliable Event Logging Protocol: syslog whose every record is acknowledged, here once it is durable.

Frames are "TXNR COMMAND LENGTH[ DATA]\n" (https://www.rsyslog.com/doc/relp.html). A session begins with "open",
carries "syslog" frames and ends with "close"; each is answered by "TXNR rsp LENGTH CODE text". A sender keeps what is
not answered and sends it again in its next session, where nothing tells that it is the same: at least once.
"""

from __future__ import annotations

import hashlib
import logging
import re
from functools import partial
from typing import NamedTuple

from watchbill.core.errors import WatchbillError
from watchbill.engine.collect.framing import LINE_LIMIT, TRAILER, Cut
from watchbill.engine.collect.origin import Origins
from watchbill.engine.collect.sink import Sink
from watchbill.engine.collect.streams import TIGHT_LINE, StreamConnection, StreamServer
from watchbill.engine.collect.tls import Tls

log = logging.getLogger(__name__)

_HEAD = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})(?: |(?=\n))")
_LONGEST_HEAD = 9 + 1 + 32 + 1 + 9 + 1
_OPEN = b"200 OK\nrelp_version=0\nrelp_software=watchbill\ncommands=syslog"
_OK = b"200 OK"


class RelpError(WatchbillError):
    """The peer does not speak RELP."""


class RelpFrame(NamedTuple):
    """One frame; of data that is longer than the limit the first part, and in ``cut`` what the whole was."""

    txnr: int
    command: bytes
    data: bytes
    cut: Cut | None = None


class _Long:
    """A frame that is longer than the limit, while it comes."""

    __slots__ = ("command", "digest", "kept", "left", "length", "limit", "txnr")

    def __init__(self, txnr: int, command: bytes, length: int, limit: int) -> None:
        self.txnr, self.command = txnr, command
        self.length = self.left = length
        self.limit = limit
        self.kept = bytearray()
        self.digest = hashlib.sha256()

    def take(self, piece: bytes) -> None:
        self.left -= len(piece)
        self.kept += piece[: self.limit - len(self.kept)]
        self.digest.update(piece)

    def frame(self) -> RelpFrame:
        cut = Cut(self.length, len(self.kept), self.digest.hexdigest())
        return RelpFrame(self.txnr, self.command, bytes(self.kept), cut)


class RelpFramer:
    r"""Splits a stream into frames.

    >>> RelpFramer().feed(b"1 open 14 relp_version=0\n2 close 0\n")[1]
    RelpFrame(txnr=2, command=b'close', data=b'', cut=None)
    """

    __slots__ = ("_limit", "_long", "_rest")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = b""
        self._long: _Long | None = None

    @property
    def pending(self) -> int:
        """Bytes held of a frame that has not ended."""
        return len(self._rest) + (len(self._long.kept) if self._long else 0)

    def feed(self, data: bytes, limit: int | None = None) -> list[RelpFrame]:
        """Return the frames that end within ``data``; ``limit`` overrides the longest one for now. Raises RelpError."""
        frames: list[RelpFrame] = []
        limit = self._limit if limit is None else limit
        if self._rest:
            data, self._rest = self._rest + data, b""
        at, size = 0, len(data)
        while at < size:
            if self._long is not None:
                piece = data[at : at + self._long.left]
                self._long.take(piece)
                at += len(piece)
                if self._long.left or at == size:
                    break
                frames.append(self._long.frame())
                self._long = None
            else:
                match = _HEAD.match(data, at)
                if match is None:
                    self._refuse_nonsense(data[at : at + _LONGEST_HEAD])
                    break
                txnr, command, length = int(match[1]), match[2], int(match[3])
                start = match.end()
                if length > limit:
                    self._long = _Long(txnr, command, length, limit)
                    at = start
                    continue
                if start + length >= size:
                    break
                frames.append(RelpFrame(txnr, command, data[start : start + length]))
                at = start + length
            if data[at] != 0x0A:
                raise RelpError("a RELP frame does not end where it said it would")
            at += 1
        self._rest = data[at:]
        return frames

    @staticmethod
    def _refuse_nonsense(head: bytes) -> None:
        if len(head) == _LONGEST_HEAD or b"\n" in head or not head[:1].isdigit():
            raise RelpError(f"this is no RELP frame: {head[:40]!r}")


class Relp(StreamServer):
    """Listens for RELP over TCP, or over TLS. ``port`` 0 takes a free one; ``address`` tells which."""

    def __init__(
        self,
        sink: Sink,
        origins: Origins,
        host: str,
        port: int,
        *,
        limit: int = LINE_LIMIT,
        connections: int = 0,
        tls: Tls | None = None,
    ) -> None:
        kind = "relp" if tls is None else "relp-tls"
        super().__init__(kind, sink, origins, (host, port), _Session, limit=limit, connections=connections, tls=tls)


class _Session(StreamConnection):
    __slots__ = ("_framer", "_is_open", "_last")

    def __init__(self, server: StreamServer) -> None:
        super().__init__(server)
        self._framer = RelpFramer(server.limit)
        self._is_open = False
        self._last = 0

    def take(self, data: bytes) -> bool:
        try:
            frames = self._framer.feed(data, TIGHT_LINE if self.server.is_tight else None)
            self.hold(self._framer.pending, ended=bool(frames))
            return self._obey(frames)
        except RelpError as error:
            self.server.listener.refusals.tell(self.peer.address, str(error))
            self.end(str(error))
            return True

    def rest(self) -> None:
        """What was not answered the sender sends again, so nothing of an unfinished frame is kept."""

    def _obey(self, frames: list[RelpFrame]) -> bool:
        """Do what the frames say, in order. Raises RelpError."""
        roomy = True
        records: list[RelpFrame] = []
        for frame in frames:
            if frame.command == b"syslog" and self._is_open:
                if frame.txnr <= self._last < 999_999_999:
                    raise RelpError(f"transaction {frame.txnr} came again in the same session")
                self._last = frame.txnr
                records.append(frame)
                continue
            if records:
                roomy, records = self._store(records), []
            if frame.command == b"open" and not self._is_open:
                if b"relp_version=" not in frame.data:
                    raise RelpError("the peer offers no version of RELP")
                self._is_open, self._last = True, frame.txnr
                self.write(_response(frame.txnr, _OPEN))
            elif frame.command == b"close":
                # What came before is answered when it is durable; the end waits for that.
                self._store([], close=frame.txnr)
            else:
                self.write(_response(frame.txnr, b"500 not understood"))
        return (self._store(records) if records else True) and roomy

    def _store(self, frames: list[RelpFrame], close: int = 0) -> bool:
        if self.origin is None:
            return True
        raws = [raw for frame in frames if (raw := frame.data.rstrip(TRAILER))]
        cuts = [frame.cut for frame in frames if frame.cut]
        answers = b"".join([_response(frame.txnr, _OK) for frame in frames])
        return self.server.sink.offer(self.origin, raws, partial(self._durable, answers, close), cuts)

    def _durable(self, answers: bytes, close: int, head: int) -> None:  # noqa: ARG002 - the head says nothing to RELP
        self.write(answers)
        if close:
            self.write(_response(close, _OK) + b"0 serverclose 0\n")
            self.end("")


def _response(txnr: int, data: bytes) -> bytes:
    return b"%d rsp %d %b\n" % (txnr, len(data), data)
