"""A witness follows a log to its new keys, and nobody else's word for it."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from watchbill.core import canonical
from watchbill.core.clock import SECOND, FixedClock
from watchbill.ledger import following
from watchbill.ledger.keys import ROOT_NAME, NamedKeys, origin
from watchbill.ledger.manifest import key_body, key_message
from watchbill.ledger.note import Checkpoint, Verifier, b64, public_bytes, sign
from watchbill.ledger.tree import EMPTY
from watchbill.ledger.witness import Request, Witness, logs, trust

ROOT, FIRST, SECOND_KEY, THIRD, THIEF = (Ed25519PrivateKey.generate() for _ in range(5))
NAME = origin(Verifier(ROOT_NAME, public_bytes(ROOT)), 0)


def entry(old, new, root=ROOT, signed_by=None, name=NAME):
    body = key_body(name, public_bytes(root), NamedKeys(public_bytes(new)), public_bytes(old) if old else None)
    message = key_message(body)
    signatures = {"root": b64(root.sign(message)), "old": b64((signed_by or old).sign(message)) if old else None}
    return canonical.dumps({**body, "signatures": signatures})


def vkey(key, name=NAME):
    return Verifier(name, public_bytes(key)).vkey()


@pytest.fixture
def witness(tmp_path):
    trust(tmp_path, vkey(FIRST))
    with (tmp_path / "logs").open("a") as file:
        file.write(f"# of the branch office\n{vkey(THIRD, 'watchbill/0000000000000000/0')}\n")
    opened = Witness(tmp_path, FixedClock(1_772_618_400 * SECOND), "witness.example/w")
    yield opened
    opened.close()


def asks(witness, key, size=0):
    note = sign(Checkpoint(NAME, size, EMPTY).text(), NAME, key)
    return witness.add_checkpoint(Request(0, (), note).spell()).status


def test_the_new_key_takes_the_place_of_the_old_one(witness):
    """Over one rotation and over two; the old key counts no longer; other logs and comments stay."""
    assert (asks(witness, FIRST), asks(witness, SECOND_KEY)) == (200, 403)
    answer = witness.follow_key(following.spell([entry(None, FIRST), entry(FIRST, SECOND_KEY)]))
    assert (answer.status, answer.body.strip()) == (200, vkey(SECOND_KEY))
    assert (asks(witness, FIRST), asks(witness, SECOND_KEY)) == (403, 200)
    assert "# of the branch office" in (witness.path / "logs").read_text()
    assert [one.name for one in logs(witness.path)] == [NAME, "watchbill/0000000000000000/0"]


def test_two_rotations_that_were_slept_through(witness):
    chain = [entry(None, FIRST), entry(FIRST, SECOND_KEY), entry(SECOND_KEY, THIRD)]
    assert witness.follow_key(following.spell(chain)).body.strip() == vkey(THIRD)
    assert witness.follow_key(following.spell(chain)).status == 403  # nothing leads on from the newest one


@pytest.mark.parametrize(
    ("entries", "status"),
    [
        ([entry(FIRST, THIEF, signed_by=THIEF)], 400),
        ([entry(FIRST, THIEF, root=THIEF)], 400),
        ([entry(THIEF, SECOND_KEY)], 403),
        ([entry(None, FIRST)], 403),
        ([entry(SECOND_KEY, THIRD), entry(FIRST, SECOND_KEY)[:-3] + b"x}}"], 400),
        ([entry(FIRST, SECOND_KEY, name=NAME[:-1] + "1")], 403),
    ],
    ids=["old key did not sign", "another root", "from a key that is not trusted", "no rotation", "torn", "other log"],
)
def test_whoever_lacks_the_old_key_or_the_root_is_refused(witness, entries, status):
    """A thief with one of the two gains nothing, and nothing is changed."""
    before = (witness.path / "logs").read_bytes()
    assert witness.follow_key(following.spell(entries)).status == status
    assert (witness.path / "logs").read_bytes() == before


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, json.dumps({"kind": "watchbill key entries", "v": 1, "entries": 7}).encode(),
     json.dumps({"kind": "watchbill key entries", "v": 1, "entries": ["AA=="] * 65}).encode(),
     json.dumps({"kind": "watchbill key entries", "v": 1, "entries": ["!"]}).encode(),
     following.spell([b"[]"])],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_request_is_refused(witness, body):
    assert witness.follow_key(body).status == 400
