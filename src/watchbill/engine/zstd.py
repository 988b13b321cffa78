"""zstd (RFC 8878): Python's own library from 3.14 on, its backport before."""

from __future__ import annotations

import sys
from typing import IO, cast

if sys.version_info >= (3, 14):
    from compression import zstd as library
else:
    from backports import zstd as library

__all__ = ["MAGIC", "decompressor", "library", "opened"]

MAGIC = b"\x28\xb5\x2f\xfd"
#: How far back a file may refer, as a power of two: what "zstd --long" and "zstd -dc" take at most (128 MiB).
_WINDOW_LOG = 27


def decompressor(window_log: int) -> library.ZstdDecompressor:
    """For one frame, which may refer so far back (a power of two)."""
    return library.ZstdDecompressor(options=_options(window_log))


def opened(file: object) -> library.ZstdFile:
    """What is packed in a file (anything with ``read``), of any number of frames. Reading raises ZstdError or EOFError."""
    return library.ZstdFile(cast("IO[bytes]", file), "rb", options=_options(_WINDOW_LOG))


def _options(window_log: int) -> dict[int, int]:
    return {library.DecompressionParameter.window_log_max: window_log}
