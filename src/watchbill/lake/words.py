"""Which words a compacted file holds: a sorted list of 32-bit hashes beside the table, so that a search for a rare
word opens only the files that can have it.

A list is a hint: a file without one is simply read, and a hash that stands for another word costs one look. Words are
runs of ASCII letters, digits and underscores in lower case (what RE2 bounds as words); dotted numbers also count in
threes ("192.0.2", "0.2.77"), which makes addresses as findable as words.
"""

from __future__ import annotations

import mmap
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path
from zlib import crc32

WORD = re.compile(r"[A-Za-z0-9_]")
_WORDS = b"abcdefghijklmnopqrstuvwxyz0123456789_"
_ONLY_WORDS = bytes(code if code in _WORDS else 32 for code in range(256))
_ONLY_NUMBERS = bytes(code if code in b"0123456789." else 32 for code in range(256))


def tokens(text: bytes) -> set[bytes]:
    """The words of a UTF-8 text (of any length: this is what compaction spends its time on)."""
    lowered = text.lower()
    found = set(lowered.translate(_ONLY_WORDS).split())
    for run in set(lowered.translate(_ONLY_NUMBERS).split()):
        if run.count(b".") >= 2:
            parts = run.split(b".")
            found.update(b".".join(three) for three in zip(parts, parts[1:], parts[2:], strict=False) if all(three))
    return found


class WordLists:
    """The word lists in a folder, one a data file, named after it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, data_file: str) -> Path:
        return self.folder / f"{Path(data_file).name}.words"

    def write(self, data_file: str, messages: Iterable[bytes]) -> None:
        """Write the list of a data file from its messages (UTF-8, any number in one piece, apart by newlines)."""
        hashes: set[int] = set()
        for text in messages:
            hashes.update(map(crc32, tokens(text)))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        final = self.path(data_file)
        partial = final.with_suffix(f".{os.getpid()}")
        with partial.open("wb") as out:
            array("I", sorted(hashes)).tofile(out)
        partial.replace(final)

    def admits(self, data_file: str, may: Callable[[Callable[[bytes], bool]], bool]) -> bool:
        """Tell whether the file may satisfy a condition, which asks about as many words as it likes."""
        held: list[memoryview | None] = []

        def has(word: bytes) -> bool:
            if not held:
                held.append(self._open(data_file))
            hashes = held[0]
            if hashes is None:
                return True
            wanted = crc32(word)
            at = bisect_left(hashes, wanted)
            return at < len(hashes) and hashes[at] == wanted

        return may(has)

    def _open(self, data_file: str) -> memoryview | None:
        try:
            with self.path(data_file).open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    return memoryview(array("I"))
                return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)).cast("I")
        except FileNotFoundError:
            return None

    def keep(self, data_files: Iterable[str]) -> None:
        """Delete the lists of all other files."""
        kept = {self.path(name) for name in data_files}
        for path in self.folder.glob("*.words"):
            if path not in kept:
                path.unlink(missing_ok=True)
