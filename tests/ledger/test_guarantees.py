"""The table of guarantees: each row is detected by whom docs/ledger.md says, and what nobody can detect is shown, too.

The verifier here is the single file, run by an interpreter that has nothing but ``cryptography``.
"""

import base64
import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import cffi
import cryptography
import pytest
from attested import SHARD, attest

from authority import Authority
from watchbill.core.clock import SECOND
from watchbill.core.errors import LedgerError, NotFoundError
from watchbill.ledger import (
    anchors,
    export_bundle,
    frames,
    prove_record,
    rotation,
    standalone,
    verify_bundle,
    verify_ledger,
    verify_record,
)
from watchbill.ledger.frames import Kind
from watchbill.ledger.keys import fingerprint, open_private, open_root_public
from watchbill.ledger.note import Checkpoint, sign, unb64
from watchbill.ledger.segment import decode_group
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.trusted import Trusted

EVER = 1 << 62


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """An empty environment with ``cryptography`` alone, and the verifier in it."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    for module in (cryptography, cffi):
        (site / module.__name__).symlink_to(Path(module.__file__).parent)
    for path in Path(cffi.__file__).parents[1].glob("_cffi_backend*"):
        (site / path.name).symlink_to(path)
    script = folder / "watchbill-verify.py"
    script.write_text(standalone.source())

    driver = folder / "driver.py"
    driver.write_text(_DRIVER)
    process = subprocess.Popen(
        [python, "-I", driver, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    )

    def run(*words):
        process.stdin.write(json.dumps([*map(str, words), "--json"]) + "\n")
        process.stdin.flush()
        code, out, error = json.loads(process.stdout.readline())
        return code, json.loads(out) if out else error

    yield run
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


#: Runs the file again and again as a program: one start of the interpreter for all tests.
_DRIVER = """
import contextlib, io, json, runpy, sys
for line in sys.stdin:
    sys.argv = [sys.argv[0] if len(sys.argv) < 2 else sys.argv[1], *json.loads(line)]
    script, out, error = sys.argv[0], io.StringIO(), io.StringIO()
    sys.meta_path = [one for one in sys.meta_path if type(one).__name__ != "_Modules"]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, out.getvalue(), error.getvalue()]), flush=True)
    sys.argv = ["", script]
"""


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture
def attested(place, tmp_path, authority):
    made = attest(place, tmp_path, authority)
    yield made
    made.witness.close()


@pytest.fixture(scope="module")
def whole(new_place, tmp_path_factory, authority):
    """One that no test changes, and a bundle of it."""
    folder = tmp_path_factory.mktemp("whole")
    made = attest(new_place(), folder, authority)
    made.witness.close()
    return made, exported(made, folder / "bundle.zip")


@pytest.fixture
def bundle(whole, tmp_path):
    return Path(shutil.copy(whole[1], tmp_path))


def exported(attested, out, start=0, end=EVER, **kinds):
    export_bundle(attested.place.ledger, attested.place.keys, out, start, end, **kinds)
    return out


def root_of(attested):
    return fingerprint(open_root_public(attested.place.keys).key)


def test_the_single_file_is_the_very_same_code(alone):
    """Each module stands in it as it is in the package, in an order that needs nothing from below; --help works alone."""
    text = standalone.source()
    for name in standalone.modules():
        path = Path(sys.modules["watchbill"].__file__).parent.joinpath(*name.split(".")[1:]).with_suffix(".py")
        assert path.read_text().replace("from __future__ import annotations\n", "", 1) in text
    assert not {"watchbill.ledger.writer", "watchbill.ledger.token", "watchbill.ledger.reader"} & set(
        standalone.modules()
    )
    code, said = alone("/nowhere/bundle.zip")
    assert (code, "there is no file" in said) == (2, True)


def test_a_whole_bundle_is_proven_by_the_file_alone(alone, whole, bundle):
    """With fingerprint, witness and authority: all of it, and who saw what when. Without them: what that does not show."""
    attested, _ = whole
    code, said = alone(bundle, "--root-fpr", root_of(attested), "--anchors", attested.held)
    assert (code, said["complete"], said["unproven"]) == (0, True, [])
    (shard,) = said["shards"]
    assert (shard["witnessed"][0]["by"], shard["stamped"][0]["by"]) == ("witness.example/w", "tsa")
    assert shard["witnessed"][0]["size"] == shard["log_size"] == 4
    code, said = alone(bundle)
    assert code == 0
    assert any("no witness was asked" in point for point in said["open_points"])
    assert alone(bundle, "--root-fpr", "00")[0] == 1


def test_the_ledger_itself_is_proven_by_the_file_alone(alone, whole):
    """On the machine, with the same file and the same anchors."""
    attested, _ = whole
    code, said = alone(
        "--data", attested.place.ledger.parent, "--root-fpr", root_of(attested), "--anchors", attested.held
    )
    assert (code, said["findings"], said["unproven"]) == (0, [], [])


# -- bundles tampered with, one way after the other ------------------------------------------------------------------


def members(bundle):
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(bundle, found):
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, data in found.items():
            archive.writestr(name, data)


def parts(data):
    """Split the frames' bytes."""
    found, at = [], 0
    while at < len(data):
        header = frames.decode_header(data[at : at + 32], 0)
        found.append((header.kind, data[at : at + header.end]))
        at += header.end
    return found


