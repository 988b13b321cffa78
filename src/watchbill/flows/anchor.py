"""The ledger's head is made known elsewhere: witnesses cosign it once a minute, authorities stamp it once an hour.

The worker asks. The head is what the shards' writers signed and published; nothing of the ledger's own files is changed.
A witness that refuses because it saw more, or something else, is the strongest sign of tampering there is: that becomes
``ledger.damaged``, a critical alert. One that cannot be reached is told once, when it has been away for a while.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from watchbill.core.clock import Clock
from watchbill.core.config import AuthorityConfig, Config, WitnessConfig
from watchbill.core.errors import LedgerError
from watchbill.core.paths import DataDir
from watchbill.core.times import parse_duration
from watchbill.flows.prove import DAMAGED
from watchbill.ledger import anchors, consistency, following, shards, timestamps
from watchbill.ledger.cosign import Cosigner
from watchbill.ledger.manifest import decode_entry
from watchbill.ledger.note import Checkpoint, Verifier, signature_lines, unb64
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.verify import is_manifest
from watchbill.ledger.volume import shard_path
from watchbill.ledger.witness import Request, accept
from watchbill.state.trail import actions
from watchbill.state.trail.values import SYSTEM

log = logging.getLogger(__name__)

FAILING, RETURNED = "anchor.failing", "anchor.returned"
_TIMEOUT_S = 10.0
#: One refusal is the network's, three in a row are told.
_PATIENCE = 3
_LONGEST_ANSWER = 1 << 20


class RefusedError(Exception):
    """A witness saw something that this log does not extend."""


@dataclass(slots=True)
class _Standing:
    """How one of the others does: what it saw last of each shard, how often it failed in a row, and which key of each
    shard it was told to follow to.
    """

    seen: dict[int, int] = field(default_factory=dict)
    failures: int = 0
    told: set[str] = field(default_factory=set)
    told_key: dict[int, Verifier] = field(default_factory=dict)


class Anchoring:
    """Asks the witnesses and authorities of an installation. Use it in one thread."""

    def __init__(
        self, data: DataDir, config: Config, clock: Clock, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._data, self._config, self._clock = data, config.ledger, clock
        self._transport = transport
        self._standing: dict[str, _Standing] = {}

    def witness(self) -> None:
        """Have the head of each shard cosigned, if it has grown, and keep what came back."""
        for shard in shards(self._data.ledger):
            path = shard_path(self._data.ledger, shard)
            note = TileReader(path / "log").checkpoint()
            if note and self._config.witnesses:
                self._witness(shard, path, note)

    def _witness(self, shard: int, path: Path, note: str) -> None:
        size = Checkpoint.parse(note).size
        lines = []
        for one in self._config.witnesses:
            standing = self._standing.setdefault(one.url, _Standing())
            if standing.seen.get(shard) == size and not standing.failures:
                continue
            with _Asked(self, one.url, standing, shard):
                lines.append(self._cosigned(one, standing, shard, path, note))
        if lines:
            text = note.rpartition("\n\n")[0]
            held = anchors.cosigned(path)
            same = [held] if held and held.startswith(f"{text}\n\n") else []
            anchors.keep_cosigned(path, anchors.merged(note, *same, *(f"{text}\n\n{line}" for line in lines)))

    def _cosigned(self, one: WitnessConfig, standing: _Standing, shard: int, path: Path, note: str) -> str:
        """Ask one witness; return its line. Raises RefusedError, ValueError, LedgerError, httpx.HTTPError."""
        known, head = Cosigner.from_vkey(one.key), Checkpoint.parse(note)
        old = standing.seen.get(shard, 0)
        for again in (True, False):
            proof = consistency.prove(TileReader(path / "log"), old, head.size)
            status, body = self._post(f"{one.url.rstrip('/')}/add-checkpoint", Request(old, tuple(proof), note).spell())
            if status == httpx.codes.OK:
                line = accept(body.decode(), note, known)
                standing.seen[shard] = head.size
                return line
            if status == httpx.codes.FORBIDDEN and again and self._followed(one, standing, shard, path, note):
                continue
            if status != httpx.codes.CONFLICT or not again:
                break
            seen = int(body)
            if seen > head.size:
                raise RefusedError(
                    f"it cosigned {seen} log entries, there are {head.size} now: the ledger was cut back"
                )
            if seen == old == head.size:
                raise RefusedError(f"it saw another head of {seen} log entries: the ledger was written anew")
            old = seen
        if status in {httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY}:
            raise RefusedError(f"the ledger is not what it saw at {old} log entries: it was written anew")
        said = f"it answered {status}: {body[:200].decode('utf-8', 'replace').strip()}"
        if status == httpx.codes.FORBIDDEN and (key := standing.told_key.get(shard)):
            said += (
                ". It trusts another key than the one that signs now; whoever runs it has to take it up: watchbill "
                f"witness trust --data DIR {key.vkey()}"
            )
        raise ValueError(said)

    def _followed(self, one: WitnessConfig, standing: _Standing, shard: int, path: Path, note: str) -> bool:
        """Tell a witness that does not trust the key which keys the log had; True if it follows to the newest one.

        Asked once a key, for all entries of the log are read for it. Only our own witnesses know this question.
        """
        text, ((_, key_id, _), *_) = signature_lines(note)
        if shard in standing.told_key and standing.told_key[shard].key_id == key_id:
            return False
        head = Checkpoint.parse(text)
        entries = [entry for entry in TileReader(path / "log").entries(0, head.size) if not is_manifest(entry)]
        entries = [entry for entry in entries if decode_entry(entry)["kind"] == "key"]
        status, _ = self._post(f"{one.url.rstrip('/')}/follow-key", following.spell(entries), "application/json")
        standing.told_key[shard] = Verifier(head.origin, unb64(decode_entry(entries[-1])["key"]))
        return status == httpx.codes.OK

    def stamp(self) -> None:
        """Have the head of each shard time-stamped, if the last stamp of an authority is old and the log has grown."""
        for shard in shards(self._data.ledger):
            path = shard_path(self._data.ledger, shard)
            note = TileReader(path / "log").checkpoint()
            if not note or not self._config.timestamps or not self._stamp_is_due(path, Checkpoint.parse(note).size):
                continue
            held = anchors.cosigned(path)  # that also says who saw it
            note = held if held and Checkpoint.parse(held).size == Checkpoint.parse(note).size else note
            for one in self._config.timestamps:
                standing = self._standing.setdefault(one.url, _Standing())
                with _Asked(self, one.url, standing, shard):
                    anchors.keep_stamp(path, note, _slug(one), self._token(one, note))

    def _stamp_is_due(self, path: Path, size: int) -> bool:
        last = next(iter(reversed(anchors.sizes(path))), -1)
        if last in {-1, size}:
            return last == -1
        tokens = anchors.anchor(path, last).tokens
        newest = max((timestamps.read(token).at for token in tokens.values()), default=0)
        all_there = {_slug(one) for one in self._config.timestamps} <= set(tokens)
        return not all_there or abs(self._clock.now() - newest) >= parse_duration(self._config.timestamp_every)

    def _token(self, one: AuthorityConfig, note: str) -> bytes:
        digest, nonce = timestamps.imprint(note), secrets.randbits(63)
        asked = timestamps.request(digest, nonce)
        status, body = self._post(one.url, asked, "application/timestamp-query")
        if status != httpx.codes.OK:
            raise ValueError(f"it answered {status}")
        return timestamps.open_response(body, digest, nonce)

    def _post(self, url: str, body: bytes, kind: str = "text/plain; charset=utf-8") -> tuple[int, bytes]:
        """Post, and read a bounded answer. Raises httpx.HTTPError, ValueError."""
        headers = {"User-Agent": "watchbill", "Content-Type": kind}
        with (
            httpx.Client(transport=self._transport, timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as one,
            one.stream("POST", url, content=body, headers=headers) as response,
        ):
            answer = bytearray()
            for part in response.iter_bytes():
                answer += part
                if len(answer) > _LONGEST_ANSWER:
                    raise ValueError("its answer is too long")
            return response.status_code, bytes(answer)

    def tell(self, action: str, kind: str, name: str, detail: dict[str, object]) -> None:
        actions.record(SYSTEM, action, kind, name, detail, self._clock.now())


class _Asked:
    """Around one question: what goes wrong is told once, and told again when it is over."""

    def __init__(self, anchoring: Anchoring, url: str, standing: _Standing, shard: int) -> None:
        self._tell: Callable[[str, str, str, dict[str, object]], None] = anchoring.tell
        self._name, self._standing, self._shard = urlsplit(url).netloc.rpartition("@")[2], standing, shard

    def __enter__(self) -> None:
        """Nothing is to be prepared."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        standing = self._standing
        if error is None:
            if "failing" in standing.told:
                self._tell(RETURNED, "anchor", self._name, {})
            standing.failures, standing.told = 0, set()
            return True
        if isinstance(error, RefusedError):
            what = f"the witness refused shard {self._shard}: {error}"
            if what not in standing.told:
                standing.told.add(what)
                self._tell(DAMAGED, "witness", self._name, {"place": self._name, "what": what, "findings": 1})
            return True
        if isinstance(error, httpx.HTTPError | ValueError | LedgerError | OSError):
            standing.failures += 1
            log.warning("%s: %s", self._name, error)
            if standing.failures >= _PATIENCE and "failing" not in standing.told:
                standing.told.add("failing")
                self._tell(FAILING, "anchor", self._name, {"reason": str(error)[:500], "shard": self._shard})
            return True
        return False


def _slug(one: AuthorityConfig) -> str:
    """Return an authority's name as it stands in a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", (one.name or urlsplit(one.url).hostname or "").lower()).strip("-") or "authority"
