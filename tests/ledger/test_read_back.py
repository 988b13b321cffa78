"""Before a segment is sealed it is read back from the disk, and compared with what came in."""

from __future__ import annotations

import pytest

from watchbill.core.clock import SECOND
from watchbill.ledger import Reader, frames, pending, verify_ledger


def flip(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def committed(place, groups, records):
    """Return a writer with one segment that is durable and not sealed, and the bytes of its records."""
    writer = place.writer()
    source = writer.source("web-01", "http")
    lines = [[b"record %d of group %d" % (n, group) for n in range(records)] for group in range(groups)]
    for group in lines:
        writer.append(source, group, place.clock.now())
        writer.commit()
    place.clock.advance(SECOND)
    return writer, [line for group in lines for line in group]


def places_of(path, number):
    """Return the first byte, the last of the payload and the last of the MAC of a group."""
    with path.open("rb") as file:
        groups = [one for one in frames.headers(file.fileno(), 0, path.stat().st_size) if one.kind == frames.Kind.GROUP]
    offset, end = groups[number].offset, groups[number].end
    return offset, end - frames.MAC_SIZE - 1, end - 1


@pytest.mark.parametrize("group", [0, 1, 2])
@pytest.mark.parametrize("where", [0, 1, 2], ids=["header", "record", "mac"])
def test_what_the_disk_gives_back_otherwise_is_written_again_and_never_sealed(place, group, where):
    """A bit that the disk changed before it was sealed: the volume is abandoned, the records stand in the next one."""
    writer, lines = committed(place, 3, 3 * pending._AT_ONCE)
    before = place.events()
    flip(before[0], places_of(before[0], group)[where])
    writer.tick()
    writer.close()
    assert len(place.events()) == len(before) + 1
    assert [record.raw for record in Reader(place.ledger, 0).read(1, 10_000)] == lines
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings
    assert report.events == len(lines) + 1


def test_a_bit_that_changed_in_memory_is_not_sealed(place):
    """The MAC says that the disk is right: what was acknowledged is sealed, not what the memory made of it."""
    writer, lines = committed(place, 2, 100)
    writer._open[0].bodies[51] = b"something else"
    writer.tick()
    writer.close()
    assert len(place.events()) == 1
    assert [record.raw for record in Reader(place.ledger, 0).read(1, 1000)] == lines
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings
