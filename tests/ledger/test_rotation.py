"""The log's keys: rotated with a root that is elsewhere, taken up by running writers, in files and in a token."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from watchbill.core.clock import SECOND
from watchbill.core.errors import ConflictError, LedgerError, NotFoundError
from watchbill.ledger import rotation, token, verify_ledger
from watchbill.ledger.cosign import MLDSA44, Cosigner, cosignatures
from watchbill.ledger.keys import LogKeys, open_private
from watchbill.ledger.note import Verifier, open_note
from watchbill.ledger.tiles import TileReader

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")


def write(place, writer, n=1):
    writer.append(writer.source("web-01", "http"), [b"record"] * n, place.clock.now())
    place.clock.advance(SECOND)
    writer.tick()


def checkpoint(place, shard=0):
    return TileReader(place.ledger / f"shard-{shard:04}" / "log").checkpoint()


@pytest.fixture
def root(place):
    """The root is made, and then is not on the machine."""
    with place.writer() as writer:
        write(place, writer)
    with place.writer(1) as writer:
        write(place, writer)
    away = place.keys.parent / "safe"
    away.mkdir()
    return (place.keys / "root.key").rename(away / "root.key")


def ceremony(place, root, **kinds):
    asked = rotation.request(place.ledger, place.keys, **kinds)
    signed = rotation.sign_request(asked, open_private(root, create=False))
    return rotation.apply(place.ledger, place.keys, signed)


def test_a_running_writer_takes_up_new_keys(place, root):
    """The next checkpoint after the ceremony is signed by both new keys; all of the ledger verifies, before and after."""
    old = LogKeys.open(place.keys).named
    with place.writer() as writer:
        assert ceremony(place, root) == [0, 1]
        assert rotation.waiting(place.keys) == [0, 1]
        write(place, writer)
        assert rotation.waiting(place.keys) == [1]
        new = LogKeys.open(place.keys / "next").named
        note = checkpoint(place)
        name = note.split("\n", maxsplit=1)[0]
        open_note(note, Verifier(name, new.key))
        assert cosignatures(note, [Cosigner(name, MLDSA44, new.mldsa44)])
        with pytest.raises(ValueError, match="no signature"):
            open_note(note, Verifier(name, old.key))
        assert not rotation.finish(place.ledger, place.keys)
        write(place, writer)
    with place.writer(1) as writer:
        write(place, writer)
    assert rotation.finish(place.ledger, place.keys)
    assert LogKeys.open(place.keys).named == new
    assert not (place.keys / "next").exists()
    with place.writer() as writer:
        write(place, writer)
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings
    assert not rotation.finish(place.ledger, place.keys)


def test_a_crash_between_the_entry_and_the_signature_is_mended(place, root, monkeypatch):
    """The entry is in the log and not signed for: the next start signs with the new keys, and enters nothing twice."""
    ceremony(place, root)
    writer = place.writer()
    monkeypatch.setattr(writer, "_sign", lambda: os._exit)
    monkeypatch.setattr(rotation.Signer, "done", lambda *_: None)
    writer.tick()
    writer._volume.close()
    os.close(writer._lock)
    monkeypatch.undo()
    with place.writer() as writer:
        write(place, writer)
        write(place, writer)
    assert rotation.waiting(place.keys) == [1]
    report = verify_ledger(place.ledger, keys=place.keys, shard=0)
    assert report.ok, report.findings
    assert (
        sum(
            b'"kind":"key"' in entry
            for entry in TileReader(place.ledger / "shard-0000/log").entries(0, report.shards[0].log_size)
        )
        == 2
    )


def test_entries_that_the_root_did_not_sign_are_refused(place, root, tmp_path):
    """By the one who applies them, by the one who signs, and by a writer that finds one lying there."""
    asked = rotation.request(place.ledger, place.keys)
    assert rotation.request(place.ledger, place.keys) == asked
    with pytest.raises(LedgerError, match="not signed by the root"):
        rotation.apply(place.ledger, place.keys, asked)
    stranger = open_private(tmp_path / "other.key")
    with pytest.raises(LedgerError, match="another root"):
        rotation.sign_request(asked, stranger)
    with pytest.raises(LedgerError, match="no request for new keys"):
        rotation.parse(b"{}", "x")
    left = place.keys / "next" / "shard-0000.entry"
    for wrong in (b"{}", b"\xff", b'{"key":"AAAA"}'):
        left.write_bytes(wrong)
        with place.writer() as writer:
            write(place, writer)
        assert not left.exists()
    assert verify_ledger(place.ledger, keys=place.keys).ok


def test_a_request_for_keys_that_are_gone_is_refused(place, root):
    """The new private keys must be on the machine when the entries come back."""
    signed = rotation.sign_request(rotation.request(place.ledger, place.keys), open_private(root))
    shutil.rmtree(place.keys / "next")
    rotation.request(place.ledger, place.keys)
    with pytest.raises(ConflictError, match="not in keys/next"):
        rotation.apply(place.ledger, place.keys, signed)


def test_without_a_ledger_there_is_nothing_to_rotate(place):
    """A rotation follows on a key that signs."""
    with pytest.raises(NotFoundError):
        rotation.request(place.ledger, place.keys)


@pytest.fixture
def hardware(tmp_path, monkeypatch):
    """A SoftHSM token of its own."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None or not shutil.which("softhsm2-util"):
        pytest.skip("SoftHSM is not installed: apt-get install softhsm2")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "conf").write_text(
        f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "conf"))
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "watchbill", "--pin", "1234", "--so-pin", "1234"],
        check=True,
        capture_output=True,
    )
    pin = tmp_path / "pin"
    pin.write_text("1234\n")
    pin.chmod(0o600)
    return {"module": module, "token": "watchbill", "key": "log", "pin_file": str(pin)}


def test_the_logs_key_can_be_in_a_token(place, root, hardware):
    """Generated there, rotated to, signed with, and verified without it. One test, for the library is loaded once a process."""
    token.generate(hardware)
    with pytest.raises(LedgerError, match="already"):
        token.generate(hardware)
    ceremony(place, root, token=hardware)
    for shard in (0, 1):
        with place.writer(shard) as writer:
            write(place, writer)
    assert rotation.finish(place.ledger, place.keys)
    assert not (place.keys / "log.key").exists()
    with place.writer() as writer:
        write(place, writer)
    report = verify_ledger(place.ledger, keys=place.keys)
    assert report.ok, report.findings
    key = token.open_key(place.keys / "log.token")
    key._close()
    assert len(key.sign(b"again")) == 64
    with pytest.raises(LedgerError, match="cannot be opened"):
        token.TokenKey({**hardware, "token": "other"}, "x")
    Path(hardware["pin_file"]).chmod(0o644)
    with pytest.raises(LedgerError, match="read by others"):
        token.open_key(place.keys / "log.token")