def in_frames(change):
    def tamper(found):
        name = f"{SHARD}/frames"
        found[name] = b"".join(data for _, data in change(parts(found[name])))

    return tamper


def in_member(name, change):
    def tamper(found):
        found[f"{SHARD}/{name}"] = change(found[f"{SHARD}/{name}"])

    return tamper


def first(found, kind, number=0):
    return [at for at, (each, _) in enumerate(found) if each == kind][number]


def back_dated(found):
    at = first(found, Kind.GROUP, 1)
    kind, data = found[at]
    group = decode_group(data[32:-32], frames.decode_header(data[:32], 0).records)
    old = group.runs[0].received
    changed = data.replace(old.to_bytes(8, "big"), (old - 3600 * SECOND).to_bytes(8, "big"))
    return [*found[:at], (kind, changed), *found[at + 1 :]]


def moved(found, take, put):
    rest = [one for one in found if one is not found[take]]
    return [*rest[:put], found[take], *rest[put:]]


def without_segment(found):
    group, seal = first(found, Kind.GROUP, 2), first(found, Kind.SEAL, 1)
    return [one for at, one in enumerate(found) if at not in {group, seal}]


def erased(found):
    """The bytes of a record go, its commitment stays, and no entry of the log says so."""
    from hashlib import sha256

    from watchbill.ledger.packing import Sealed, encode

    at = first(found, Kind.GROUP, 1)
    data = found[at][1]
    header = frames.decode_header(data[:32], 0)
    group = decode_group(data[32:-32], header.records)
    seal_at = first(found, Kind.SEAL, 1)
    from watchbill.ledger import salts
    from watchbill.ledger.manifest import Manifest, Seal

    seal = Seal.decode(found[seal_at][1][32:-32])
    manifest = Manifest.decode(seal.manifest)
    bodies = list(group.bodies(0, header.records))
    known = salts.expand(seal.seeds, len(bodies))
    gone = {3: sha256(known[3] + bodies[3]).digest()}
    bodies[3] = None
    seeds = salts.puncture(seal.seeds, gone)
    packed = encode(
        2, [Sealed(manifest.segment, manifest.first, manifest.count, group.runs, bodies, gone, seeds, seal.nodes)]
    )
    return [*found[:at], (Kind.PACKED, packed), *found[seal_at + 1 :]]


