"""What others said of a log's head: witnesses' cosignatures and authorities' time stamps, kept beside the log.

shard-0000/anchors/cosigned                    the newest checkpoint that witnesses cosigned
shard-0000/anchors/NNNNNNNNNNNNNNNNNNNN.note   a checkpoint that was time-stamped; the name is its size
shard-0000/anchors/NNNNNNNNNNNNNNNNNNNN.NAME.tsr   a token over it
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from watchbill.core.errors import LedgerError, Place
from watchbill.ledger import durable
from watchbill.ledger.note import Checkpoint, signature_lines, spell_signature

_NOTE = re.compile(r"(\d{20})\.note")
_LONGEST = 1 << 20


class Anchor(NamedTuple):
    """A checkpoint that was kept, and the tokens over it by authority's name."""

    checkpoint: Checkpoint
    note: str
    tokens: dict[str, bytes]


def folder(shard: Path) -> Path:
    """Return where a shard keeps its anchors."""
    return shard / "anchors"


def cosigned(shard: Path) -> str | None:
    """Return the newest checkpoint that witnesses cosigned, None if none did. Raises LedgerError."""
    return _text(folder(shard) / "cosigned")


def keep_cosigned(shard: Path, note: str) -> None:
    durable.make_folder(folder(shard))
    durable.replace(folder(shard) / "cosigned", note.encode())


def keep_stamp(shard: Path, note: str, name: str, token: bytes) -> None:
    """Keep a checkpoint and a token over it. ``name`` is made of letters, digits and hyphens."""
    durable.make_folder(folder(shard))
    place = folder(shard) / f"{Checkpoint.parse(note).size:020}"
    durable.replace(place.with_suffix(f".{name}.tsr"), token)
    durable.replace(place.with_suffix(".note"), note.encode())


def sizes(shard: Path) -> list[int]:
    """Return the sizes of the log at which checkpoints were time-stamped."""
    held = folder(shard).iterdir() if folder(shard).is_dir() else ()
    return sorted(int(found[1]) for path in held if (found := _NOTE.fullmatch(path.name)))


def anchor(shard: Path, size: int) -> Anchor:
    """Return the checkpoint that was time-stamped at a size. Raises LedgerError."""
    path = folder(shard) / f"{size:020}.note"
    note = _text(path)
    if note is None:
        raise LedgerError("this checkpoint is missing", place=Place(str(path)))
    try:
        checkpoint = Checkpoint.parse(signature_lines(note)[0])
    except ValueError as error:
        raise LedgerError(str(error), place=Place(str(path))) from error
    names = sorted(folder(shard).glob(f"{size:020}.*.tsr"))
    return Anchor(checkpoint, note, {one.name[21:-4]: _bytes(one) or b"" for one in names})


def merged(note: str, *others: str) -> str:
    """Return a note with the signatures of others over the same text added, each key once. Raises ValueError."""
    text, lines = signature_lines(note)
    for other in others:
        said, more = signature_lines(other)
        if said != text:
            raise ValueError("these are notes of different texts")
        known = {line[:2] for line in lines}
        lines += [line for line in more if line[:2] not in known]
    return f"{text}\n" + "".join(spell_signature(name, key_id + signature) for name, key_id, signature in lines)


def _text(path: Path) -> str | None:
    data = _bytes(path)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        raise LedgerError("this checkpoint is no text", place=Place(str(path))) from None


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
    except FileNotFoundError:
        return None
    if len(data) > _LONGEST:
        raise LedgerError("this file is too long", place=Place(str(path)))
    return data
