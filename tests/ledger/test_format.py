"""The format's document: its vectors, and a reading of a real ledger, by code that shares nothing with the product."""

import base64
import hmac
import json
import struct
import zlib
from hashlib import sha256, sha512
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError
from watchbill.ledger import verify_ledger
from watchbill.ledger.cosign import Cosigner
from watchbill.ledger.keys import NamedKeys
from watchbill.ledger.manifest import key_entry, open_key_entry
from watchbill.ledger.note import Verifier, public_bytes

DOCUMENT = Path(__file__).parents[2] / "docs" / "ledger-format.md"


def salt(seed, number):
    for shift in (10, 8, 6, 4, 2, 0):
        seed = sha512(b"\x02" + seed).digest()[16 * (number >> shift & 3) :][:16]
    return seed


def leaf(shard, position, received, source_time, source, sequence, commitment):
    header = struct.pack(">BQQqqIQ", 1, shard, position, received, source_time, source, sequence)
    return sha256(b"\0" + header + commitment).digest()


def mth(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def test_the_vectors_of_the_document_are_what_it_says():
    """Whoever follows the page arrives at its figures."""
    vector = json.loads(DOCUMENT.read_text().split("```json")[1].split("```")[0])
    seed = bytes.fromhex(vector["seed"])
    assert [salt(seed, n).hex() for n in range(3)] == vector["salts"]
    assert salt(seed, 4095).hex() == vector["salt 4095"]
    records = map(bytes.fromhex, vector["records"])
    commitments = [sha256(salt(seed, n) + record).digest() for n, record in enumerate(records)]
    assert [commitment.hex() for commitment in commitments] == vector["commitments"]
    at = enumerate(zip(vector["headers"], commitments, strict=True), vector["first"])
    leaves = [leaf(vector["shard"], position, *header, commitment) for position, (header, commitment) in at]
    assert [found.hex() for found in leaves] == vector["leaves"]
    assert mth(leaves).hex() == vector["root"]


def frames_of(data):
    at = 0
    while at < len(data):
        magic, kind, version, length, segment, position, count, check = struct.unpack_from(">2sBBIQQII", data, at)
        assert (magic, version, check) == (b"WB", 1, zlib.crc32(data[at : at + 28]))
        end = at + 32 + length
        yield kind, segment, position, count, data[at + 32 : end], data[at:end], data[end : end + 32]
        at = end + 32


def group_leaves(payload, count):
    runs, lost = struct.unpack_from(">II", payload)
    heads = []
    for n in range(runs):
        source, many, received, source_time, sequence = struct.unpack_from(">IIqqQ", payload, 8 + 32 * n)
        heads += [(received, source_time, source, sequence + k) for k in range(many)]
    at = 8 + 32 * runs + lost
    lengths = struct.unpack_from(f">{count}I", payload, at)
    at += 4 * count
    for head, length in zip(heads, lengths, strict=True):
        yield head, payload[at : at + length]
        at += length


def test_a_second_reading_of_a_ledger_arrives_at_the_signed_head(filled):
    """From the frames alone, by the page alone: every root, the chain of manifests, and the checkpoint's head."""
    entries, open_segments, previous = [], {}, ""
    for kind, segment, position, count, payload, _, _ in frames_of(filled.events()[0].read_bytes()):
        if kind == 0x47:
            open_segments.setdefault(segment, (position, []))[1].extend(group_leaves(payload, count))
        elif kind == 0x45:
            entries.append(payload)
        elif kind == 0x53:
            size, seeds, _ = struct.unpack_from(">IHH", payload)
            manifest = json.loads(payload[8 : 8 + size])
            seed = payload[8 + size + 3 :][:16]
            first, records = open_segments.pop(segment)
            leaves = [
                leaf(0, first + n, *head, sha256(salt(seed, n) + raw).digest()) for n, (head, raw) in enumerate(records)
            ]
            assert (seeds, manifest["root"], manifest["previous"]) == (1, mth(leaves).hex(), previous)
            entries.append(payload[8 : 8 + size])
            previous = sha256(b"\0" + entries[-1]).hexdigest()
    _, size, root = (filled.ledger / "shard-0000/log/checkpoint").read_text().split("\n")[:3]
    assert int(size) == len(entries)
    assert base64.b64decode(root) == mth([sha256(b"\0" + entry).digest() for entry in entries])


def test_the_tail_is_under_the_key_that_the_page_describes(place):
    """The MACs of an unsealed segment follow from the tail's key file."""
    writer = place.writer()
    source = writer.source("web-01", "http")
    for n in range(3):
        writer.append(source, [b"%d" % n], 1)
        writer.commit()
    segment, key = struct.unpack_from(">Q32s", (place.keys / "tail-0000.key").read_bytes())
    mac = bytes(32)
    groups = [frame for frame in frames_of(place.events()[0].read_bytes()) if frame[0] == 0x47]
    for *_, signed, found in groups:
        mac = hmac.digest(key, mac + signed, "sha256")
        assert mac == found
    assert (segment, len(groups)) == (0, 3)
    writer.close()
    after = struct.unpack_from(">Q32s", (place.keys / "tail-0000.key").read_bytes())
    assert after == (1, sha256(b"watchbill tail key\n" + key).digest())


def test_a_rotation_entry_needs_the_root_and_the_old_key():
    """A new log key counts only if the root and the key before it signed for it."""
    root, old, new, other = (Ed25519PrivateKey.generate() for _ in range(4))
    verifier = Verifier("watchbill-root", public_bytes(root))
    fresh, first = public_bytes(new), public_bytes(old)
    second = b"s" * 1312
    entry = key_entry("log", root, verifier.key, NamedKeys(fresh, second), old)
    assert open_key_entry(entry, verifier, "log", first) == (fresh, second)
    for wrong in (
        key_entry("log", other, verifier.key, NamedKeys(fresh), old),
        key_entry("log", root, verifier.key, NamedKeys(fresh), other),
        key_entry("log", root, verifier.key, NamedKeys(fresh), None),
        key_entry("other", root, verifier.key, NamedKeys(fresh), old),
        key_entry("log", root, verifier.key, NamedKeys(fresh, b"short"), old),
        entry.replace(b'"v":1', b'"v":2'),
        b'{"kind":"retention"}',
        b"[]",
    ):
        with pytest.raises(ValueError):
            open_key_entry(wrong, verifier, "log", first)


def test_a_log_key_that_was_exchanged_is_refused(place):
    """A writer does not sign with a key that the log does not name."""
    with place.writer() as writer:
        writer.append(writer.source("web-01", "http"), [b"a"], 1)
        place.clock.advance(SECOND)
    (place.keys / "log.key").unlink()
    with pytest.raises(LedgerError, match="no signature by"):
        place.writer()
    assert verify_ledger(place.ledger, keys=place.keys).ok


def test_the_documents_cosignatures_are_what_it_says():
    """Key ids, messages and the Ed25519 line follow from the page; the product agrees."""
    blocks = [json.loads(block.split("```")[0]) for block in DOCUMENT.read_text().split("```json")[1:]]
    (vector,) = [block for block in blocks if "message 6" in block]
    seed, name, text = bytes.fromhex(vector["seed"]), vector["name"].encode(), vector["text"].encode()
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    key_id = sha256(name + b"\n\x04" + public).digest()[:4]
    assert vector["vkey 4"] == f"{vector['name']}+{key_id.hex()}+{base64.b64encode(bytes([4]) + public).decode()}"
    signature = key.sign(b"cosignature/v1\ntime %d\n" % vector["time"] + text)
    body = base64.b64encode(key_id + struct.pack(">Q", vector["time"]) + signature).decode()
    assert vector["line 4"] == f"\N{EM DASH} {vector['name']} {body}\n"
    second = MLDSA44PrivateKey.from_seed_bytes(seed)
    public = second.public_key().public_bytes_raw()
    assert sha256(name + b"\n\x06" + public).hexdigest()[:8] == vector["key id 6"]
    origin, size, root = text.split(b"\n")[:3]
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + struct.pack(">Q", vector["time"])
    message += bytes([len(origin)]) + origin + struct.pack(">QQ", 0, int(size)) + base64.b64decode(root)
    assert message.hex() == vector["message 6"]
    stamped = struct.pack(">Q", vector["time"]) + second.sign(message)
    assert Cosigner(vector["name"], 6, public).verify(vector["text"], stamped) == vector["time"]