def forged(found):
    """A checkpoint of another key, under the same name."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    text = found[f"{SHARD}/checkpoint"].decode().partition("\n\n")[0] + "\n"
    found[f"{SHARD}/checkpoint"] = sign(text, text.partition("\n")[0], Ed25519PrivateKey.generate()).encode()


def flipped_token(found):
    name = f"{SHARD}/anchors.json"
    items = json.loads(found[name])
    for item in items:
        for key, token in item["tokens"].items():
            raw = bytearray(unb64(token))
            raw[-3] ^= 1
            item["tokens"][key] = base64.b64encode(bytes(raw)).decode()
    found[name] = json.dumps(items).encode()


def without_witness(found):
    """Wherever the witness's line stands."""
    for name in (f"{SHARD}/checkpoint", f"{SHARD}/anchors.json"):
        lines = found[name].replace(b"\\n", b"\n").splitlines(keepends=True)
        kept = b"".join(line for line in lines if b"witness.example" not in line)
        found[name] = kept if name.endswith("checkpoint") else kept.replace(b"\n", b"\\n")


WAYS = {
    "bit flip": (in_member("frames", lambda data: data.replace(b"segment 1 7", b"segment 1 8", 1)), 1),
    "record deleted": (in_frames(lambda found: found[:2] + found[3:]), 1),
    "record inserted": (in_frames(lambda found: [*found[:3], found[2], *found[3:]]), 1),
    "reordered": (in_frames(lambda found: moved(found, 1, 3)), 1),
    "back-dated": (in_frames(back_dated), 1),
    "truncated": (in_frames(lambda found: found[:-2]), 1),
    "replayed": (in_frames(lambda found: found + found[1:3]), 1),
    "missing segment": (in_frames(without_segment), 1),
    "erased without entry": (in_frames(erased), 1),
    "manifest changed": (in_member("entries", lambda data: data.replace(b'"count":20', b'"count":19', 1)), 1),
    "forged checkpoint": (forged, 1),
    "smaller checkpoint": (in_member("checkpoint", lambda data: data.replace(b"\n4\n", b"\n3\n")), 1),
    "no second signature": (in_member("checkpoint", lambda data: b"".join(line for line in data.splitlines(keepends=True) if len(line) < 1000)), 1),
    "other key entry": (in_member("keys.json", lambda data: data.replace(b'"index":0', b'"index":1')), 1),
    "cosignature changed": (in_member("checkpoint", lambda data: data[:-12] + b"AAAA" + data[-8:]), 1),
    "cosignature taken away": (without_witness, 3),
    "token changed": (flipped_token, 3),
    "anchors taken away": (in_member("anchors.json", lambda _: b"[]"), 3),
    "anchor of another history": (in_member("anchors.json", lambda data: data.replace(b"\\n4\\n", b"\\n3\\n")), 1),
    "a name twice": (None, 2),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("way", WAYS)
def test_a_tampered_bundle_is_found_by_the_file_alone(alone, whole, bundle, way):
    """Every row: 1 for what contradicts, 3 for what was taken away of what the auditor asks for, 2 for no bundle at all."""
    change, expected = WAYS[way]
    attested, _ = whole
    found = members(bundle)
    if change is None:
        write_members(bundle, found)
        with zipfile.ZipFile(bundle, "a") as archive:
            archive.writestr(f"{SHARD}/frames", b"")
    else:
        before = dict(found)
        change(found)
        assert found != before
        write_members(bundle, found)
    code, said = alone(bundle, "--root-fpr", root_of(attested), "--anchors", attested.held)
    assert code == expected, said
    if expected == 1:
        assert SHARD in said["findings"][0]["place"] or "checkpoint" in said["findings"][0]["place"]


# -- whoever holds the machine and its keys --------------------------------------------------------------------------


def steal(attested, folder):
    """An intruder takes a copy of everything at this time."""
    shutil.copytree(attested.place.ledger, folder / "ledger")
    shutil.copytree(attested.place.keys, folder / "keys")


def put_back(attested, folder):
    shutil.rmtree(attested.place.ledger)
    shutil.copytree(folder / "ledger", attested.place.ledger)
    for path in attested.place.keys.glob("tail-*"):
        shutil.copy(folder / "keys" / path.name, path)


def test_a_stolen_key_is_worth_nothing_before_the_last_witnessed_size(alone, attested, tmp_path):
    """A history written anew from before a witnessed head: the witness refuses it, the auditor sees that it lacks."""
    early = tmp_path / "early"
    early.mkdir()
    steal(attested, early)
    attested.write(b"what the intruder did")
    attested.cosign()
    put_back(attested, early)
    attested.write(b"nothing happened")
    attested.write(b"nothing at all")
    with pytest.raises(ValueError, match=r"refused with (409|422)"):
        attested.cosign()
    shutil.rmtree(anchors.folder(attested.shard))
    forged_bundle = exported(attested, tmp_path / "forged.zip")
    assert verify_bundle(forged_bundle, root_of(attested)).ok  # by itself it is consistent: the key is the right one
    code, said = alone(forged_bundle, "--root-fpr", root_of(attested), "--anchors", attested.held)
    assert (code, "cosigned nothing" in said["unproven"][0]) == (3, True)


def test_a_ledger_that_was_cut_back_contradicts_what_is_kept(attested, tmp_path):
    """On the machine: what witnesses cosigned lies beside the log, and an auditor's own checkpoint lies elsewhere."""
    early = tmp_path / "early"
    early.mkdir()
    steal(attested, early)
    attested.write()
    attested.cosign()
    (attested.held / "mine").write_text(attested.note())
    kept = tmp_path / "kept"
    shutil.copytree(anchors.folder(attested.shard), kept)
    put_back(attested, early)
    assert verify_ledger(attested.place.ledger, keys=attested.place.keys).ok  # an old state is a whole state
    report = verify_ledger(attested.place.ledger, keys=attested.place.keys, trusted=Trusted.load(attested.held))
    assert any("cut back" in what for _, what in report.findings), report
    shutil.rmtree(anchors.folder(attested.shard))
    shutil.copytree(kept, anchors.folder(attested.shard))
    report = verify_ledger(attested.place.ledger, keys=attested.place.keys)
    assert any("cut back" in what for _, what in report.findings), report


def test_a_stolen_key_after_the_last_witnessed_size_is_not_detected_and_is_said(attested, tmp_path):
    """What came after the last cosignature can be written anew, until the next. The report names where that begins."""
    early = tmp_path / "early"
    early.mkdir()
    steal(attested, early)
    attested.write(b"what the intruder did")
    put_back(attested, early)
    attested.write(b"nothing happened")
    report = verify_ledger(attested.place.ledger, keys=attested.place.keys, trusted=Trusted.load(attested.held))
    assert report.ok
    assert any("saw the first 4 log entries, not those up to 5" in point for point in report.open_points)
    attested.cosign()  # and the witness never saw the other one
    assert verify_ledger(attested.place.ledger, keys=attested.place.keys, trusted=Trusted.load(attested.held)).ok


def test_a_split_view_is_seen_when_two_auditors_compare(alone, attested, tmp_path):
    """Each of the two bundles is proven alone; each contradicts the other's checkpoint."""
    early = tmp_path / "early"
    early.mkdir()
    steal(attested, early)
    attested.write(b"for the first auditor")
    one = exported(attested, tmp_path / "one.zip")
    put_back(attested, early)
    attested.write(b"for the second auditor")
    other = exported(attested, tmp_path / "other.zip")
    for bundle, theirs in ((one, other), (other, one)):
        assert alone(bundle, "--root-fpr", root_of(attested))[0] == 0
        held = tmp_path / f"held-{bundle.name}"
        held.mkdir()
        shutil.copy(theirs, held)
        code, said = alone(bundle, "--root-fpr", root_of(attested), "--anchors", held)
        assert (code, "another history" in said["findings"][0]["what"]) == (1, True)


def test_a_later_bundle_proves_that_it_extends_the_auditors_checkpoint(alone, attested, tmp_path):
    """With ``held`` (--since) the proof is in it; without, the auditor is told what to ask for."""
    old = attested.note()
    (attested.held / "last-year").write_text(old)
    for _ in range(3):
        attested.write()
    attested.cosign()
    attested.stamp()
    held = [Checkpoint.parse(old)]
    bundle = exported(attested, tmp_path / "new.zip", held=held)
    code, said = alone(bundle, "--anchors", attested.held)
    assert (code, said["shards"][0]["held"]) == (0, [{"by": "last-year", "size": 4, "at": 0}])
    attested.write()
    attested.cosign()
    attested.stamp()
    code, said = alone(exported(attested, tmp_path / "without.zip", 1, EVER), "--anchors", attested.held)
    assert (code, "--since" in said["unproven"][0]) == (3, True)


def test_a_rotation_is_proven_in_a_bundle(alone, attested, tmp_path):
    """The chain of keys leads from the root to the new one; cosignatures from before still count."""
    asked = rotation.request(attested.place.ledger, attested.place.keys)
    signed = rotation.sign_request(asked, open_private(attested.place.keys / "root.key"))
    rotation.apply(attested.place.ledger, attested.place.keys, signed)
    attested.write()
    assert rotation.finish(attested.place.ledger, attested.place.keys)
    bundle = exported(attested, tmp_path / "rotated.zip")
    code, said = alone(bundle, "--root-fpr", root_of(attested))
    assert code == 0, said
    found = members(bundle)
    items = json.loads(found[f"{SHARD}/keys.json"])
    assert len(items) == 2
    found[f"{SHARD}/keys.json"] = json.dumps(items[:1]).encode()
    write_members(bundle, found)
    assert alone(bundle)[0] == 1


# -- one record ------------------------------------------------------------------------------------------------------


@pytest.fixture
def proof(whole, tmp_path):
    attested, _ = whole
    path = tmp_path / "record.json"
    path.write_text(json.dumps(prove_record(attested.place.ledger, attested.place.keys, 0, 25)))
    return path


def test_one_record_is_proven_alone(alone, whole, proof):
    """A small file, with the same checks as a bundle."""
    attested, _ = whole
    code, said = alone(proof, "--root-fpr", root_of(attested), "--anchors", attested.held)
    assert (code, said["events"], said["unproven"]) == (0, 1, [])
    assert said["shards"][0]["first_position"] == 25
    assert base64.b64decode(json.loads(proof.read_text())["record"]) == b"record of segment 1 4"


@pytest.mark.parametrize(
    "key",
    [
        "record",
        "salt",
        "received",
        "source",
        "sequence",
        "position",
        "proof",
        "manifest",
        "checkpoint",
        "entries",
        "root",
        "shard",
    ],
)
def test_a_changed_record_is_not_proven(proof, key):
    """Each field is bound."""
    body = json.loads(proof.read_text())
    value = body[key]
    if key == "record":
        body[key] = base64.b64encode(b"record of segment 1 5").decode()
    elif key == "salt":
        body[key] = "00" * 16
    elif isinstance(value, int):
        body[key] = value + 1
    elif key == "manifest":
        body[key] = {**value, "index": value["index"] - 1}
    elif isinstance(value, list):
        body[key] = value[1:]
    elif key == "root":
        body[key] = value[:-3] + ("A" if value[-3] != "A" else "B") + value[-2:]
    else:
        body[key] = value.replace("\n4\n", "\n5\n")
    assert body[key] != value
    proof.write_text(json.dumps(body))
    try:
        assert not verify_record(proof).ok
    except LedgerError as error:  # a root that is no key is no proof at all
        assert "no record with its proof" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"kind":"watchbill record","v":1}',
        '{"kind":"watchbill record","v":1,"shard":0,"root":7}',
        "[" * 100_000,
    ],
)
def test_what_is_no_record_is_refused(tmp_path, text):
    """Exit code 2, no traceback."""
    from watchbill.cli.verify import main

    path = tmp_path / "x.json"
    path.write_text(text)
    assert main([str(path)]) == 2


