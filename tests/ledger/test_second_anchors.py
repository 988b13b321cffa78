"""The second verifier on what others said of a log, and on single records: it agrees with ours, tampered or not."""

from __future__ import annotations

import base64
import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
from attested import SHARD, Attested, attest
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from test_deletions import carry_out, erasure
from test_guarantees import EVER, WAYS, members, put_back, steal, write_members
from test_timestamps import KEYS

from authority import Authority
from watchbill.core.errors import LedgerError
from watchbill.ledger import anchors, export_bundle, rotation, verify_bundle, verify_ledger, verify_record
from watchbill.ledger.compaction import compact
from watchbill.ledger.cosign import CosigningKey
from watchbill.ledger.keys import fingerprint, open_private, open_root_public
from watchbill.ledger.note import Checkpoint
from watchbill.ledger.proof import prove_record
from watchbill.ledger.trusted import Trusted

VECTORS = Path(__file__).parent / "vectors" / "attested"


@pytest.fixture(scope="module")
def tsa(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def shown(new_place, tmp_path_factory, tsa):
    """A ledger that no test changes, a bundle of it and a record."""
    folder = tmp_path_factory.mktemp("shown")
    made = attest(new_place(), folder, tsa)
    made.witness.close()
    export_bundle(made.place.ledger, made.place.keys, folder / "bundle.zip", 0, EVER)
    (folder / "record.json").write_text(json.dumps(prove_record(made.place.ledger, made.place.keys, 0, 25)))
    return made, folder


@pytest.fixture
def own(place, tmp_path, tsa):
    made = attest(place, tmp_path, tsa)
    yield made
    made.witness.close()


def root_of(made: Attested) -> str:
    return fingerprint(open_root_public(made.place.keys).key)


def ours(path: Path, root: str | None, held: Path) -> tuple[int, dict]:
    """The exit code of ours, and who vouches for how much."""
    trusted = Trusted.load(held)
    try:
        if path.is_dir():
            report = verify_ledger(path, root_fingerprint=root, trusted=trusted)
        elif path.suffix == ".json":
            report = verify_record(path, root, trusted)
        else:
            report = verify_bundle(path, root, trusted)
    except LedgerError:
        return 2, {}
    seen = {
        kind: sorted([one.by, one.size, one.at] for shard in report.shards for one in getattr(shard, kind))
        for kind in ("witnessed", "stamped", "held")
    }
    return 0 if report.ok and not report.unproven else 3 if report.ok else 1, seen


def agree(second, path: Path, made: Attested, held: Path | None = None) -> int:
    """Both end with the same code; where nothing is wrong both saw the same of the same."""
    root, held = root_of(made), held or made.held
    code, seen = ours(path, root, held)
    theirs = second(path, "-root-fpr", root, "-anchors", str(held))
    assert theirs["code"] == code, (code, seen, theirs)
    if code in {0, 3}:
        found = {
            kind: sorted([one["by"], one["size"], one["at"]] for one in theirs[kind])
            for kind in ("witnessed", "stamped", "held")
        }
        assert found == seen
    return code


@pytest.mark.parametrize("name", ["bundle", "record"])
def test_both_give_what_is_stored_beside_the_vectors(second, name):
    """Rotated keys, a witness, an authority and an earlier checkpoint: who saw how much."""
    path = next(VECTORS.glob(f"{name}.[zj]*"))
    root = (VECTORS / "root-fingerprint").read_text().strip()
    theirs = second(path, "-root-fpr", root, "-anchors", str(VECTORS / "held"))
    stored = json.loads((VECTORS / f"{name}.expected.json").read_text())
    (shard,) = stored["shards"]
    assert (theirs["ok"], theirs["events"], theirs["root"]) == (True, stored["events"], root)
    for kind in ("witnessed", "stamped", "held"):
        assert theirs[kind] == shard[kind]
    assert len(theirs["unproven"]) == len(stored["unproven"])
    assert theirs["not_shown"] == []


def test_both_prove_all_of_what_is_shown(second, shown):
    """The ledger, a bundle and a record; without an auditor's folder nothing is claimed of others."""
    made, folder = shown
    for path in (made.place.ledger, folder / "bundle.zip", folder / "record.json"):
        assert agree(second, path, made) == 0
        alone = second(path)
        assert (alone["code"], alone["witnessed"], alone["stamped"], alone["held"]) == (0, [], [], [])
        assert any("nothing was given to compare with" in said for said in alone["not_shown"])


@pytest.mark.parametrize("kind", KEYS)
def test_both_read_stamps_of_every_kind_of_key(second, place, tmp_path, kind):
    """P-256, P-384 and RSA; certificates named by SHA-256 and, as of old, by SHA-1."""
    made = attest(place, tmp_path, Authority(tmp_path / "tsa", KEYS[kind], "sha1" if kind == "rsa" else "sha256"))
    made.witness.close()
    assert agree(second, made.place.ledger, made) == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "root.pem").write_bytes(Authority(tmp_path / "another").root.read_bytes())
    assert agree(second, made.place.ledger, made, other) == 3


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("way", WAYS)
def test_both_find_the_same_in_a_tampered_bundle(second, shown, tmp_path, way):
    """Every row of the guarantee table, with what the auditor holds."""
    made, folder = shown
    change, expected = WAYS[way]
    bundle = Path(shutil.copy(folder / "bundle.zip", tmp_path))
    found = members(bundle)
    if change is None:
        with zipfile.ZipFile(bundle, "a") as archive:
            archive.writestr(f"{SHARD}/frames", b"")
    else:
        change(found)
        write_members(bundle, found)
    assert agree(second, bundle, made) == expected


