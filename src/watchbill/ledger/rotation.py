"""Who signs a log, and how that changes: rotation of the log's keys, with a root that may be far away.

on the machine    request: new keys in keys/next, one key entry a shard, signed by the old key
anywhere          sign_request: the root signs each entry
on the machine    apply: entries are checked and left for the writers, who enter them and sign with the new keys
                  finish: the new keys take the place of the old ones, which are gone
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from watchbill.core import canonical
from watchbill.core.clock import SECOND
from watchbill.core.errors import ConflictError, LedgerError, NotFoundError, Place
from watchbill.ledger import durable
from watchbill.ledger.cosign import CosigningKey
from watchbill.ledger.keys import (
    LogKeys,
    NamedKeys,
    fingerprint,
    log_keys,
    open_mldsa,
    open_private,
    open_root_public,
    origin,
)
from watchbill.ledger.manifest import decode_entry, key_body, key_message, open_key_entry
from watchbill.ledger.note import Checkpoint, SigningKey, Verifier, b64, public_bytes, sign, signature_lines, unb64
from watchbill.ledger.tiles import Log, TileReader
from watchbill.ledger.volume import shard_path, shards

_REQUEST = "watchbill key rotation"
#: The files of the log's keys in a keys folder.
_FILES = ("log.key", "log.token", "log-mldsa44.key")


class Signer:
    """Signs the checkpoints of one log, by the keys that the log's last key entry names."""

    def __init__(self, log: Path, keys: Path, name: str) -> None:
        self._path, self._keys, self._name = log, keys, name
        self._known = log_keys(keys)
        note = TileReader(log).checkpoint()
        self._current = (_who_signed(note, name, self._known) if note else None) or self._known[0]

    @property
    def named(self) -> NamedKeys:
        return self._current.named

    @property
    def first_key(self) -> SigningKey:
        return self._current.first

    @property
    def verifier(self) -> Verifier:
        return Verifier(self._name, self._current.named.key)

    def catch_up(self, log: Log) -> None:
        """Take up a key entry that was entered and not signed for before a crash."""
        note = TileReader(self._path).checkpoint()
        signed = Checkpoint.parse(note).size if note else 0
        if signed < log.size:
            log.flush()
            for entry in TileReader(self._path).entries(signed, log.size):
                if b'"kind":"key"' in entry:
                    self.follow(entry)

    def sign(self, checkpoint: Checkpoint, now: int) -> str:
        """Return the signed note: by the first key, and cosigned by the second. ``now`` in UTC nanoseconds."""
        text = checkpoint.text()
        note = sign(text, self._name, self._current.first)
        if self._current.second:
            note += CosigningKey(self._name, self._current.second).sign(text, now // SECOND)
        return note

    def due(self, shard: int) -> bytes | None:
        """Return the key entry that was left for this shard and is in order. Cheap when there is none.

        One that is not in order is set aside, so that it keeps nobody from writing.
        """
        left = _left(self._keys, shard)
        try:
            entry = left.read_bytes()
        except FileNotFoundError:
            return None
        try:
            self._known = log_keys(self._keys)
            if unb64(decode_entry(entry)["key"]) == self.named.key:
                self.done(shard)  # a crash came after it had been entered and signed for
                return None
            new = open_key_entry(entry, open_root_public(self._keys), self._name, self.named.key)
            if new in [one.named for one in self._known]:
                return entry
        except (ValueError, KeyError, TypeError, LedgerError):
            pass
        left.replace(left.with_suffix(".refused"))
        return None

    def follow(self, entry: bytes) -> None:
        """Sign with the keys that an entry names from here on. Raises LedgerError if they are not here."""
        body = decode_entry(entry)
        named = NamedKeys(unb64(body["key"]), unb64(body["mldsa44"]) if "mldsa44" in body else None)
        for one in self._known:
            if one.named == named:
                self._current = one
                return
        mend = "put the key that the log names back into the keys folder"
        raise LedgerError(f"the log's key {fingerprint(named.key)} is missing", place=Place(str(self._keys)), mend=mend)

    def done(self, shard: int) -> None:
        """Forget the entry that was left: it is in the log and signed for."""
        _left(self._keys, shard).unlink(missing_ok=True)


@lru_cache(256)  # asked at each tick
def _left(keys: Path, shard: int) -> Path:
    return keys / "next" / f"shard-{shard:04}.entry"


def _who_signed(note: str, name: str, known: list[LogKeys]) -> LogKeys | None:
    try:
        _, lines = signature_lines(note)
    except ValueError:
        return None
    ids = {key_id for signer, key_id, _ in lines if signer == name}
    return next((one for one in known if Verifier(name, one.named.key).key_id in ids), None)


def request(ledger: Path, keys: Path, token: dict[str, str] | None = None) -> dict[str, Any]:
    """Make the next keys and the request that the root is to sign: one key entry a shard, signed by its current key.

    ``token`` names a key in a hardware token (see token.py) that is to become the log's. Asking again gives the same
    keys again. Raises NotFoundError if there is no ledger.
    """
    held = [shard for shard in shards(ledger) if TileReader(shard_path(ledger, shard) / "log").checkpoint()]
    if not held:
        raise NotFoundError("there is no signed log yet", mend="start the installation first")
    following = keys / "next"
    durable.make_folder(following)
    if token:
        durable.replace(following / "log.token", canonical.dumps(token))
    else:
        open_private(following / "log.key")
    open_mldsa(following / "log-mldsa44.key")
    new, root = LogKeys.open(following, create=False), open_root_public(keys)
    entries = []
    for shard in held:
        name = origin(root, shard)
        current = Signer(shard_path(ledger, shard) / "log", keys, name)
        if current.named == new.named:
            continue
        body = key_body(name, root.key, new.named, current.named.key)
        signed = b64(current.first_key.sign(key_message(body)))
        entries.append({**body, "signatures": {"root": None, "old": signed}})
    return {"kind": _REQUEST, "v": 1, "entries": entries}


def parse(text: bytes, name: str) -> dict[str, Any]:
    """Read a request from a file. Raises LedgerError."""
    try:
        body = json.loads(text)
        good = (body["kind"], body["v"]) == (_REQUEST, 1) and all(
            isinstance(entry["signatures"], dict) and isinstance(entry["origin"], str) for entry in body["entries"]
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        good = False
    if not good:
        raise LedgerError(
            "this is no request for new keys", place=Place(name), mend="make one: watchbill keys rotate --request"
        )
    found: dict[str, Any] = body
    return found


def sign_request(body: dict[str, Any], root: SigningKey) -> dict[str, Any]:
    """Return the request with the root's signatures, having checked that it is for this root. Raises LedgerError."""
    signed = []
    for entry in body["entries"]:
        if entry["root"] != b64(public_bytes(root)):
            raise LedgerError(
                f"the request for {entry['origin']} is for another root key", mend="sign it with the root that it names"
            )
        signatures = {**entry["signatures"], "root": b64(root.sign(key_message(entry)))}
        signed.append({**entry, "signatures": signatures})
    return {**body, "entries": signed}


def apply(ledger: Path, keys: Path, body: dict[str, Any]) -> list[int]:
    """Check a signed request and leave its entries for the writers; return the shards that are to take them up.

    Raises LedgerError if the root did not sign, ConflictError if the log's key has changed since.
    """
    root, left = open_root_public(keys), {}
    for shard in shards(ledger):
        name = origin(root, shard)
        current = Signer(shard_path(ledger, shard) / "log", keys, name)
        for entry in body["entries"]:
            if entry["origin"] != name or unb64(entry["key"]) == current.named.key:
                continue
            spelled = canonical.dumps(entry)
            try:
                new = open_key_entry(spelled, root, name, current.named.key)
            except ValueError as error:
                mend = "have it signed: watchbill keys sign FILE --root root.key"
                raise LedgerError(f"shard {shard}: {error}", mend=mend) from error
            if new != LogKeys.open(keys / "next", create=False).named:
                raise ConflictError("the request names keys that are not in keys/next", mend="make a new request")
            left[shard] = spelled
    for shard, spelled in left.items():
        durable.replace(_left(keys, shard), spelled)
    return sorted(left)


def waiting(keys: Path) -> list[int]:
    """Return the shards whose writers have not taken up a key entry yet."""
    return sorted(int(path.name[6:10]) for path in (keys / "next").glob("shard-*.entry"))


def finish(ledger: Path, keys: Path) -> bool:
    """Let the next keys take the place of the old ones, once every shard's log names them; tell whether they did."""
    following = keys / "next"
    if waiting(keys) or len(log_keys(keys)) < 2:
        return False
    new, root = LogKeys.open(following, create=False).named, open_root_public(keys)
    for shard in shards(ledger):
        log = shard_path(ledger, shard) / "log"
        if TileReader(log).checkpoint() and Signer(log, keys, origin(root, shard)).named != new:
            return False
    made = [name for name in _FILES if (following / name).exists()]
    for name in made:
        (following / name).replace(keys / name)
    for name in {"log.key", "log.token"} - set(made):
        (keys / name).unlink(missing_ok=True)
    durable.sync_directory(keys)
    following.rmdir()
    return True
