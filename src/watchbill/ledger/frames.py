"""The frames that a volume is made of: a header of 32 bytes, a payload, a MAC of 32 bytes. All integers big-endian.

    magic "WB" | kind 1 | version 1 | payload length 4 | segment 8 | position 8 | count 4 | CRC-32 of the 28 before

``segment`` and ``position`` are those of the frame's first record (or of the next one, where it has none); ``count``
is the number of records in it. The MAC is HMAC-SHA-256 by the segment's tail key over the segment's previous MAC
(32 zero bytes before its first frame) followed by header and payload.
"""

from __future__ import annotations

import hmac
import os
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from watchbill.core.errors import LedgerError, Place

VERSION = 1
MAC_SIZE = 32
NO_MAC = bytes(MAC_SIZE)
_HEADER = struct.Struct(">2sBBIQQI")
_KNOWN = frozenset((0x56, 0x47, 0x53, 0x45, 0x5A))
HEADER_SIZE = _HEADER.size + 4
MAX_PAYLOAD = 64 << 20


class LaterVersionError(LedgerError):
    """A frame that only a later version of Watchbill can read: it is whole, and no damage to be cut off."""


class Kind(IntEnum):
    """What a frame holds. Other numbers are refused."""

    VOLUME = 0x56
    GROUP = 0x47
    SEAL = 0x53
    ENTRY = 0x45
    PACKED = 0x5A


class Header(NamedTuple):
    """A frame's header, and where the frame stands in its file."""

    kind: Kind
    length: int
    segment: int
    position: int
    records: int
    offset: int

    @property
    def end(self) -> int:
        return self.offset + HEADER_SIZE + self.length + MAC_SIZE


class Frame(NamedTuple):
    """A whole frame, as it is stored. Its parts are cut out when they are asked for, because copies of them are dear."""

    header: Header
    data: bytes

    @property
    def payload(self) -> bytes:
        return self.data[HEADER_SIZE : HEADER_SIZE + self.header.length]

    @property
    def signed(self) -> bytes:
        """What the MAC covers beside the MAC before it (a packed frame has SHA-256 of it instead)."""
        return self.data[: HEADER_SIZE + self.header.length]

    @property
    def mac(self) -> bytes:
        return self.data[HEADER_SIZE + self.header.length :]

    def follows(self, key: bytes, previous: bytes) -> bool:
        """Tell whether the MAC is right."""
        return hmac.compare_digest(self.mac, chain(key, previous, self.signed))


def chain(key: bytes, previous: bytes, signed: bytes | bytearray | memoryview) -> bytes:
    mac = hmac.new(key, previous, "sha256")
    mac.update(signed)
    return mac.digest()


def encode_header(kind: Kind, segment: int, position: int, count: int, length: int) -> bytes:
    """Return the header of a frame with ``length`` bytes of payload."""
    head = _HEADER.pack(b"WB", kind, VERSION, length, segment, position, count)
    return head + zlib.crc32(head).to_bytes(4, "big")


def encode(kind: Kind, segment: int, position: int, count: int, payload: bytes) -> bytes:
    """Return header and payload; the MAC is appended by who holds the key."""
    return encode_header(kind, segment, position, count, len(payload)) + payload


def decode_header(data: bytes, offset: int) -> Header | None:
    """Read a header; None if it is none that this version can read."""
    if len(data) < HEADER_SIZE or zlib.crc32(data[:28]) != int.from_bytes(data[28:32], "big"):
        return None
    magic, kind, version, length, segment, position, count = _HEADER.unpack_from(data)
    if magic != b"WB" or version != VERSION or length > MAX_PAYLOAD or kind not in _KNOWN:
        return None
    return Header(Kind(kind), length, segment, position, count, offset)


def headers(fd: int, offset: int, end: int) -> Iterator[Header]:
    """Walk the headers between two offsets of a file; stops before the first that is damaged or passes ``end``."""
    while offset + HEADER_SIZE <= end:
        header = decode_header(os.pread(fd, HEADER_SIZE, offset), offset)
        if header is None or header.end > end:
            return
        yield header
        offset = header.end


def read(fd: int, header: Header) -> Frame:
    """Read the frame of a header. A file that ends too early gives a frame whose MAC is short."""
    return Frame(header, os.pread(fd, header.end - header.offset, header.offset))


def walk(fd: int, offset: int, end: int, name: str) -> Iterator[Frame]:
    """Walk whole frames up to ``end``. Raises LedgerError with the offset where there is none."""
    for header in headers(fd, offset, end):
        frame = read(fd, header)
        if len(frame.mac) != MAC_SIZE:
            break
        yield frame
        offset = header.end
    if offset != end:
        head = os.pread(fd, HEADER_SIZE, offset)
        known = len(head) == HEADER_SIZE and zlib.crc32(head[:28]) == int.from_bytes(head[28:], "big")
        if known and head[:2] == b"WB" and (head[3] != VERSION or head[2] not in _KNOWN):
            what = f"this frame (kind {head[2]:#04x}, version {head[3]}) was written by a later version of Watchbill"
            raise LaterVersionError(what, place=Place(name, offset=offset), mend="use that version or a later one")
        raise LedgerError("there is no whole frame here", place=Place(name, offset=offset))
