"""Signed notes and checkpoints against the vector of their specification."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from watchbill.ledger.note import Checkpoint, Verifier, open_note, public_bytes, sign

# From the documentation of golang.org/x/mod/sumdb/note, which the specification grew out of.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_published_note_verifies():
    """A note signed by another implementation is opened."""
    assert open_note(NOTE, Verifier.from_vkey(VKEY)).startswith("If you think")
    assert Verifier.from_vkey(VKEY).vkey() == VKEY


@pytest.mark.parametrize(
    "wrong",
    [
        NOTE.replace("think", "thunk"),
        NOTE.replace("ZJku", "ZJkv"),
        NOTE[:-1],
        "",
        "\n\n",
        NOTE.split("\n\n", maxsplit=1)[0],
    ],
)
def test_a_changed_note_is_refused(wrong):
    """Text, signature and shape all matter."""
    with pytest.raises(ValueError):
        open_note(wrong, Verifier.from_vkey(VKEY))


def test_a_checkpoint_survives_signing_beside_a_witness():
    """Signatures by other keys are passed over."""
    ours, witness = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    checkpoint = Checkpoint("watchbill/0123/0", 17, b"r" * 32)
    other = sign(checkpoint.text(), "witness.example", witness).split("\n\n")[1]
    note = sign(checkpoint.text(), checkpoint.origin, ours)
    head, signature = note.split("\n\n")
    both = f"{head}\n\n{other}{signature}"
    assert Checkpoint.parse(open_note(both, Verifier(checkpoint.origin, public_bytes(ours)))) == checkpoint


@pytest.mark.parametrize("text", ["", "a\n1\n", "a\n01\nAAAA\n", "a\n-1\n", "a\nx\nAAAA\n", f"a\n٣\n{'A' * 43}=\n"])
def test_what_is_no_checkpoint_is_refused(text):
    """Sizes are plain decimal numbers, roots are 32 bytes."""
    with pytest.raises(ValueError):
        Checkpoint.parse(text)
