"""The keys of an installation: the root, the log key, and for each shard the key of its unsealed tail.

The root signs key entries only and is meant to be taken offline (root.key may be moved away once every shard has been
started; root.pub stays). The log keys sign checkpoints: an Ed25519 key (log.key, or log.token, which says where in a
hardware token it is) and an ML-DSA-44 key beside it. Those of the folder ``next`` follow them (see rotation.py). Files
are made on first use, readable by the owner alone.
"""

from __future__ import annotations

import os
import struct
import zlib
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable
from watchbill.ledger.note import SigningKey, Verifier, public_bytes

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
except ImportError:  # pragma: no cover - an older version of cryptography: the log goes without its second key
    MLDSA44PrivateKey = None  # type: ignore[assignment,misc]

ROOT_NAME = "watchbill-root"


class NamedKeys(NamedTuple):
    """The public keys that a key entry names: Ed25519, and ML-DSA-44 if there is one. Raw bytes."""

    key: bytes
    mldsa44: bytes | None = None


def fingerprint(key: bytes) -> str:
    """Return the SHA-256 of a raw public key, in hex: what people compare."""
    return sha256(key).hexdigest()


def open_private(path: Path, *, create: bool = True) -> Ed25519PrivateKey:
    """Read a private key (PEM, PKCS #8), made first if it is missing. Raises LedgerError."""
    if create and not path.exists():
        durable.make_folder(path.parent)
        fresh = Ed25519PrivateKey.generate()
        durable.create(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError) as error:
        mend = "put the key back from its safe place or from a backup"
        raise LedgerError(f"the key cannot be read: {error}", place=Place(str(path)), mend=mend) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError("this is no Ed25519 key", place=Place(str(path)), mend="use a key that Watchbill made")
    return key


class LogKeys(NamedTuple):
    """The keys that sign a log's checkpoints. ``second`` is None where none was made, or none can be used."""

    first: SigningKey
    second: SigningKey | None

    @classmethod
    def open(cls, keys: Path, *, create: bool = True) -> LogKeys:
        """Open the keys in a folder. Raises LedgerError."""
        in_token = (keys / "log.token").exists()
        # In this order, for two processes that begin at once. A log whose first key was named alone goes on with it
        # alone: the next rotation names both.
        fresh = create and not in_token and not (keys / "log.key").exists()
        second = open_mldsa(keys / "log-mldsa44.key", create=fresh)
        if not in_token:
            return cls(open_private(keys / "log.key", create=create), second)
        from watchbill.ledger import token

        return cls(token.open_key(keys / "log.token"), second)

    @property
    def named(self) -> NamedKeys:
        return NamedKeys(public_bytes(self.first), self.second.public_key().public_bytes_raw() if self.second else None)


def log_keys(keys: Path) -> list[LogKeys]:
    """Return the log's keys, and those that are to follow them, if any. Raises LedgerError."""
    following = keys / "next"
    ready = (following / "log.key").exists() or (following / "log.token").exists()
    return [LogKeys.open(keys), *([LogKeys.open(following, create=False)] if ready else [])]


