"""The beginning of the volume that is being written: what was there must still be there, however the volume grows."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

from watchbill.ledger.volume import Head, VolumePath

if TYPE_CHECKING:
    import hashlib

_CHUNK = 4 << 20


class Prefix:
    """A volume's digest up to where it was seen last."""

    def __init__(self) -> None:
        self._volume, self._end = -1, 0
        self._digest = sha256()

    def is_same(self, volume: VolumePath, head: Head) -> bool:
        """Hash it again and go on; tell whether what was there is unchanged. Another volume begins anew."""
        known = self._volume == volume.number and head.end >= self._end
        before, digest = self._digest.digest(), sha256()
        with volume.path.open("rb") as file:
            _feed(digest, file, self._end if known else 0)
            same = known and digest.digest() == before
            _feed(digest, file, head.end - file.tell())
        self._volume, self._end, self._digest = volume.number, head.end, digest
        return same


def _feed(digest: hashlib._Hash, file: BinaryIO, size: int) -> None:
    """Feed so many bytes of a file to a digest."""
    while size > 0 and (data := file.read(min(size, _CHUNK))):
        digest.update(data)
        size -= len(data)
