"""Packed blocks by the format's document, read by code that shares nothing with the product."""

import json
import struct
import zlib
from hashlib import sha256, sha512

from tests.ledger.test_format import DOCUMENT, frames_of, leaf, mth

from watchbill.ledger.compaction import compact
from watchbill.ledger.deletions import decode
from watchbill.ledger.tiles import TileReader


def salts_of(seeds):
    found = {}
    for depth, number, node in seeds:
        nodes = {number: bytes.fromhex(node)}
        for _ in range(6 - depth):
            nodes = {
                4 * at + way: sha512(b"\x02" + one).digest()[16 * way :][:16]
                for at, one in nodes.items()
                for way in range(4)
            }
        found |= nodes
    return found


def records_of(index, payload, at):
    """Give the bodies of the pieces, which begin at an offset of the payload."""
    first = b""
    for number, (records, size, separator) in enumerate(index["pieces"]):
        unpack = zlib.decompressobj(-15, zdict=first) if number else zlib.decompressobj(-15)
        text = unpack.decompress(payload[at : at + size])
        at += size
        first = first if number else text[:32768]
        if separator is None:
            lengths = struct.unpack_from(f">{records}I", text)
            low = 4 * records
            for length in lengths:
                yield text[low : low + length]
                low += length
        else:
            yield from text.split(bytes([separator]))


def headers_of(index):
    received = source_time = 0
    due = {}
    for source, records, later, source_later, ahead in zip(*index["runs"], strict=True):
        received, source_time, first = received + later, source_time + source_later, due.get(source, 0) + ahead
        due[source] = first + records
        yield from ((received, source_time, source, first + n) for n in range(records))


def segments_of(shard, segment, position, payload):
    """Give (segment, first position, bodies, root) by the page; None for the bodies and root of a deleted segment."""
    (size,) = struct.unpack_from(">I", payload)
    index = json.loads(zlib.decompress(payload[4 : 4 + size]))
    nodes = sum(-(-count // 256) for count, kept, _ in index["segments"] if kept and count > 256)
    erased = [at for first, count in index["erased"] for at in range(first, first + count)]
    at = 4 + size + 32 * nodes
    commitments = {offset: payload[at + 32 * n :][:32] for n, offset in enumerate(erased)}
    bodies, headers = records_of(index, payload, at + 32 * len(erased)), headers_of(index)
    offset = 0
    for number, (count, kept, seeds) in enumerate(index["segments"]):
        first = position + offset
        if not kept:
            yield segment + number, first, None, None
        else:
            salts, found, leaves = salts_of(seeds), [], []
            for n in range(count):
                body = None if offset + n in commitments else next(bodies)
                committed = commitments[offset + n] if body is None else sha256(salts[n] + body).digest()
                found.append(body)
                leaves.append(leaf(shard, first + n, *next(headers), committed))
            assert not [n for n in range(count) if offset + n in commitments and n in salts]
            yield segment + number, first, found, mth(leaves).hex()
        offset += count


def test_the_packed_vector_of_the_document_is_what_it_says():
    """Whoever follows the page reads the records and arrives at the root; the entries name what is missing."""
    vector = json.loads(DOCUMENT.read_text().split("```json")[2].split("```")[0])
    ((kind, segment, position, count, payload, signed, mac),) = frames_of(bytes.fromhex(vector["frame"]))
    assert (kind, count, sha256(signed).digest()) == (0x5A, 5, mac)
    found = list(segments_of(vector["shard"], segment, position, payload))
    for (number, first, bodies, root), stated in zip(found, vector["segments"], strict=True):
        assert (number, first) == (stated["segment"], stated["first"])
        assert (bodies and [body if body is None else body.hex() for body in bodies]) == stated["records"]
        assert root == stated.get("root")
    assert [decode(entry.encode()).encode().decode() for entry in vector["entries"]] == vector["entries"]


def test_a_second_reading_of_a_packed_ledger_arrives_at_its_manifests(filled):
    """From the packed frames and the log alone: every root of every segment."""
    with filled.writer() as writer:
        writer._begin_volume("full")
    compact(filled.ledger, 0)
    log = TileReader(filled.ledger / "shard-0000/log")
    entries = [json.loads(entry) for entry in log.entries(0, int(log.checkpoint().split("\n")[1]))]
    roots = {entry["segment"]: (entry["first"], entry["root"]) for entry in entries if entry["kind"] == "segment"}
    found = {}
    for kind, segment, position, _, payload, *_ in frames_of(filled.events()[0].read_bytes()):
        if kind == 0x5A:
            for number, first, bodies, root in segments_of(0, segment, position, payload):
                found[number] = first, root
                assert None not in bodies
    assert found == roots