def anchor_changes():
    """Ways to change one anchor of a list."""

    def note(at):
        def change(item):
            lines = item["note"].splitlines(keepends=True)
            raw = bytearray(base64.b64decode(lines[at].split()[-1]))
            raw[-9] ^= 4
            lines[at] = " ".join([*lines[at].split()[:-1], base64.b64encode(raw).decode()]) + "\n"
            return {**item, "note": "".join(lines)}

        return change

    def tokens(pattern, offset):
        """Flip a bit that something signed covers: so many bytes from the end of what matches."""

        def change(item):
            changed = {}
            for name, token in item["tokens"].items():
                raw = bytearray(base64.b64decode(token))
                raw[next(re.finditer(pattern, raw, re.DOTALL)).end() - offset] ^= 1
                changed[name] = base64.b64encode(raw).decode()
            return {**item, "tokens": changed}

        return change

    return {
        "head": note(2), "log's signature": note(4), "last line": note(-1),
        "proof longer": lambda item: {**item, "proof": [*item["proof"], base64.b64encode(bytes(32)).decode()]},
        "a text alone": lambda item: {**item, "note": item["note"].partition("\n\n")[0] + "\n"},
        "no note": lambda item: {**item, "note": ""},
        "stamped digest": tokens(rb"\x04\x20.{32}", 3), "stamped time": tokens(rb"\x18\x0f\d{14}Z", 2),
        "certificate's name": tokens(rb"\x0c\x03tsa", 1), "certificate's end": tokens(rb"\x17\x0d\d{12}Z\x17\x0d\d{12}Z", 2),
        "signed digest": tokens(rb"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04\x31\x22\x04\x20.{32}", 1), "token's signature": tokens(rb"\Z", 5),
    }  # fmt: skip


@pytest.mark.parametrize("way", anchor_changes())
@pytest.mark.parametrize("name", ["bundle.zip", "record.json"])
def test_both_find_the_same_in_tampered_anchors(second, shown, tmp_path, name, way):
    """Kept heads, cosignatures, proofs of extension and tokens, in a bundle and beside a record."""
    made, folder = shown
    change = anchor_changes()[way]
    path = Path(shutil.copy(folder / name, tmp_path))
    if name == "record.json":
        body = json.loads(path.read_text())
        before, body["anchors"] = body["anchors"], [change(one) for one in body["anchors"]]
        path.write_text(json.dumps(body))
        after = body["anchors"]
    else:
        found = members(path)
        before = json.loads(found[f"{SHARD}/anchors.json"])
        after = [change(one) for one in before]
        found[f"{SHARD}/anchors.json"] = json.dumps(after).encode()
        write_members(path, found)
    assert before
    assert after != before
    assert agree(second, path, made) in {1, 3}


FIELDS = {
    "record": lambda value: base64.b64encode(base64.b64decode(value) + b"!").decode(),
    "salt": lambda value: "00" + value[2:] if value[:2] != "00" else "11" + value[2:],
    "manifest": lambda value: {**value, "index": value["index"] - 1},
    "proof": lambda value: value[1:],
    "entries": lambda value: value[1:],
    "checkpoint": lambda value: value.replace("\n4\n", "\n5\n"),
    "root": lambda value: value[:-3] + ("A" if value[-3] != "A" else "B") + value[-2:],
    **{
        name: lambda value: value + 1 for name in ("shard", "position", "received", "source_time", "source", "sequence")
    },
}