def test_records_of_every_position_are_proven(whole, tmp_path):
    """Registrations (source 0) and the last one too; beyond the end there is none."""

    attested, _ = whole
    for position in (0, 1, 20, 21, 60):
        path = tmp_path / f"{position}.json"
        path.write_text(json.dumps(prove_record(attested.place.ledger, attested.place.keys, 0, position)))
        assert verify_record(path).ok
    with pytest.raises(NotFoundError):
        prove_record(attested.place.ledger, attested.place.keys, 0, 61)


# -- what an auditor holds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x\n\n— y AAAA\n"]
)
def test_a_folder_of_anchors_with_something_else_in_it_is_refused(tmp_path, text):
    """With the file's name: an anchor that is not understood must not be passed over."""
    from watchbill.cli.verify import main

    (tmp_path / "odd").write_text(text)
    with pytest.raises(Exception, match="odd"):
        Trusted.load(tmp_path)
    assert main(["--data", str(tmp_path), "--anchors", str(tmp_path / "missing")]) == 2


def test_a_checkpoint_kept_beside_the_log_must_be_its_own(attested):
    """Somebody else's note in the anchors' folder is told, not trusted."""
    note = attested.note()
    text = note.partition("\n\n")[0] + "\n"
    stranger = open_private(attested.held.parent / "stranger.key")
    anchors.keep_cosigned(attested.shard, sign(text, text.partition("\n")[0], stranger))
    report = verify_ledger(attested.place.ledger, keys=attested.place.keys)
    assert "not signed by a key of this log" in report.findings[0].what
    assert TileReader(attested.shard / "log").checkpoint() == note


