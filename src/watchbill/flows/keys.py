"""The ledger's keys as people handle them: which there are, how new ones take their place, where the root is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from watchbill.core.clock import Clock
from watchbill.core.errors import ConflictError, LedgerError, NotFoundError, Place
from watchbill.core.paths import DataDir
from watchbill.ledger import Writer, durable, rotation, shards
from watchbill.ledger.keys import fingerprint, open_private, open_root_public, origin
from watchbill.ledger.note import SigningKey, Verifier, public_bytes
from watchbill.ledger.rotation import Signer
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.volume import shard_path
from watchbill.state.trail import actions

_PATIENCE_SECONDS = 15.0


class LogKeyState(NamedTuple):
    """The keys that sign one shard's log. ``vkey`` is what a witness is told to trust; ``second`` is the fingerprint of
    the post-quantum key, if there is one; ``waiting``: new keys are left for its writer.
    """

    shard: int
    origin: str
    vkey: str
    fingerprint: str
    second: str
    kept: str
    waiting: bool


class KeysState(NamedTuple):
    """All keys of an installation. ``root_here``: the root's private key lies on this machine."""

    root: str
    root_vkey: str
    root_here: bool
    logs: tuple[LogKeyState, ...]


def state(data: DataDir) -> KeysState:
    """Say what keys there are. Raises LedgerError if one cannot be read."""
    keys = data.keys
    if not (keys / "root.pub").exists():
        return KeysState("", "", root_here=False, logs=())
    root = open_root_public(keys)
    waiting = rotation.waiting(keys)
    kept = "token" if (keys / "log.token").exists() else "file"
    logs = []
    for shard in shards(data.ledger):
        folder, name = shard_path(data.ledger, shard) / "log", origin(root, shard)
        if TileReader(folder).checkpoint() is None:
            continue
        named = Signer(folder, keys, name).named
        second = fingerprint(named.mldsa44) if named.mldsa44 else ""
        vkey = Verifier(name, named.key).vkey()
        logs.append(LogKeyState(shard, name, vkey, fingerprint(named.key), second, kept, shard in waiting))
    return KeysState(fingerprint(root.key), root.vkey(), (keys / "root.key").exists(), tuple(logs))


def request(data: DataDir, clock: Clock, *, by: str, token: dict[str, str] | None = None) -> dict[str, Any]:
    """Make new keys and the request for the root's signature. Raises NotFoundError, LedgerError."""
    body = rotation.request(data.ledger, data.keys, token)
    if not body["entries"]:
        raise ConflictError("the new keys sign already", mend="finish: watchbill keys rotate --apply FILE")
    detail = {"shards": len(body["entries"]), "token": token is not None}
    actions.record(by, "keys.requested", "keys", "log", detail, clock.now())
    return body


def sign(body: dict[str, Any], root_file: Path) -> dict[str, Any]:
    """Return the request signed by the root in a file. Needs no installation. Raises LedgerError."""
    return rotation.sign_request(body, open_private(root_file, create=False))


def apply(data: DataDir, clock: Clock, body: dict[str, Any], *, by: str) -> bool:
    """Let the writers take up new keys: those that run do so by themselves within a second, for others it is done here.

    Returns whether all have; else the running ones do, and calling it again finishes. Raises LedgerError, ConflictError.
    """
    left = rotation.apply(data.ledger, data.keys, body)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while rotation.waiting(data.keys) and time.monotonic() < deadline:
        for shard in rotation.waiting(data.keys):
            _tick(data, clock, shard)
        time.sleep(0.1)
    done = rotation.finish(data.ledger, data.keys)
    if left or done:
        actions.record(by, "keys.rotated", "keys", "log", {"shards": len(left), "done": done}, clock.now())
    return done


def _tick(data: DataDir, clock: Clock, shard: int) -> None:
    """Write for a shard that nobody writes."""
    try:
        with Writer.open(data.ledger, shard=shard, keys=data.keys, clock=clock) as writer:
            writer.tick()
    except LedgerError as error:
        if not error.retry:
            raise


def export_root(data: DataDir, out: Path, clock: Clock, *, by: str, keep: bool = False) -> str:
    """Copy the root's private key to a file elsewhere, read it back, and take it from this machine unless ``keep``.

    Returns its fingerprint. Raises NotFoundError if it is not here, ConflictError if the file is there already.
    """
    here = data.keys / "root.key"
    if not here.exists():
        raise NotFoundError("the root's private key is not on this machine", mend="it was taken away before")
    if not keep and not {0, 1} <= set(shards(data.ledger)):
        raise ConflictError("not every shard has begun: each wants the root once", mend="start the installation first")
    root = open_private(here, create=False)
    if not durable.create(out, here.read_bytes()):
        raise ConflictError(f"{out} is there already", mend="choose another name")
    copied: SigningKey = open_private(out, create=False)
    if public_bytes(copied) != open_root_public(data.keys).key or public_bytes(copied) != public_bytes(root):
        raise LedgerError(
            "the copy is not the root's key", place=Place(str(out)), mend="nothing was deleted; try another disk"
        )
    if not keep:
        size = here.stat().st_size
        with here.open("r+b") as file:
            file.write(b"\0" * size)
        here.unlink()
        durable.sync_directory(data.keys)
    print_of = fingerprint(public_bytes(root))
    actions.record(by, "keys.root_exported", "keys", "root", {"kept": keep}, clock.now())
    return print_of
