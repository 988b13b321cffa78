"""Evidence and keys at the command line: what an administrator does, and what an auditor then checks."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import pytest
from click.testing import CliRunner

from watchbill.cli.root import watchbill
from watchbill.cli.verify import main as verify
from watchbill.ledger import Writer


def away(filled, tmp_path):
    filled.run("keys", "export-root", str(tmp_path / "root.key"), "--yes")
    return tmp_path / "root.key"


def test_the_root_leaves_the_machine_and_keys_still_rotate(filled, tmp_path):
    """The ceremony by files: request here, sign there, apply here. Each step refuses what does not belong to it."""
    before = filled.rows("keys", "list")[0]
    assert before["root_here"]
    root = away(filled, tmp_path)
    assert not (filled.place.data.keys / "root.key").exists()
    assert "not on this machine" in filled.refused("keys", "export-root", str(tmp_path / "again"), "--yes")
    assert "two steps" in filled.refused("keys", "rotate")
    request = tmp_path / "request.json"
    filled.run("keys", "rotate", "--request", str(request))
    assert "there already" in filled.refused("keys", "rotate", "--request", str(request))
    assert "have it signed" in filled.refused("keys", "rotate", "--apply", str(request))
    signed = CliRunner().invoke(watchbill, ["keys", "sign", str(request), "--root", str(root), "--yes"])
    assert signed.exit_code == 0, signed.output
    filled.run("keys", "rotate", "--apply", str(request))
    after = filled.rows("keys", "list")[0]
    assert {one["shard"] for one in after["logs"]} == {0, 1}
    for one, other in zip(before["logs"], after["logs"], strict=True):
        assert one["fingerprint"] != other["fingerprint"]
        assert one["second"] != other["second"]
    assert (after["root"], after["root_here"]) == (before["root"], False)
    assert verify(["--data", str(filled.place.data.root), "--root-fpr", after["root"]]) == 0


def test_with_the_root_here_keys_rotate_at_once_also_under_a_running_writer(filled):
    """The running process takes the key up by itself; the command waits for it."""
    import threading

    stop = threading.Event()

    def run() -> None:
        with Writer.open(
            filled.place.data.ledger, shard=0, keys=filled.place.data.keys, clock=filled.place.clock
        ) as writer:
            started.set()
            while not stop.wait(0.05):
                writer.tick()

    started = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(60)
    try:
        filled.run("keys", "rotate")
    finally:
        stop.set()
        thread.join()
    assert verify(["--data", str(filled.place.data.root)]) == 0
    assert {entry["action"] for entry in filled.rows("trail")} >= {"keys.requested", "keys.rotated"}


def test_a_root_that_is_still_needed_stays(cli, tmp_path):
    """Before both shards have begun it cannot go."""
    cli.place.receive("one")
    assert "has begun" in cli.refused("keys", "export-root", str(tmp_path / "root.key"), "--yes")


def test_a_bundle_carries_what_was_asked_for(filled, tmp_path, capsys):
    """Controls for reading, the verifier beside it, an auditor's checkpoint extended; then that file alone checks it."""
    kept = tmp_path / "kept.note"
    kept.write_text((filled.place.data.ledger / "shard-0000/log/checkpoint").read_text())
    filled.place.clock.advance(5_000_000_000)
    filled.place.receive("one more")
    out = tmp_path / "bundle.zip"
    filled.run(
        "export",
        "--from",
        "2020-01-01",
        "--controls",
        "A.8.15,A.8.16",
        "--since",
        str(kept),
        "--verifier",
        "-o",
        str(out),
    )
    with zipfile.ZipFile(out) as archive:
        found = json.loads(archive.read("controls.json"))
    assert [one["row"]["id"] for one in found] == ["A.8.15", "A.8.16"]
    held = tmp_path / "held"
    held.mkdir()
    kept.rename(held / "kept.note")
    root = filled.rows("keys", "list")[0]["root"]
    script = [
        sys.executable,
        "-I",
        str(tmp_path / "watchbill-verify.py"),
        str(out),
        "--root-fpr",
        root,
        "--anchors",
        str(held),
        "--json",
    ]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["shards"][0]["held"][0]["by"] == "kept.note"
    assert verify([str(out)]) == 0
    assert "PROVEN" in capsys.readouterr().out


def test_one_record_is_written_with_its_proof(filled, tmp_path):
    """To a file or to the screen; what is no event is refused."""
    out = tmp_path / "record.json"
    filled.run("prove", "0-5", "-o", str(out))
    assert verify([str(out)]) == 0
    assert json.loads(filled.run("prove", "0-5").stdout)["position"] == 5
    assert "there already" in filled.refused("prove", "0-5", "-o", str(out))
    for wrong in ("5", "0-x", "0-99999999", "-1", "0-" + "9" * 40):
        filled.run("prove", "--", wrong, code=2)


@pytest.mark.parametrize(
    "words",
    [("export", "-o", "x", "--from", "2026-03-02", "--to", "2026-03-01"), ("keys", "rotate", "--request", "a", "--apply", "b"),
     ("keys", "rotate", "--module", "x.so"), ("keys", "rotate", "--apply", "/nowhere"),
     ("export", "-o", "x", "--range", "all", "--controls", "A.99")],
    ids=range(5),
)  # fmt: skip
def test_what_cannot_work_is_refused(filled, words):
    """With a sentence and exit code 2; nothing is written."""
    assert filled.refused(*words)


def test_a_witness_is_set_up_by_hand(tmp_path):
    """Trust a key, list it, refuse nonsense; no installation is needed."""
    runner, folder = CliRunner(), str(tmp_path / "w")
    vkey = "watchbill/0011223344556677/0+9c481d35+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
    assert runner.invoke(watchbill, ["witness", "trust", "--data", folder, vkey]).exit_code == 0
    assert runner.invoke(watchbill, ["witness", "trust", "--data", folder, "nonsense"]).exit_code == 2
    (row,) = [
        json.loads(line)
        for line in runner.invoke(watchbill, ["witness", "list", "--data", folder, "--json"]).stdout.splitlines()
    ]
    assert (row["key"], row["size"]) == (vkey, 0)
    assert runner.invoke(watchbill, ["witness", "--data", folder, "--listen", "nowhere"]).exit_code == 2


def test_the_state_of_the_ledger_says_how_far_it_is_vouched_for(filled):
    """Sealed and signed; no witness and no authority here. A head to keep, and a period verified."""
    (first, _) = filled.rows("ledger", "status")
    assert first["head"] == first["sealed_upto"] == first["signed_upto"]
    assert first["witnessed"] == first["stamped"] == []
    assert filled.run("ledger", "checkpoint").stdout.startswith("watchbill/")
    assert "no shard 7" in filled.refused("ledger", "checkpoint", "--shard", "7")
    assert "all as they were written" in filled.run("ledger", "verify", "--range", "last 1h").stdout
    assert filled.rows("ledger", "status")[0]["ok"] is None  # a period is no verdict on the whole
    filled.run("ledger", "verify")
    assert filled.rows("ledger", "status")[0]["ok"]