def test_a_period_of_the_ledger_is_checked_alone(whole):
    """Files that do not touch it are left out, and the report says so."""
    attested, _ = whole
    report = verify_ledger(attested.place.ledger, keys=attested.place.keys, period=(0, 1))
    assert report.ok
    assert report.events == 0
    assert any("outside of the period" in point for point in report.open_points)
    now = attested.place.clock.now()
    assert verify_ledger(attested.place.ledger, keys=attested.place.keys, period=(now - 60 * SECOND, now)).events == 61


# -- vectors for other verifiers -------------------------------------------------------------------------------------

VECTORS = Path(__file__).parent / "vectors" / "attested"


@pytest.mark.parametrize(("name", "expected"), [("bundle.zip", 3), ("record.json", 0)])
def test_the_stored_vectors_give_what_is_stored_beside_them(alone, name, expected):
    """A bundle over a rotation, whose last segment nobody had seen yet, and a record that all have: made once, kept."""
    root = (VECTORS / "root-fingerprint").read_text().strip()
    code, said = alone(VECTORS / name, "--root-fpr", root, "--anchors", VECTORS / "held")
    assert code == expected
    assert said == json.loads((VECTORS / f"{name.partition('.')[0]}.expected.json").read_text())


def test_a_second_copy_takes_along_what_others_said(attested, tmp_path):
    """Cosigned heads and time stamps are in the copy, and in what is restored from it."""
    from watchbill.ledger.copies import FolderStore, copy, restore

    (tmp_path / "copy").mkdir()
    store = FolderStore(tmp_path / "copy")
    copy(attested.place.ledger, attested.place.keys, store)
    attested.write()
    attested.cosign()
    attested.stamp()
    copy(attested.place.ledger, attested.place.keys, store)
    again = tmp_path / "again"
    restore(store, again)
    here, there = anchors.folder(attested.shard), anchors.folder(again / SHARD)
    assert {path.name: path.read_bytes() for path in there.iterdir()} == {
        path.name: path.read_bytes() for path in here.iterdir()
    }
    report = verify_ledger(again, trusted=Trusted.load(attested.held))
    assert (report.findings, report.unproven) == ([], [])