def open_mldsa(path: Path, *, create: bool = True) -> MLDSA44PrivateKey | None:
    """Read an ML-DSA-44 private key, made first if it is missing and may be; None if there is none or ``cryptography``
    is too old for it. Raises LedgerError.
    """
    if MLDSA44PrivateKey is None:
        return None
    try:
        if create and not path.exists():
            durable.make_folder(path.parent)
            fresh = MLDSA44PrivateKey.generate()
            durable.create(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        if not path.exists():
            return None
        key = load_pem_private_key(path.read_bytes(), password=None)
    except UnsupportedAlgorithm:
        return None
    except (OSError, ValueError) as error:
        mend = "put the key back from its safe place or from a backup"
        raise LedgerError(f"the key cannot be read: {error}", place=Place(str(path)), mend=mend) from error
    if not isinstance(key, MLDSA44PrivateKey):
        raise LedgerError("this is no ML-DSA-44 key", place=Place(str(path)), mend="use a key that Watchbill made")
    return key


def open_root_public(keys: Path) -> Verifier:
    """Return the root's public key; on first use of an installation the root is made. Raises LedgerError."""
    path = keys / "root.pub"
    if not path.exists():
        root = open_private(keys / "root.key")
        durable.create(path, f"{Verifier(ROOT_NAME, public_bytes(root)).vkey()}\n".encode())
    try:
        return Verifier.from_vkey(path.read_text())
    except (OSError, ValueError) as error:
        raise LedgerError(f"the public key cannot be read: {error}", place=Place(str(path))) from error


def origin(root: Verifier, shard: int) -> str:
    """Return the log's name: unique by the root key, one for each shard."""
    return f"watchbill/{fingerprint(root.key)[:16]}/{shard}"


class TailKey:
    """The key that authenticates the unsealed tail: one for each segment, each the hash of the one before.

    The file holds the key of the oldest segment that is not yet sealed, and is overwritten in place as segments are
    sealed: who reads it later cannot forge what was already sealed. It may lag behind (it is not synced), never lead.
    """

    _LAYOUT = struct.Struct(">Q32sI")

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        if create and not path.exists():
            durable.make_folder(path.parent)
            durable.create(path, durable.twice(self._record(0, os.urandom(32))))
        data = path.read_bytes()
        copies = [data[at : at + self._LAYOUT.size] for at in (0, durable.APART)]
        whole = [copy for copy in copies if len(copy) == self._LAYOUT.size and self._is_whole(copy)]
        if not whole:
            mend = "restore it from a backup; without it the last, unsealed second cannot be checked"
            raise LedgerError("the tail's key is damaged", place=Place(str(path)), mend=mend)
        self.segment: int
        self._key: bytes
        self.segment, self._key, _ = self._LAYOUT.unpack(whole[0])

    @classmethod
    def of(cls, keys: Path, shard: int, *, create: bool) -> TailKey:
        """Open the tail key of a shard. Raises LedgerError, and FileNotFoundError unless ``create``."""
        return cls(keys / f"tail-{shard:04}.key", create=create)

    @classmethod
    def begin(cls, keys: Path, shard: int, segment: int) -> TailKey:
        """Make a fresh key for a segment in the place of one that is missing, damaged or has gone further."""
        path = keys / f"tail-{shard:04}.key"
        path.unlink(missing_ok=True)
        record = cls._LAYOUT.pack(segment, key := os.urandom(32), zlib.crc32(segment.to_bytes(8, "big") + key))
        durable.create(path, durable.twice(record))
        return cls(path, create=False)

    def ahead(self, count: int) -> dict[int, bytes]:
        """Return the keys of the next segments by their number, from the stored one on."""
        found, key = {}, self._key
        for number in range(self.segment, self.segment + count):
            found[number] = key
            key = _next(key)
        return found

    def held(self, segment: int) -> bytes:
        """Return the key of a segment, nothing if it was erased."""
        return self.key(segment) if segment >= self.segment else b""

    def key(self, segment: int) -> bytes:
        """Return the key of a segment that is not older than the stored one. Raises LedgerError."""
        if segment < self.segment:
            raise LedgerError(f"the tail's key of segment {segment} was erased when it was sealed")
        key = self._key
        for _ in range(segment - self.segment):
            key = _next(key)
        return key

    def advance(self, segment: int) -> None:
        """Forget the keys of all segments before this one. Raises OSError; then it can be called again."""
        if segment <= self.segment:
            return
        key = self.key(segment)
        fd = os.open(self.path, os.O_WRONLY)
        try:
            os.pwrite(fd, durable.twice(self._record(segment, key)), 0)
        finally:
            os.close(fd)
        self._key, self.segment = key, segment

    def as_before(self) -> None:
        """Spell the file with one copy, as versions before the second one read it; the next seal spells it twice again.

        Raises OSError.
        """
        durable.replace(self.path, self._record(self.segment, self._key))

    def _is_whole(self, copy: bytes) -> bool:
        return copy == self._record(*self._LAYOUT.unpack(copy)[:2])

    def _record(self, segment: int, key: bytes) -> bytes:
        return self._LAYOUT.pack(segment, key, zlib.crc32(segment.to_bytes(8, "big") + key))


def _next(key: bytes) -> bytes:
    return sha256(b"watchbill tail key\n" + key).digest()
