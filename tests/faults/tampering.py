"""A file of a ledger is truncated, or one of its bits flips: the verifier says where, and repair or a start goes on."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nursery import command

from watchbill.ledger import verify_ledger

#: What proves nothing and is made anew: the locks, the room that is kept free.
_UNPROVEN = {"lock", "reserve"}
#: Private keys prove nothing by themselves; the verifier reads the public root and the tail's key.
_PRIVATE = {"root.key", "log.key", "log-mldsa44.key"}
#: What stands at a file's start says how the rest is read; a fifth of the flips fall here.
_OPENING = 240


class Tampered(NamedTuple):
    """One file that was changed: whether the verifier found it, and what is wrong with that ("" if nothing)."""

    file: str
    how: str
    found: bool
    wrong: str


def tampered(folder: Path, times: int, chance: random.Random) -> Iterator[Tampered]:
    """Tamper ``times`` times with a fresh copy of a ledger, each time with one file."""
    whole, copy = folder / "whole", folder / "copy"
    whole.mkdir()
    subprocess.run(command(whole, 1), check=True, capture_output=True)
    root = whole / "keys" / "root.pub"
    root.write_bytes(root.read_bytes().rstrip())  # whether a line feed ends it means nothing
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.stat().st_size)
    files = [path for path in files if path.name not in _UNPROVEN | _PRIVATE]
    for _ in range(times):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        yield _tamper(copy, chance.choice(files), chance)


def _tamper(copy: Path, name: Path, chance: random.Random) -> Tampered:
    path = copy / name
    data = bytearray(path.read_bytes())
    if chance.random() < 0.3:
        size = chance.randrange(len(data))
        how = f"cut to {size} of {len(data)} bytes"
        path.write_bytes(data[:size])
        harmless = _is_second_copy(name) and size >= 44
    else:
        most = _OPENING if chance.random() < 0.2 else len(data)
        at, bit = chance.randrange(min(most, len(data))), chance.randrange(8)
        how = f"bit {bit} of byte {at} flipped"
        data[at] ^= 1 << bit
        path.write_bytes(data)
        harmless = _is_second_copy(name) or _is_mac(copy, name, at)
    report = verify_ledger(copy / "ledger", keys=copy / "keys", workers=1)
    wrong = ""
    if report.ok and not harmless:
        wrong = f"{name}: {how}: nothing was found"
    elif not report.ok and name.name not in report.findings[0].place and not _is_about(name, report.findings[0].place):
        wrong = f"{name}: {how}: found, and placed at {report.findings[0].place}"
    return Tampered(str(name), how, not report.ok, wrong)


def _is_second_copy(name: Path) -> bool:
    """The head and the tail's key stand twice in their files: one whole copy is enough, by their design."""
    return name.name == "head" or name.name.startswith("tail-")


def _is_mac(copy: Path, name: Path, at: int) -> bool:
    """MACs guard what is not sealed yet; afterwards nothing depends on them."""
    from watchbill.ledger import frames

    if name.suffix != ".vol":
        return False
    with (copy / name).open("rb") as file:
        found = frames.headers(file.fileno(), 0, (copy / name).stat().st_size)
        return any(header.end - frames.MAC_SIZE <= at < header.end for header in found)


def _is_about(name: Path, place: str) -> bool:
    """A tile and the file that it is compared with share their number; the root key stands in no file but its own."""
    return ("tile" in name.parts and "/log" in place) or name.name == "root.pub" or name.parts[0] in place
