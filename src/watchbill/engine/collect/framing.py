"""Framing of byte streams into records: LF (RFC 6587 section 3.4.2) and octet counting (section 3.4.1).

The method is recognised anew for each frame, as rsyslog does, because senders mix them: a frame that starts with a
decimal number, a space and "<" is counted, everything else ends at LF. Whole chunks are split at once; nothing is
done per byte, and a partial frame costs at most ``limit`` bytes of memory.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

LINE_LIMIT = 1 << 20
#: What RFC 6587 (3.4.2) lets a sender append to a frame, and what is not part of the message.
TRAILER = b"\r\n\0"

_COUNT = re.compile(rb"([1-9][0-9]{0,8}) <")
_COUNT_AFTER_LF = re.compile(rb"\n(?=[1-9][0-9]{0,8} <)")
_MAYBE_COUNT = re.compile(rb"[1-9][0-9]{0,8} ?")


class Cut(NamedTuple):
    """A record that was longer than the limit: its first ``kept`` bytes are kept, of ``length`` that had ``sha256``."""

    length: int
    kept: int
    sha256: str


class Framer:
    r"""Splits one stream. ``counted=False`` knows LF alone (files, journal, standard input).

    >>> framer = Framer()
    >>> framer.feed(b"<13>one\n7 <13>two<13>thr")
    [b'<13>one', b'<13>two']
    >>> framer.finish()
    [b'<13>thr']
    """

    __slots__ = ("_counted", "_hash", "_in_line", "_length", "_limit", "_need", "_part", "cuts")

    def __init__(self, limit: int = LINE_LIMIT, *, counted: bool = True) -> None:
        self._limit = limit
        self._counted = counted
        self._part = bytearray()
        self._length = 0  # bytes of the frame that has begun, kept or not
        self._need = 0  # bytes that are missing of a counted frame
        self._in_line = False
        self._hash: hashlib._Hash | None = None
        #: Filled when frames are cut, in order; whoever feeds takes them away.
        self.cuts: list[Cut] = []

    @property
    def pending(self) -> int:
        """Bytes held of a frame that has not ended."""
        return len(self._part)

    def feed(self, data: bytes, limit: int | None = None) -> list[bytes]:
        """Return the frames that end within ``data``; ``limit`` overrides the longest record for now."""
        frames: list[bytes] = []
        if limit is None:
            limit = self._limit
        if self._part and not self._in_line and not self._need:
            data = bytes(self._part) + data
            self._part.clear()
        at = 0
        size = len(data)
        while at < size:
            if self._need:
                take = min(self._need, size - at)
                self._hold(data[at : at + take], limit)
                self._need -= take
                at += take
                if not self._need:
                    frames.append(self._end())
            elif self._in_line:
                stop = data.find(b"\n", at)
                if stop < 0:
                    self._hold(data[at:], limit)
                    break
                self._hold(data[at:stop], limit)
                frames.append(self._end())
                at = stop + 1
            elif self._counted and 0x31 <= data[at] <= 0x39:
                at = self._start_digit(data, at, frames, limit)
            else:
                at = self._lines(data, at, frames, limit)
        return [stripped for frame in frames if (stripped := frame.rstrip(TRAILER))]

    def finish(self) -> list[bytes]:
        """The sender is gone: return the last frame as far as it came."""
        frame = self._end().rstrip(TRAILER) if self._part else b""
        self._need = 0
        return [frame] if frame else []

    def _start_digit(self, data: bytes, at: int, frames: list[bytes], limit: int) -> int:
        """Take counted frames as long as they follow each other; ``data[at]`` is a digit at the start of a frame."""
        size = len(data)
        while match := _COUNT.match(data, at):
            start = match.end() - 1
            stop = start + int(match[1])
            if stop > size or stop - start > limit:
                self._need = stop - start
                return start
            frames.append(data[start:stop])
            at = stop
        if at < size and (match := _MAYBE_COUNT.match(data, at)) and match.end() == size:
            self._part += data[at:]  # undecided: the next chunk tells
            return size
        return at if at >= size or not _is_digit(data[at]) else self._lines(data, at, frames, limit)

    def _lines(self, data: bytes, at: int, frames: list[bytes], limit: int) -> int:
        """Take LF frames in bulk up to the next counted frame or the last LF."""
        counted = _COUNT_AFTER_LF.search(data, at) if self._counted else None
        stop = counted.start() if counted else data.rfind(b"\n", at)
        if stop < 0 or (stop - at > limit and data.find(b"\n", at) - at > limit):
            self._in_line = True  # an unfinished or very long line goes the careful way
            return at
        if stop - at > limit:
            stop = data.find(b"\n", at)
        frames += data[at:stop].split(b"\n")
        if counted is None and stop + 1 < len(data) and not _is_digit(data[stop + 1]):
            self._in_line = True
        return stop + 1

    def _hold(self, piece: bytes, limit: int) -> None:
        room = limit - len(self._part)
        self._length += len(piece)
        if self._hash is None:
            if len(piece) <= room:
                self._part += piece
                return
            self._part += piece[: max(room, 0)]
            self._hash = hashlib.sha256(self._part)
            piece = piece[max(room, 0) :]
        self._hash.update(piece)

    def _end(self) -> bytes:
        frame = bytes(self._part)
        if self._hash is not None:
            self.cuts.append(Cut(self._length, len(frame), self._hash.hexdigest()))
            self._hash = None
        self._part.clear()
        self._length = 0
        self._in_line = False
        return frame


def _is_digit(byte: int) -> bool:
    return 0x31 <= byte <= 0x39
