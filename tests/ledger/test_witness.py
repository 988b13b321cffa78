"""The witness by its protocol: what it answers to whom, and what it remembers."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from watchbill.core.clock import SECOND, FixedClock
from watchbill.core.errors import ConflictError, LedgerError
from watchbill.ledger import consistency
from watchbill.ledger.cosign import cosignatures
from watchbill.ledger.note import Checkpoint, Verifier, public_bytes, sign
from watchbill.ledger.tiles import Log, TileReader
from watchbill.ledger.witness import LONGEST_REQUEST, Request, Witness, accept, last_seen, trust

KEY = Ed25519PrivateKey.generate()
LOG = Verifier("watchbill/0011/0", public_bytes(KEY))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    log = Log(tmp_path_factory.mktemp("log"))
    for n in range(40):
        log.append(b"entry %d" % n)
    log.flush()
    return TileReader(log.path)


@pytest.fixture
def witness(tmp_path):
    trust(tmp_path, LOG.vkey())
    opened = Witness(tmp_path, FixedClock(1_772_618_400 * SECOND), "witness.example/w1")
    yield opened
    opened.close()


def note(tiles, size, root=None, key=KEY, origin=LOG.name):
    return sign(Checkpoint(origin, size, root or tiles.root(size)).text(), origin, key)


def ask(witness, tiles, old, size, proof=None, **kinds):
    made = consistency.prove(tiles, old, size) if proof is None and old <= size else proof or []
    return witness.add_checkpoint(Request(old, tuple(made), note(tiles, size, **kinds)).spell())


def test_a_growing_log_is_cosigned_by_both_keys(witness, tiles):
    """From nothing, then onwards, then the same again; the log takes the line it knows."""
    for old, size in ((0, 10), (10, 33), (33, 33)):
        answer = ask(witness, tiles, old, size)
        assert answer.status == 200
        signed = note(tiles, size) + answer.body
        known = [key.cosigner for key in witness.keys]
        assert cosignatures(signed, known) == dict.fromkeys(known, 1_772_618_400)
        assert accept(answer.body, note(tiles, size), known[0]) in answer.body
    assert last_seen(witness.path, LOG.name).checkpoint == Checkpoint(LOG.name, 33, tiles.root(33))
    with pytest.raises(ValueError, match="holds no cosignature"):
        accept(answer.body, note(tiles, 33), known[0]._replace(name="other"))


def test_a_log_that_went_back_is_told_what_was_seen(witness, tiles):
    """409 with the size: with a smaller log there is nothing that would be cosigned."""
    assert ask(witness, tiles, 0, 20).status == 200
    for old, size in ((0, 20), (5, 15), (10, 30)):
        assert ask(witness, tiles, old, size)[:2] == (409, "text/x.tlog.size")
    assert ask(witness, tiles, 0, 30).body == "20\n"
    assert ask(witness, tiles, 20, 19, proof=[]).status == 400


def test_a_split_view_is_refused_and_kept_as_evidence(witness, tiles):
    """Another head of the same size, or a later one that does not extend what was seen."""
    assert ask(witness, tiles, 0, 20).status == 200
    assert ask(witness, tiles, 20, 20, root=b"x" * 32).status == 409
    assert ask(witness, tiles, 20, 30, root=b"x" * 32).status == 422
    assert ask(witness, tiles, 20, 30, proof=[bytes(32)]).status == 422
    assert last_seen(witness.path, LOG.name).checkpoint.size == 20
    kept = [path.read_text() for path in (witness.path / "evidence").iterdir()]
    assert base64.b64encode(b"x" * 32).decode() in "".join(kept)


def test_strangers_are_refused(witness, tiles):
    """An unknown log, and a known one signed by an unknown key."""
    assert ask(witness, tiles, 0, 5, origin="other.example/log").status == 404
    assert ask(witness, tiles, 0, 5, key=Ed25519PrivateKey.generate()).status == 403
    assert last_seen(witness.path, LOG.name) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"old 0\n", b"old 01\n\nx", b"old -1\n\nx", b"old 0\nAAAA\n\nx", b"\xff", b"old 0\n\nno note", b"old 0\n" + b"A" * 44 + b"\n\n", b"old 0\n" + 64 * (b"A" * 43 + b"=\n") + b"\nx"],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_request_is_refused(witness, body):
    """Malformed sizes, hashes and notes are the log's fault: 400."""
    assert witness.add_checkpoint(body).status == 400
    assert len(body) < LONGEST_REQUEST


def test_a_witness_remembers_and_does_not_run_twice(witness, tiles):
    """What was cosigned is on disk; a second process is refused; a damaged memory stops it."""
    assert ask(witness, tiles, 0, 20).status == 200
    with pytest.raises(ConflictError, match="runs already"):
        Witness(witness.path, FixedClock(0))
    witness_path = witness.path
    (memory,) = (witness_path / "seen").iterdir()
    assert json.loads(memory.read_text())["size"] == 20
    memory.write_text("{}")
    with pytest.raises(LedgerError, match="what was last seen cannot be read"):
        ask(witness, tiles, 20, 30)


def test_a_witness_keeps_its_name(witness):
    """Another name would be another witness to those who trust it."""
    path = witness.path
    witness.close()
    with pytest.raises(LedgerError, match="this witness is"):
        Witness(path, FixedClock(0), "witness.example/other")
    again = Witness(path, FixedClock(0))
    assert [key.cosigner for key in again.keys] == [key.cosigner for key in witness.keys]
    witness._held = again._held
