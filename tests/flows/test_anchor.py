"""The ledger's head at two real witnesses and a real authority: cosigned, stamped, refused when the ledger went back."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from authority import Authority
from watchbill.core.clock import HOUR, SECOND
from watchbill.core.config import AuthorityConfig, Config, LedgerConfig, WitnessConfig
from watchbill.core.errors import LedgerError
from watchbill.flows import keys
from watchbill.flows.anchor import FAILING, RETURNED, Anchoring
from watchbill.flows.prove import DAMAGED
from watchbill.ledger import anchors, shards, timestamps
from watchbill.ledger.cosign import Cosigner, cosignatures
from watchbill.ledger.keys import LogKeys, open_root_public, origin
from watchbill.ledger.note import Checkpoint, Verifier
from watchbill.ledger.tiles import TileReader
from watchbill.state.trail import queries
from watchbill.state.trail.values import TrailFilter


class Served:
    """A witness as a user starts it: `watchbill witness`, a process of its own."""

    def __init__(self, path, name, *vkeys):
        self.path = path
        for vkey in vkeys:
            self.command("trust", vkey)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "watchbill", "witness", "--data", str(path), "--listen", "127.0.0.1:0", "--name", name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.vkeys = [self.process.stdout.readline().strip() for _ in range(2)]
        for line in self.process.stderr:
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                self.url = f"http://127.0.0.1:{found[1]}"
                break

    def command(self, *words):
        command = [sys.executable, "-m", "watchbill", "witness", words[0], "--data", str(self.path), *words[1:]]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=60)


def vkeys(place):
    named = LogKeys.open(place.data.keys).named
    root = open_root_public(place.data.keys)
    return [Verifier(origin(root, shard), named.key).vkey() for shard in shards(place.data.ledger)]


@pytest.fixture
def witnesses(place, story, tmp_path):
    place.receive(*story.lines[:50])
    place.clock.advance(2 * SECOND)
    served = [Served(tmp_path / name, f"witness.example/{name}", *vkeys(place)) for name in ("w1", "w2")]
    yield served
    for one in served:
        one.stop()


def configured(witnesses=(), **kinds):
    known = tuple(WitnessConfig(one.url, one.vkeys[number % 2]) for number, one in enumerate(witnesses))
    return Config(ledger=replace(LedgerConfig(), witnesses=known, **kinds))


def told(action):
    return [entry.detail for entry in queries.entries(TrailFilter(action=action, limit=10))]


def test_two_witnesses_cosign_and_notice_a_rollback_and_a_split_view(place, story, witnesses, tmp_path):
    """One by Ed25519, the other by ML-DSA-44. The ledger is cut back, then written anew: both refuse, and it is told."""
    config = configured(witnesses)
    log = place.data.ledger / "shard-0000"
    early = tmp_path / "early"
    shutil.copytree(place.data.root, early)
    asking = Anchoring(place.data, config, place.clock)
    asking.witness()
    first = anchors.cosigned(log)
    known = [Cosigner.from_vkey(one.key) for one in config.ledger.witnesses]
    assert set(cosignatures(first, known)) == set(known)
    place.receive(*story.lines[50:90])
    place.clock.advance(2 * SECOND)
    place.receive(*story.lines[90:100])
    asking.witness()
    second = anchors.cosigned(log)
    assert Checkpoint.parse(second).size > Checkpoint.parse(first).size
    assert set(cosignatures(second, known)) == set(known)
    assert '"size"' in witnesses[0].command("list", "--json")
    assert told(DAMAGED) == []

    # An intruder with all rights puts back a state of before: the witnesses remember.
    shutil.rmtree(log)
    shutil.copytree(early / "ledger" / "shard-0000", log)
    shutil.copy(early / "keys" / "tail-0000.key", place.data.keys)
    Anchoring(place.data, config, place.clock).witness()
    assert sum("cut back" in one["what"] for one in told(DAMAGED)) == 2

    # … and goes on with other records, up to where the old history was and beyond: another head, signed by the same key.
    for _ in range(4):
        place.receive(*story.lines[100:110])
        place.clock.advance(2 * SECOND)
    assert Checkpoint.parse(TileReader(log / "log").checkpoint()).size > Checkpoint.parse(second).size
    again = Anchoring(place.data, config, place.clock)
    again.witness()
    again.witness()
    assert sum("written anew" in one["what"] for one in told(DAMAGED)) == 2
    assert list((tmp_path / "w1" / "evidence").iterdir())


def test_witnesses_follow_a_rotated_key_and_others_are_named_in_the_alert(place, story, witnesses):
    """Ours take up the key by themselves, and the old one no more. One that cannot is told of with the key it needs."""
    config = configured(witnesses)
    log = place.data.ledger / "shard-0000"
    asking = Anchoring(place.data, config, place.clock)
    asking.witness()
    before = vkeys(place)
    asked = keys.request(place.data, place.clock, by="cli:ana")
    assert keys.apply(place.data, place.clock, keys.sign(asked, place.data.keys / "root.key"), by="cli:ana")
    place.receive(*story.lines[50:90])
    place.clock.advance(2 * SECOND)
    asking.witness()
    known = [Cosigner.from_vkey(one.key) for one in config.ledger.witnesses]
    note = TileReader(log / "log").checkpoint()
    assert note.partition("\n\n")[0] == anchors.cosigned(log).partition("\n\n")[0]
    assert set(cosignatures(anchors.cosigned(log), known)) == set(known)
    trusted = [one["key"] for one in map(json.loads, witnesses[0].command("list", "--json").splitlines())]
    assert trusted == vkeys(place) != before
    assert told(FAILING) == told(DAMAGED) == []

    questions = []

    def of_another_make(request):
        questions.append(request.url.path)
        status = 403 if request.url.path == "/add-checkpoint" else 404
        return httpx.Response(status, text="unknown key\n")

    other = Anchoring(place.data, config, place.clock, httpx.MockTransport(of_another_make))
    for _ in range(4):
        other.witness()
    assert f"witness trust --data DIR {vkeys(place)[0]}" in told(FAILING)[0]["reason"]
    assert questions.count("/follow-key") == 2  # once each, though refused four times


def test_a_witness_that_is_away_is_told_once_and_when_it_is_back(place, story):
    """Three failures in a row; the ledger goes on meanwhile."""
    place.receive(*story.lines[:20])
    place.clock.advance(2 * SECOND)
    away = True

    def answer(request):
        if away:
            raise httpx.ConnectError("connection refused")
        return httpx.Response(200, text="no signature\n")

    key = Cosigner("w", 4, bytes(32)).vkey()
    config = Config(ledger=LedgerConfig(witnesses=(WitnessConfig("http://w.example", key),)))
    asking = Anchoring(place.data, config, place.clock, httpx.MockTransport(answer))
    for _ in range(5):
        asking.witness()
    assert [one["reason"] for one in told(FAILING)] == ["connection refused"]
    away = False
    asking.witness()
    assert told(RETURNED) == []  # an answer without its cosignature is no answer
    assert anchors.cosigned(place.data.ledger / "shard-0000") is None


def test_the_head_is_stamped_once_an_hour(place, story, tmp_path):
    """A real authority (openssl) over HTTP; its token is kept with the checkpoint and verified by its root."""
    authority = Authority(tmp_path / "tsa")
    server = authority.serve()
    try:
        place.receive(*story.lines[:20])
        place.clock.at = int(datetime.now(UTC).timestamp()) * SECOND
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        asking = Anchoring(place.data, configured(timestamps=(AuthorityConfig(url, "Test TSA"),)), place.clock)
        asking.stamp()
        log = place.data.ledger / "shard-0000"
        (size,) = anchors.sizes(log)
        held = anchors.anchor(log, size)
        assert set(held.tokens) == {"test-tsa"}
        from cryptography import x509

        roots = x509.load_pem_x509_certificates(authority.root.read_bytes())
        stamp = timestamps.verify(held.tokens["test-tsa"], timestamps.imprint(held.note), roots)
        assert abs(stamp.at - time.time_ns()) < 60 * SECOND
        place.receive(*story.lines[20:40])
        asking.stamp()
        assert anchors.sizes(log) == [size]
        place.clock.advance(HOUR + SECOND)
        place.receive(*story.lines[40:60])
        asking.stamp()
        assert len(anchors.sizes(log)) == 2
    finally:
        server.shutdown()
        server.server_close()


def test_a_kept_checkpoint_that_is_damaged_is_an_error(tmp_path):
    """Not a crash."""
    anchors.folder(tmp_path).mkdir()
    (anchors.folder(tmp_path) / f"{3:020}.note").write_bytes(b"\xff")
    with pytest.raises(LedgerError, match="no text"):
        anchors.anchor(tmp_path, 3)
    with pytest.raises(LedgerError, match="missing"):
        anchors.anchor(tmp_path, 4)
