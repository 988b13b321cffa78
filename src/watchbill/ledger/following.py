"""A witness follows a log to its new key: the rotation is signed by the key that it trusts, and by the log's root.

The protocol of witnesses (C2SP tlog-witness) leaves it open how a witness comes to know keys. Ours answers beside
``add-checkpoint`` to ``follow-key``: a list of the log's key entries. The root is the one of the log's own name. The old
key counts no longer: it may have been changed because somebody stole it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from watchbill.core import canonical
from watchbill.ledger.keys import ROOT_NAME, origin
from watchbill.ledger.manifest import decode_entry, open_key_entry
from watchbill.ledger.note import Verifier, b64, unb64

_KIND = "watchbill key entries"
#: More rotations than a witness can have slept through.
MOST_ENTRIES = 64


def spell(entries: Sequence[bytes]) -> bytes:
    """Return the request that tells a witness of a log's key entries, in their order."""
    return canonical.dumps({"entries": [b64(entry) for entry in entries[-MOST_ENTRIES:]], "kind": _KIND, "v": 1})


def parse(request: bytes) -> list[bytes]:
    """Read the key entries of a request. Raises ValueError."""
    try:
        body = json.loads(request)
        if (body["kind"], body["v"]) != (_KIND, 1) or not 0 < len(body["entries"]) <= MOST_ENTRIES:
            raise ValueError("these are no key entries")
        return [unb64(entry) for entry in body["entries"]]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("these are no key entries") from error


def lead(entries: Sequence[bytes], known: Sequence[Verifier]) -> tuple[Verifier, Verifier] | None:
    """Return a known key and the newest one that entries lead to from it; None if they lead from none.

    Raises ValueError for an entry that follows on a known key and is not signed as it should be.
    """
    for trusted in known:
        here = trusted
        for entry in entries:
            here = _next(entry, here) or here
        if here != trusted:
            return trusted, here
    return None


def _next(entry: bytes, here: Verifier) -> Verifier | None:
    """Return the key that an entry names after ``here``; None if it is not one that follows on it. Raises ValueError."""
    try:
        body = decode_entry(entry)
        if body["origin"] != here.name or not body["old"] or unb64(body["old"]) != here.key:
            return None
        root = Verifier(ROOT_NAME, unb64(body["root"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("this is no key entry") from error
    shard = here.name.rpartition("/")[2]
    if not shard.isdecimal() or origin(root, int(shard)) != here.name:
        raise ValueError("the root that signed is not the one of the log's name")
    return Verifier(here.name, open_key_entry(entry, root, here.name, here.key).key)
