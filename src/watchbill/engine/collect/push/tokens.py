"""The tokens that may push, as digests in one file, which the console and the command line write.

The receiving process knows no database, and needs none: it reads the file again when it changes. A token has 256
random bits, so a plain SHA-256 of it can be kept: nothing can be guessed from that.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import orjson

from watchbill.engine.collect.positions import replace

log = logging.getLogger(__name__)


class PushToken(NamedTuple):
    """A sender's token: ``name`` is the source's; ``format`` is a parser's id, "": recognised by content."""

    id: int
    name: str
    digest: str
    format: str = ""


#: Who asks what needs no token.
NOBODY = PushToken(0, "", "")


def digest_of(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def write_tokens(path: Path, tokens: Iterable[PushToken]) -> None:
    """Replace the file, durably, for the owner alone. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rows = [token._asdict() for token in tokens]
    replace(path, orjson.dumps({"version": 1, "tokens": rows}, option=orjson.OPT_INDENT_2), durable=True)


class Tokens:
    """The file as the receiver sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, PushToken] = {}

    def find(self, secret: str) -> PushToken | None:
        """The token with this secret. What is looked up and compared is a digest, whose timing tells nothing."""
        self._refresh()
        digest = digest_of(secret)
        token = self._tokens.get(digest)
        return token if token is not None and hmac.compare_digest(token.digest, digest) else None

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            seen = found.st_mtime_ns, found.st_size, found.st_ino
            if seen == self._seen:
                return
            rows = orjson.loads(self._path.read_bytes())["tokens"]
            tokens = [PushToken(int(r["id"]), str(r["name"]), str(r["digest"]), str(r["format"])) for r in rows]
            self._tokens = {token.digest: token for token in tokens}
            self._seen = seen
        except FileNotFoundError:
            self._tokens, self._seen = {}, None
        except (OSError, ValueError, KeyError, TypeError) as error:
            # Rather nobody than somebody who was sent away.
            if self._tokens or self._seen is None:
                log.error("%s cannot be read, no token is good: %s", self._path, error)  # noqa: TRY400
            self._tokens, self._seen = {}, (0, 0, 0)