@pytest.mark.parametrize("field", FIELDS)
def test_both_find_a_changed_record(second, shown, tmp_path, field):
    """Every field of a proof is bound."""
    made, folder = shown
    body = json.loads((folder / "record.json").read_text())
    changed = {**body, field: FIELDS[field](body[field])}
    assert changed != body
    path = tmp_path / "record.json"
    path.write_text(json.dumps(changed))
    assert ours(path, root_of(made), made.held)[0] in {1, 2}
    assert second(path, "-root-fpr", root_of(made))["code"] in {1, 2}


def test_both_read_a_record_that_was_erased(second, own, tmp_path):
    """Its commitment stands for it while an entry names it; without the entry it is damage."""
    carry_out(own.place, erasure((25, 2)))
    compact(own.place.ledger, 0)
    own.cosign()
    own.stamp()
    path = tmp_path / "gone.json"
    for position, code in ((25, 0), (27, 0)):
        body = prove_record(own.place.ledger, own.place.keys, 0, position)
        assert (body["record"] is None) == (position == 25)
        path.write_text(json.dumps(body))
        assert agree(second, path, own) == code
    assert second(path)["deleted"] == 0
    path.write_text(json.dumps({**body, "record": None}))
    assert agree(second, path, own) == 1


def test_both_read_a_witness_of_the_second_kind(second, own, tmp_path):
    """ML-DSA-44 cosignatures; one flipped bit of one makes the note wrong."""
    key = CosigningKey("pq.example/w", MLDSA44PrivateKey.generate())
    (own.held / "pq").write_text(key.cosigner.vkey() + "\n")
    assert agree(second, own.place.ledger, own) == 3  # it has not cosigned yet
    note = own.note()
    line = key.sign(note.partition("\n\n")[0] + "\n", own.place.clock.now() // 10**9)
    anchors.keep_cosigned(own.shard, anchors.merged(note + line, anchors.cosigned(own.shard)))
    assert agree(second, own.place.ledger, own) == 0
    kept = own.shard / "anchors" / "cosigned"
    whole = kept.read_text()
    signature = bytearray(base64.b64decode(line.split()[-1]))
    for at in (6, 12, 40, 900, 2300, 2360, len(signature) - 1):
        signature[at] ^= 8
        kept.write_text(whole.replace(line.split()[-1], base64.b64encode(signature).decode()))
        assert agree(second, own.place.ledger, own) == 1, at
        signature[at] ^= 8


def test_both_compare_with_what_an_auditor_kept(second, own, tmp_path):
    """An earlier checkpoint is extended (with its proof), is older, or is of another history."""
    (own.held / "mine").write_text(own.note())
    assert agree(second, own.place.ledger, own) == 0
    early = tmp_path / "early"
    early.mkdir()
    steal(own, early)
    old = Checkpoint.parse(own.note())
    own.write(b"for the first auditor")
    own.cosign()
    own.stamp()
    with_proof, without = tmp_path / "with.zip", tmp_path / "without.zip"
    export_bundle(own.place.ledger, own.place.keys, with_proof, 0, EVER, held=[old])
    shutil.rmtree(own.shard / "anchors")
    export_bundle(own.place.ledger, own.place.keys, without, 0, EVER)
    assert agree(second, with_proof, own) == 0
    assert agree(second, without, own) == 3
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy(with_proof, theirs)
    assert agree(second, own.place.ledger, own, theirs) == 0
    put_back(own, early)
    assert agree(second, own.place.ledger, own, theirs) == 1  # cut back
    own.write(b"for the second auditor")
    assert agree(second, own.place.ledger, own, theirs) == 1  # another history
    split = tmp_path / "split.zip"
    export_bundle(own.place.ledger, own.place.keys, split, 0, EVER)
    assert agree(second, split, own, theirs) == 1


def test_both_let_cosignatures_from_before_a_rotation_count(second, own, tmp_path):
    """The kept head is signed by the key of that time."""
    asked = rotation.request(own.place.ledger, own.place.keys)
    rotation.apply(
        own.place.ledger, own.place.keys, rotation.sign_request(asked, open_private(own.place.keys / "root.key"))
    )
    own.write()
    assert rotation.finish(own.place.ledger, own.place.keys)
    bundle = tmp_path / "rotated.zip"
    export_bundle(own.place.ledger, own.place.keys, bundle, 0, EVER)
    assert agree(second, bundle, own) == 3  # the newest entries were cosigned by nobody yet
    assert agree(second, own.place.ledger, own) == 0
    found = members(bundle)
    items = json.loads(found[f"{SHARD}/keys.json"])
    found[f"{SHARD}/keys.json"] = json.dumps(items[1:]).encode()
    write_members(bundle, found)
    assert agree(second, bundle, own) == 1
