"""The log's entries: the manifests of sealed segments and the key entries. Canonical JSON, one object an entry.

Kinds kept for later versions: "retention" (bodies older than a time were deleted) and "erasure" (records, by event
id, whose bytes and salts were erased, with who asked and who agreed).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchbill.core import canonical
from watchbill.ledger import salts
from watchbill.ledger.keys import NamedKeys
from watchbill.ledger.note import SigningKey, Verifier, b64, public_bytes, unb64
from watchbill.ledger.segment import Drop

_KEY_CONTEXT = b"watchbill key entry v1\n"
_SEED = struct.Struct(">BH16s")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a sealed segment is. Times in nanoseconds; ``sources`` are (number, first and last sequence, records)."""

    shard: int
    segment: int
    previous: str
    first: int
    count: int
    root: str
    received: tuple[int, int]
    sealed: int
    boot: str
    clock: str
    sources: tuple[tuple[int, int, int, int], ...]
    drops: tuple[Drop, ...]

    def encode(self) -> bytes:
        return canonical.dumps({"kind": "segment", "v": 1} | {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def decode(cls, entry: bytes) -> Manifest:
        """Read an entry of kind "segment". Raises ValueError."""
        fields = decode_entry(entry)
        if fields.pop("kind", None) != "segment" or fields.pop("v", None) != 1:
            raise ValueError("this entry is no manifest")
        try:
            fields["received"] = tuple(fields["received"])
            fields["sources"] = tuple(tuple(source) for source in fields["sources"])
            fields["drops"] = tuple(Drop(*drop) for drop in fields["drops"])
            found = cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"this manifest is malformed: {error}") from error
        if found.encode() != entry:
            raise ValueError("this manifest is not in canonical form")
        return found


def decode_entry(entry: bytes) -> dict[str, Any]:
    """Read any entry as a JSON object. Raises ValueError."""
    try:
        fields = json.loads(entry)
    except RecursionError as error:
        raise ValueError("this entry is too deep") from error
    if not isinstance(fields, dict):
        raise ValueError("this entry is no object")  # noqa: TRY004 - callers treat all bad input alike
    return fields


def key_body(origin: str, root_key: bytes, new: NamedKeys, old: bytes | None) -> dict[str, Any]:
    """Return what a key entry says, before it is signed: the log's keys from here on."""
    body = {
        "kind": "key",
        "v": 1,
        "origin": origin,
        "root": b64(root_key),
        "key": b64(new.key),
        "old": b64(old) if old else None,
    }
    return body | ({"mldsa44": b64(new.mldsa44)} if new.mldsa44 else {})


def key_message(body: dict[str, Any]) -> bytes:
    """Return the bytes that the root and the old key sign."""
    return _KEY_CONTEXT + canonical.dumps({name: value for name, value in body.items() if name != "signatures"})


def key_entry(origin: str, root: SigningKey, root_key: bytes, new: NamedKeys, old: SigningKey | None) -> bytes:
    """Name the keys that sign the log from here on: signed by the root and, in a rotation, by the key before."""
    body = key_body(origin, root_key, new, public_bytes(old) if old else None)
    message = key_message(body)
    by_old = b64(old.sign(message)) if old else None
    return canonical.dumps({**body, "signatures": {"root": b64(root.sign(message)), "old": by_old}})


def open_key_entry(entry: bytes, root: Verifier, origin: str, current: bytes | None) -> NamedKeys:
    """Return the log keys that a key entry names, having checked who signed it. Raises ValueError.

    ``current`` is the log key before it, None at the log's first entry.
    """
    body = decode_entry(entry)
    if body.get("kind") != "key":
        raise ValueError(f"an entry of kind {body.get('kind')!r}, which this version does not know")
    try:
        signatures, message = body.pop("signatures"), key_message(body)
        new = NamedKeys(unb64(body["key"]), unb64(body["mldsa44"]) if "mldsa44" in body else None)
        old = unb64(body["old"]) if body["old"] else None
        good = (
            (body["v"], body["origin"], unb64(body["root"])) == (1, origin, root.key)
            and old == current
            and root.verifies(message, unb64(signatures["root"] or ""))
            and (old is None or Verifier(origin, old).verifies(message, unb64(signatures["old"])))
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the key entry is malformed: {error}") from error
    if not good or len(new.key) != 32 or (new.mldsa44 is not None and len(new.mldsa44) != 1312):
        raise ValueError("the key entry is not signed by the root and the key before it")
    return new


@dataclass(frozen=True, slots=True)
class Seal:
    """What a seal frame holds: the manifest, and what is needed to check the records against it."""

    manifest: bytes
    seeds: Sequence[salts.Seed]
    nodes: Sequence[bytes]

    def encode(self) -> bytes:
        """Lay it out: manifest 4, seeds 2, nodes 2, then the manifest, seeds x (depth 1, index 2, node 16), nodes x 32."""
        counts = struct.pack(">IHH", len(self.manifest), len(self.seeds), len(self.nodes))
        return b"".join((counts, self.manifest, *(_SEED.pack(*seed) for seed in self.seeds), *self.nodes))

    @classmethod
    def decode(cls, payload: bytes) -> Seal:
        """Read it. Raises ValueError."""
        try:
            size, seeds, nodes = struct.unpack_from(">IHH", payload)
        except struct.error as error:
            raise ValueError("the seal is malformed") from error
        middle = 8 + size
        rest = middle + seeds * _SEED.size
        if len(payload) != rest + 32 * nodes:
            raise ValueError("the seal is malformed")
        found = [salts.Seed(*fields) for fields in _SEED.iter_unpack(payload[middle:rest])]
        return cls(payload[8:middle], found, [payload[at : at + 32] for at in range(rest, len(payload), 32)])
