r"""Loaded rules in a file of our own, so that a start with the same rules need not read them as YAML again.

    "watchbill rules 1\n" · SHA-256 of the rest · header (key, loaded at) and the rules, MessagePack

The key is a digest of all that the result follows from: the files' names and bytes, placeholders, and the engine's own
code. A file that is damaged, of another version or of other rules is passed over and written anew.
"""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import cache as once
from pathlib import Path
from typing import Any

import msgspec

from watchbill.engine.detect.documents import Map, Seq
from watchbill.engine.detect.modifiers import Placeholders
from watchbill.engine.detect.rules import RuleSet

_MAGIC = b"watchbill rules 1\n"
_DIGEST = 32

Files = Mapping[Path, bytes | OSError]


class _Stored(msgspec.Struct, array_like=True):
    key: bytes
    now: int
    rules: RuleSet


def recall(cache: Path, files: Files, placeholders: Placeholders, now: int) -> RuleSet | None:
    """The rules of these files as they were loaded before; None when that is not known."""
    try:
        data = cache.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _DIGEST
    body = data[start:]
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : start] != hashlib.sha256(body).digest():
        return None
    collecting = gc.isenabled()
    gc.disable()  # of what is made here nothing is garbage
    try:
        stored = _decoder().decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    finally:
        if collecting:
            gc.enable()
    rules = stored.rules
    if stored.key != _key(files, placeholders) or now < stored.now or (rules.ends and now >= rules.ends):
        return None
    return rules


def remember(cache: Path, rules: RuleSet, files: Files, placeholders: Placeholders, now: int) -> None:
    """Write the file whole or not at all, for its owner only. What cannot be written is simply not remembered."""
    try:
        frozen = [msgspec.structs.replace(rule, meta=_frozen(rule.meta)) for rule in rules.rules]
        kept = RuleSet(tuple(frozen), rules.problems, rules.ends)
        body = msgspec.msgpack.encode(_Stored(_key(files, placeholders), now, kept))
    except (OverflowError, TypeError, ValueError, RecursionError):  # a number that MessagePack does not know
        return
    try:
        handle, name = tempfile.mkstemp(dir=cache.parent, prefix=f".{cache.name}.")  # made with 0600
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(cache)
    except OSError:
        Path(name).unlink(missing_ok=True)


def _key(files: Files, placeholders: Placeholders) -> bytes:
    digest = hashlib.sha256(_code())
    digest.update(repr(sorted((name, tuple(values)) for name, values in placeholders.items())).encode())
    for path, data in files.items():
        content = data if isinstance(data, bytes) else str(data).encode()
        digest.update(b"%s\0%d\0" % (os.fsencode(path), len(content)))
        digest.update(content)
    return digest.digest()


@once
def _code() -> bytes:
    """A digest of the modules that make rules what they are."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


@once
def _decoder() -> msgspec.msgpack.Decoder[_Stored]:
    return msgspec.msgpack.Decoder(_Stored, dec_hook=_thaw)


def _frozen(value: Any) -> Any:
    """Mappings and sequences with their lines: [line, lines, values] and, of mappings, the keys.

    The searches go without: they have become expressions, and nobody asks for their lines any more.
    """
    if isinstance(value, Map):
        values = [one if key == "detection" else _frozen(one) for key, one in value.items()]
        return [value.line, list(value.lines.values()), values, list(value)]
    if isinstance(value, Seq):
        return [value.line, value.lines, [_frozen(one) for one in value]]
    return value


def _thaw(kind: type, value: Any) -> Any:
    """Undo ``_frozen``; mappings that were not frozen have no lines."""
    if kind is not Map:
        raise NotImplementedError
    if isinstance(value, dict):
        made = Map(0)
        made.update(value)
        return made
    return _thawed(value)


def _thawed(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) == 4:
        line, lines, values, keys = value
        made = Map(line)
        made.lines = dict(zip(keys, lines, strict=True))
        made.update(zip(keys, map(_thawed, values), strict=True))
        return made
    line, lines, values = value
    listed = Seq(line)
    listed.lines = lines
    listed.extend(map(_thawed, values))
    return listed
