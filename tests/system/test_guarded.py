"""A running installation with a real witness and a real authority; its files are altered under it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from authority import Authority
from ports import free_port

pytestmark = pytest.mark.system


@pytest.fixture
def guarded(tmp_path, new_installation):
    """Prepared, so that the witness can be told its keys; then started as a user starts it."""
    folder, port = tmp_path / "data", free_port()
    authority = Authority(tmp_path / "tsa")
    stamps = authority.serve()
    command = [sys.executable, "-m", "watchbill", "witness"]
    serving = [
        *command,
        "--data",
        str(tmp_path / "witness"),
        "--listen",
        f"127.0.0.1:{port}",
        "--name",
        "witness.example/w",
    ]
    witness = subprocess.Popen(serving, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    key = witness.stdout.readline().strip()
    configuration = f"""
[ledger]
witnesses = [{{ url = "http://127.0.0.1:{port}", key = "{key}" }}]
timestamps = [{{ url = "http://127.0.0.1:{stamps.server_address[1]}", name = "tsa" }}]
"""
    made = new_installation(folder, configuration)
    lines = tmp_path / "lines.log"
    lines.write_text("".join(f"Mar  5 11:59:00 web-01 app: line {n}\n" for n in range(300)))
    made.run("replay", str(lines))
    for one in re.findall(
        r"watchbill/\S+\+\S+", made.run("keys", "list", "--json").replace('"', " ").replace(",", " ")
    ):
        subprocess.run([*command, "trust", "--data", str(tmp_path / "witness"), one], check=True, capture_output=True)
    yield made.start()
    made.stop()
    witness.terminate()
    witness.communicate(timeout=60)
    stamps.shutdown()
    stamps.server_close()


def test_the_head_is_known_elsewhere_and_an_altered_file_is_told_within_a_minute(guarded):
    """Cosigned and stamped soon after the start; one bit of a stored record changes, and a critical alert names the place."""
    shard = guarded.folder / "ledger" / "shard-0000"

    def vouched() -> bool:
        (state, *_) = guarded.api("ledger")["shards"]
        return bool(state["witnessed"] and state["stamped"])

    guarded.wait_for(vouched, "the witness and the authority")
    guarded.wait_for(lambda: guarded.items("trail", action="ledger.verified"), "the first cycle")
    (volume, *_) = sorted(Path(shard / "events").iterdir())
    content = volume.read_bytes()
    at = content.index(b"line 17") if b"line 17" in content else len(content) // 2
    with volume.open("r+b") as file:
        file.seek(at)
        file.write(bytes([content[at] ^ 1]))
    changed = time.monotonic()
    (alert,) = guarded.wait_for(lambda: guarded.items("alerts", rule="ledger_damaged"), "the alert")
    assert time.monotonic() - changed < 60
    assert alert["severity"] == "critical"
    assert volume.name in str(alert)
    (told, *_) = guarded.items("trail", action="ledger.damaged")
    assert re.search(r"\.vol( \(byte \d+\))?$", told["detail"]["place"])
    assert "positions 0 to 255" in told["detail"]["what"]
