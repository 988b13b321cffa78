"""A ledger whose head a witness cosigned and an authority stamped, and what an auditor holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from authority import Authority
from watchbill.core.clock import SECOND
from watchbill.ledger import anchors, consistency, timestamps
from watchbill.ledger.keys import LogKeys
from watchbill.ledger.note import Checkpoint, Verifier
from watchbill.ledger.tiles import TileReader
from watchbill.ledger.witness import Request, Witness, accept, last_seen, trust

SHARD = "shard-0000"


@dataclass
class Attested:
    """``held`` is the auditor's folder: the witness's key (or keys) and the authority's root."""

    place: object
    witness: Witness
    authority: Authority
    held: Path

    @property
    def shard(self) -> Path:
        return self.place.ledger / SHARD

    def note(self) -> str:
        return TileReader(self.shard / "log").checkpoint()

    def write(self, text: bytes = b"record", n: int = 20) -> None:
        with self.place.writer() as writer:
            writer.append(
                writer.source("web-01", "http"), [b"%s %d" % (text, at) for at in range(n)], self.place.clock.now()
            )
            self.place.clock.advance(SECOND)
            writer.tick()

    def cosign(self) -> None:
        """Ask the witness, as the worker does over HTTP. Raises ValueError if it refuses."""
        note = self.note()
        head = Checkpoint.parse(note)
        seen = last_seen(self.witness.path, head.origin)
        old = seen.checkpoint.size if seen else 0
        proof = consistency.prove(TileReader(self.shard / "log"), old, head.size) if old <= head.size else []
        answer = self.witness.add_checkpoint(Request(old, tuple(proof), note).spell())
        if answer.status != 200:
            raise ValueError(f"refused with {answer.status}")
        line = accept(answer.body, note, self.witness.keys[0].cosigner)
        anchors.keep_cosigned(self.shard, note + line)

    def stamp(self) -> None:
        note = anchors.cosigned(self.shard) or self.note()
        digest = timestamps.imprint(note)
        token = timestamps.open_response(self.authority.answer(timestamps.request(digest, 5)), digest, 5)
        anchors.keep_stamp(self.shard, note, "tsa", token)


def attest(place, folder: Path, authority: Authority) -> Attested:
    """Write, have it witnessed and stamped."""
    with place.writer():
        pass
    name = TileReader(place.ledger / SHARD / "log").checkpoint().partition("\n")[0]
    witness_path = folder / "witness"
    trust(witness_path, Verifier(name, LogKeys.open(place.keys).named.key).vkey())
    witness = Witness(witness_path, place.clock, "witness.example/w")
    held = folder / "held"
    held.mkdir()
    (held / "witness.vkey").write_text(f"# a witness\n{witness.keys[0].cosigner.vkey()}\n")
    (held / "tsa.pem").write_bytes(authority.root.read_bytes())
    found = Attested(place, witness, authority, held)
    for number in range(3):
        found.write(b"record of segment %d" % number)
    found.cosign()
    found.stamp()
    return found
