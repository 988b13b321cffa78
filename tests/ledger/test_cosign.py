"""Cosignatures and consistency proofs, against what other implementations made (vectors/main.go)."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from watchbill.ledger import consistency, tree
from watchbill.ledger.consistency import RollbackError, follow
from watchbill.ledger.cosign import Cosigner, CosigningKey, cosignatures
from watchbill.ledger.note import Checkpoint, Verifier, open_note, public_bytes, sign
from watchbill.ledger.tiles import Log, TileReader

VECTORS = json.loads((Path(__file__).parent / "vectors" / "transparency.json").read_text())
ENTRIES = [b"entry %d" % n for n in range(70)]
CONSISTENCY = {f"{one['Old']}-{one['New']}": one for one in VECTORS["consistency"]}
INCLUSION = {f"{one['Old']}-{one['New']}": one for one in VECTORS["inclusion"]}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log")
    writer = Log(path)
    for entry in ENTRIES:
        writer.append(entry)
    writer.flush()
    return TileReader(path)


def root(size):
    return bytes.fromhex(VECTORS["roots"][size - 1]) if size else tree.EMPTY


@pytest.mark.parametrize("name", CONSISTENCY)
def test_consistency_proofs_are_those_of_another_implementation(log, name):
    """golang.org/x/mod/sumdb/tlog makes the same proofs, hash by hash, and its proofs hold here."""
    case = CONSISTENCY[name]
    proof = [bytes.fromhex(node) for node in case["Proof"]]
    assert consistency.prove(log, case["Old"], case["New"]) == proof
    consistency.check(case["Old"], root(case["Old"]), case["New"], root(case["New"]), proof)


@pytest.mark.parametrize("name", INCLUSION)
def test_inclusion_proofs_hold_the_hashes_of_another_implementation(log, name):
    """A range of one leaf needs the same hashes, spelled from left to right instead of from the leaf up."""
    case = INCLUSION[name]
    ours = tree.range_proof(case["Old"], case["Old"] + 1, case["New"], log.subtree)
    assert sorted(ours) == sorted(bytes.fromhex(node) for node in case["Proof"])
    found = tree.root_from_range(case["Old"], [tree.leaf_hash(ENTRIES[case["Old"]])], case["New"], ours)
    assert found == root(case["New"])


@given(st.integers(0, 70), st.integers(0, 70))
def test_any_two_sizes_of_a_log_are_proven(log, one, other):
    """From each size to each later one; the proof fits no other pair of heads."""
    old, new = sorted((one, other))
    proof = consistency.prove(log, old, new)
    consistency.check(old, root(old), new, root(new), proof)
    assert len(proof) <= consistency.LONGEST
    if 0 < old < new:
        for wrong in ((old, root(old - 1), new, root(new)), (old, root(old), new, root(new - 1))):
            with pytest.raises(ValueError):
                consistency.check(*wrong, proof)
        with pytest.raises(ValueError):
            consistency.check(old, root(old), new, root(new), proof[:-1])
        with pytest.raises(ValueError):
            consistency.check(old, root(old), new, root(new), [*proof, bytes(32)])


def test_a_note_cosigned_by_other_implementations_is_read():
    """The log's signature, a witness's Ed25519 line and an ML-DSA-44 line, all made elsewhere."""
    assert Checkpoint.parse(open_note(VECTORS["note"], Verifier.from_vkey(VECTORS["log_vkey"]))).root == root(70)
    known = [Cosigner.from_vkey(VECTORS["witness_vkey"]), Cosigner.from_vkey(VECTORS["mldsa_vkey"])]
    assert [key.vkey() for key in known] == [VECTORS["witness_vkey"], VECTORS["mldsa_vkey"]]
    found = cosignatures(VECTORS["note"], known)
    assert set(found) == set(known)
    assert all(seconds > 1_700_000_000 for seconds in found.values())


@pytest.mark.parametrize("key", [Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate()], ids=["ed25519", "mldsa"])
def test_a_cosignature_is_bound_to_text_time_and_name(key):
    """Each of them changed makes the signature wrong; lines of others are passed over."""
    text = Checkpoint("watchbill/00/0", 3, b"r" * 32).text()
    ours = CosigningKey("witness.example/w", key)
    line = ours.sign(text, 1_772_618_400)
    note = sign(text, "watchbill/00/0", Ed25519PrivateKey.generate()) + line
    assert cosignatures(note, [ours.cosigner]) == {ours.cosigner: 1_772_618_400}
    assert cosignatures(note, [Cosigner("other", *ours.cosigner[1:])]) == {}
    signature = __import__("base64").b64decode(line.split()[2])[4:]
    for wrong in (
        signature[:7] + b"\1" + signature[8:],
        signature[:-1] + bytes([signature[-1] ^ 1]),
        signature[:7],
        b"\xff" * 80,
    ):
        with pytest.raises(ValueError):
            ours.cosigner.verify(text, wrong)
    with pytest.raises(ValueError):
        ours.cosigner.verify(text.replace("\n3\n", "\n4\n"), signature)


@pytest.mark.parametrize("text", ["", "w", "w+00000000+", "w+00000000+BAAA", VECTORS["log_vkey"]])
def test_what_is_no_witness_key_is_refused(text):
    """A log's key (type 0x01) is none either."""
    with pytest.raises(ValueError):
        Cosigner.from_vkey(text)


def test_whoever_keeps_a_head_notices_that_the_log_went_back(log):
    """An agent's whole memory is one checkpoint: growth passes; a smaller log and another history do not."""
    key = Ed25519PrivateKey.generate()
    ours = Verifier("watchbill/00/0", public_bytes(key))

    def note(size, head=None):
        return sign(Checkpoint(ours.name, size, head or root(size)).text(), ours.name, key)

    held = follow(None, note(20), [], ours)
    held = follow(held, note(50), consistency.prove(log, 20, 50), ours)
    assert follow(held, note(50), [], ours) == held
    with pytest.raises(RollbackError, match="had 50 entries and now shows 49"):
        follow(held, note(49), [], ours)
    with pytest.raises(RollbackError, match="another history"):
        follow(held, note(50, b"x" * 32), [], ours)
    with pytest.raises(RollbackError, match="another history"):
        follow(held, note(60, b"x" * 32), consistency.prove(log, 50, 60), ours)
    with pytest.raises(ValueError, match="no signature"):
        follow(held, note(50), [], Verifier(ours.name, bytes(32)))
