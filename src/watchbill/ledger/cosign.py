"""Cosignatures of checkpoints by witnesses and by the log's second key: https://c2sp.org/tlog-cosignature.

Type 0x04 is Ed25519 over "cosignature/v1", a time and the note's text. Type 0x06 is ML-DSA-44 (FIPS 204), safe against
quantum computers, over the head alone and the cosigner's name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from watchbill.ledger.note import Checkpoint, SigningKey, b64, signature_lines, spell_signature, unb64

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
except ImportError:  # pragma: no cover - an auditor's older version of cryptography checks all but this
    MLDSA44PrivateKey = MLDSA44PublicKey = None  # type: ignore[assignment,misc]

ED25519, MLDSA44 = 0x04, 0x06
_SIZES = {ED25519: 32, MLDSA44: 1312}
_LABEL = b"subtree/v1\n\x00"


class UncheckedError(ValueError):
    """This machine's version of ``cryptography`` cannot check signatures of this type."""


class Cosigner(NamedTuple):
    """Who cosigns: a name, the type of its signatures and the raw public key."""

    name: str
    type: int
    key: bytes

    @property
    def key_id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes([self.type]) + self.key).digest()[:4]

    def vkey(self) -> str:
        """Spell the key as the specification's "vkey": name+id+key."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes([self.type]) + self.key)}"

    @classmethod
    def from_vkey(cls, text: str) -> Cosigner:
        """Read a vkey of type 0x04 or 0x06. Raises ValueError."""
        name, key_id, data = [*text.strip().split("+", 2), "", ""][:3]
        key = unb64(data)
        found = cls(name, key[0] if key else 0, key[1:])
        if _SIZES.get(found.type) != len(found.key) or found.key_id.hex() != key_id or not name:
            raise ValueError(f"{text[:80]!r} is no witness's key")
        return found

    def message(self, text: str, seconds: int) -> bytes:
        """Return the bytes that are signed for a checkpoint's text. Raises ValueError."""
        if self.type == ED25519:
            return f"cosignature/v1\ntime {seconds}\n{text}".encode()
        head = Checkpoint.parse(text)
        name, origin = self.name.encode(), head.origin.encode()
        if max(len(name), len(origin)) > 255:
            raise ValueError("this name is too long to be cosigned")
        parts = (_LABEL, bytes([len(name)]), name, struct.pack(">Q", seconds), bytes([len(origin)]), origin)
        return b"".join((*parts, struct.pack(">QQ", 0, head.size), head.root))

    def verify(self, text: str, signature: bytes) -> int:
        """Return the POSIX time at which this text was cosigned. Raises ValueError if the signature is wrong."""
        if len(signature) < 8 or signature[0] & 0x80:
            raise ValueError(f"the cosignature of {self.name} is malformed")
        seconds = int.from_bytes(signature[:8], "big")
        message = self.message(text, seconds)
        try:
            if self.type == ED25519:
                Ed25519PublicKey.from_public_bytes(self.key).verify(signature[8:], message)
            elif MLDSA44PublicKey is None:
                raise UncheckedError("checking ML-DSA-44 wants a newer version of cryptography")
            else:
                MLDSA44PublicKey.from_public_bytes(self.key).verify(signature[8:], message)
        except UnsupportedAlgorithm as error:
            raise UncheckedError("this version of cryptography has no ML-DSA-44") from error
        except InvalidSignature as error:
            raise ValueError(f"the cosignature of {self.name} is wrong") from error
        return seconds


class CosigningKey(NamedTuple):
    """A name and a private key: Ed25519 (or one in a token), or ML-DSA-44."""

    name: str
    private: SigningKey

    @property
    def cosigner(self) -> Cosigner:
        key = self.private.public_key().public_bytes_raw()
        return Cosigner(self.name, ED25519 if len(key) == _SIZES[ED25519] else MLDSA44, key)

    def sign(self, text: str, seconds: int) -> str:
        """Return the signature line for a checkpoint's text."""
        cosigner = self.cosigner
        signature = self.private.sign(cosigner.message(text, seconds))
        return spell_signature(self.name, cosigner.key_id + struct.pack(">Q", seconds) + signature)


def cosignatures(note: str, known: Iterable[Cosigner]) -> dict[Cosigner, int]:
    """Return who of the known cosigned a note, and when (POSIX seconds).

    Lines by others are passed over. Raises ValueError if a known key's line is wrong, UncheckedError if it cannot be
    checked here.
    """
    text, lines = signature_lines(note)
    found: dict[Cosigner, int] = {}
    for cosigner in known:
        for name, key_id, signature in lines:
            if name == cosigner.name and key_id == cosigner.key_id:
                found[cosigner] = cosigner.verify(text, signature)
    return found
