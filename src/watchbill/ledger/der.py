"""Reads and writes DER (X.690), as much as time stamps need. Strict: no indefinite lengths, nothing left over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

INTEGER, BOOLEAN, BIT_STRING, OCTET_STRING, NULL, OID = 0x02, 0x01, 0x03, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31


class Item(NamedTuple):
    """An element: its tag, its content, and all of its bytes."""

    tag: int
    content: bytes
    whole: bytes

    def items(self) -> list[Item]:
        """Return the elements inside. Raises ValueError."""
        return list(elements(self.content))

    def expect(self, tag: int) -> Item:
        """Return itself if it has this tag. Raises ValueError."""
        if self.tag != tag:
            raise ValueError(f"DER: tag {self.tag:#04x} where {tag:#04x} is due")
        return self

    def integer(self) -> int:
        self.expect(INTEGER)
        if not self.content or (len(self.content) > 1 and self.content[0] in {0, 0xFF} and not _needed(self.content)):
            raise ValueError("DER: an integer is not in its shortest form")
        return int.from_bytes(self.content, "big", signed=True)

    def oid(self) -> str:
        """Return an object identifier in dotted form. Raises ValueError."""
        content = self.expect(OID).content
        if not content or content[-1] & 0x80:
            raise ValueError("DER: an object identifier is cut off")
        arcs, arc = [], 0
        for byte in content:
            arc = arc << 7 | byte & 0x7F
            if not byte & 0x80:
                arcs.append(arc)
                arc = 0
        first = min(arcs[0] // 40, 2)
        return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def _needed(content: bytes) -> bool:
    """Tell whether the first byte of an integer is there for the sign of the second."""
    return (content[0] == 0) == bool(content[1] & 0x80)


def elements(data: bytes) -> Iterator[Item]:
    """Give the elements that follow each other in some bytes. Raises ValueError."""
    at = 0
    while at < len(data):
        start = at
        tag = data[at]
        if tag & 0x1F == 0x1F:
            raise ValueError("DER: tags of several bytes are not read")
        size, at = _length(data, at + 1)
        if at + size > len(data):
            raise ValueError("DER: an element is cut off")
        yield Item(tag, data[at : at + size], data[start : at + size])
        at += size


def _length(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise ValueError("DER: a length is missing")
    first = data[at]
    if first < 0x80:
        return first, at + 1
    count = first & 0x7F
    spelled = data[at + 1 : at + 1 + count]
    size = int.from_bytes(spelled, "big")
    if not 1 <= count <= 4 or len(spelled) != count or spelled[0] == 0 or size < 0x80:
        raise ValueError("DER: a length is not in its shortest form")
    return size, at + 1 + count


def parse(data: bytes) -> Item:
    """Return the one element that some bytes are. Raises ValueError."""
    found = list(elements(data))
    if len(found) != 1:
        raise ValueError("DER: one element is due")
    return found[0]


def encode(tag: int, *content: bytes) -> bytes:
    """Spell an element."""
    data = b"".join(content)
    if len(data) < 0x80:
        return bytes((tag, len(data))) + data
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + data


def encode_integer(value: int) -> bytes:
    """Spell a number that is not negative."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def encode_oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    content = b""
    for arc in (40 * first + second, *rest):
        spelled = bytes([arc & 0x7F])
        while arc := arc >> 7:
            spelled = bytes([0x80 | arc & 0x7F]) + spelled
        content += spelled
    return encode(OID, content)
