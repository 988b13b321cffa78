"""Signed notes and checkpoints: https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint (Ed25519)."""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import sha256
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
_DASH = "— "
_MOST_SIGNATURES = 64
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class _PublicKey(Protocol):
    def public_bytes_raw(self) -> bytes: ...


class SigningKey(Protocol):
    """A private key, in a file or in a token: what signing needs of it."""

    def sign(self, data: bytes, /) -> bytes: ...
    def public_key(self) -> _PublicKey: ...


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """Decode strict standard base64. Raises ValueError."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError(f"{text[:60]!r} is no base64") from error


class Verifier(NamedTuple):
    """A name and the raw 32 bytes of an Ed25519 public key."""

    name: str
    key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + ED25519 + self.key).digest()[:4]

    def vkey(self) -> str:
        """Spell the key as the specification's "vkey": name+id+key."""
        return f"{self.name}+{self.key_id.hex()}+{b64(ED25519 + self.key)}"

    @classmethod
    def from_vkey(cls, text: str) -> Verifier:
        """Read a vkey. Raises ValueError."""
        name, key_id, data = [*text.strip().split("+", 2), "", ""][:3]
        key = unb64(data)
        found = cls(name, key[1:])
        if key[:1] != ED25519 or len(key) != 33 or found.key_id.hex() != key_id:
            raise ValueError(f"{text[:80]!r} is no Ed25519 verifier key")
        return found

    def verifies(self, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


def public_bytes(key: SigningKey) -> bytes:
    """Return the raw 32 bytes of a private key's public half."""
    return key.public_key().public_bytes_raw()


def spell_signature(name: str, data: bytes) -> str:
    """Return a signature line."""
    return f"{_DASH}{name} {b64(data)}\n"


def sign(text: str, name: str, key: SigningKey) -> str:
    """Sign a text that ends in a newline; return the whole note."""
    if not text.endswith("\n"):
        raise ValueError("a note's text ends in a newline")
    signature = Verifier(name, public_bytes(key)).key_id + key.sign(text.encode())
    return f"{text}\n{spell_signature(name, signature)}"


def signature_lines(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Return a note's text, and (name, key id, signature) of each line. Raises ValueError."""
    text, gap, signatures = note.rpartition("\n\n")
    if not gap or not signatures.endswith("\n") or _CONTROL.search(note):
        raise ValueError("this is no signed note")
    lines = signatures[:-1].split("\n")
    if len(lines) > _MOST_SIGNATURES:
        raise ValueError(f"a note of more than {_MOST_SIGNATURES} signatures")
    found = []
    for line in lines:
        name, _, data = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not data or not name:
            raise ValueError("a signature line of the note is malformed")
        signature = unb64(data)
        found.append((name, signature[:4], signature[4:]))
    return f"{text}\n", found


def open_note(note: str, verifier: Verifier) -> str:
    """Return the text of a note that carries a good signature by this key. Raises ValueError.

    Signatures by other keys (witnesses) are passed over, as the specification demands.
    """
    text, lines = signature_lines(note)
    for name, key_id, signature in lines:
        if name != verifier.name or key_id != verifier.key_id:
            continue
        if not verifier.verifies(text.encode(), signature):
            raise ValueError(f"the signature of {name} is wrong")
        return text
    raise ValueError(f"no signature by {verifier.name} ({verifier.key_id.hex()})")


class Checkpoint(NamedTuple):
    """The head of a log at a size."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a note's text (or the whole note; further lines are extensions). Raises ValueError."""
        origin, size, head = [*text.split("\n", 3), "", "", ""][:3]
        root = unb64(head)
        if not origin or not (size.isascii() and size.isdigit()) or str(int(size)) != size or len(root) != 32:
            raise ValueError("this is no checkpoint")
        return cls(origin, int(size), root)
