"""The product as a user starts it: a syslog line becomes a proven alert, whatever ends in between."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import cryptography
import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]
SOURCE = Path(__file__).resolve().parents[2] / "src"


def failures(host: str, address: str, count: int, first: int = 0) -> list[str]:
    """Failed logins as rsyslog would forward them (RFC 3164), of this moment."""
    stamp = time.strftime("%b %d %H:%M:%S", time.gmtime())
    return [
        f"<38>{stamp} {host} sshd[{4000 + number}]: Failed password for root from {address} port {41000 + number} ssh2"
        for number in range(first, first + count)
    ]


def structured(lines: list[str]) -> list[str]:
    """The same in the form of RFC 5424."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S.123Z", time.gmtime())
    return [re.sub(r"<38>\w+ \d+ [\d:]+ (\S+) sshd\[(\d+)\]: ", rf"<38>1 {at} \1 sshd \2 - - ", line) for line in lines]


def one_alert(installation, host: str, events: int) -> dict:
    """Wait for the alert of a host; it is the only one, and it has so many events."""
    found = installation.wait_for(
        lambda: [row for row in installation.alerts(host) if row["events"] >= events], f"an alert of {host}"
    )
    assert [(row["rule"], row["events"]) for row in found] == [("failed_logins_by_address", events)]
    return found[0]


def test_first_start_prints_the_address_and_a_one_time_link(installation):
    """What a newcomer needs stands on the screen; the console and the link answer."""
    said = installation.said()
    assert f"Console: {installation.url}" in said
    (link,) = re.findall(rf"{installation.url}/setup/[\w-]{{20,}}/?", said)
    for url in (installation.url, link):
        with urllib.request.urlopen(url, timeout=60) as page:  # noqa: S310 - loopback
            assert "Watchbill" in page.read().decode()


def test_each_form_of_syslog_becomes_an_alert(installation):
    """TCP in both framings and UDP, RFC 3164 and 5424: six failures of one address are one alert; two are none."""
    installation.send(*failures("tcp-lf", "203.0.113.1", 6), *failures("quiet", "203.0.113.10", 2))
    counted = structured(failures("tcp-counted", "203.0.113.2", 6))
    installation.send_bytes(b"".join(b"%d %s" % (len(line.encode()), line.encode()) for line in counted))
    installation.send_udp(*failures("udp-3164", "203.0.113.3", 6))
    installation.send_udp(*structured(failures("udp-5424", "203.0.113.4", 6)))
    for number, host in enumerate(("tcp-lf", "tcp-counted", "udp-3164", "udp-5424"), 1):
        assert one_alert(installation, host, 6)["entities"]["src_ip"] == [f"203.0.113.{number}"]
    installation.wait_for(lambda: len(installation.events("host:quiet")) == 2, "events at rest")
    assert installation.alerts("quiet") == []


def elsewhere(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verifier as on an auditor's machine: our source, ``cryptography`` and the standard library, no more."""
    site = tmp_path / "site"
    if not site.exists():
        site.mkdir()
        packages = Path(cryptography.__file__).parents[1]
        for name in ("cryptography", "cffi", "pycparser", *(path.name for path in packages.glob("_cffi_backend*"))):
            if (packages / name).exists():
                (site / name).symlink_to(packages / name)
    program = (
        "import sys\n"
        f"sys.path[:0] = [{str(SOURCE)!r}, {str(site)!r}]\n"
        "from watchbill.cli.verify import main\n"
        "code = main(sys.argv[1:])\n"
        "foreign = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "import json; print(json.dumps(sorted(foreign)), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    command = [sys.executable, "-I", "-S", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/", env={})


def test_action_is_in_the_ledger_and_verifies_elsewhere(installation, tmp_path):
    """Who acknowledged and resolved stands in the trail, in the ledger, and in a bundle that proves it on another
    machine with nothing of ours but the verifier; a changed byte is found there.
    """
    installation.send(*failures("db-01", "203.0.113.77", 6))
    alert = one_alert(installation, "db-01", 6)
    installation.api(f"alerts/{alert['id']}/acknowledge", {})
    installation.run("alerts", "resolve", alert["id"], "--as", "true positive", "--comment", "blocked at the edge")

    def in_ledger() -> dict[str, str]:
        rows = installation.items("trail", action="alert.")
        return {
            row["action"]: row["actor"]
            for row in rows
            if row["object_id"] == alert["id"] and row["position"] is not None
        }

    acts = installation.wait_for(lambda: len(found := in_ledger()) >= 3 and found, "the trail in the ledger")
    assert acts["alert.acknowledge"] == "admin@example.com"
    assert acts["alert.resolve"].startswith("cli:")

    def sealed() -> bool:
        (state, *_) = installation.api("ledger")["shards"]
        return state["sealed_upto"] >= state["head"] - 50

    installation.wait_for(sealed, "what arrived to be sealed")
    told = installation.head()
    bundle = tmp_path / "evidence.wbx"
    installation.run("export", "--range", "last 1h", "--out", str(bundle))
    there = shutil.copy(bundle, tmp_path / "copied.wbx")
    proof = elsewhere(tmp_path, there, "--json")
    report = json.loads(proof.stdout)
    assert (proof.returncode, report["ok"]) == (0, True)
    assert report["events"] >= told - 50
    ours = {"__main__", "__mp_main__", "_cffi_backend", "_openssl", "cffi", "cryptography", "watchbill"}
    assert set(json.loads(proof.stderr)) <= ours
    content = bytearray(Path(there).read_bytes())
    content[len(content) // 2] ^= 1
    Path(there).write_bytes(content)
    assert elsewhere(tmp_path, there).returncode != 0
    assert json.loads(installation.run("verify", "--json"))["ok"]


def test_killed_processes_lose_and_double_nothing(installation):
    """kill -9 of each process in turn, while more arrives: one alert of all of it, and every event at rest once."""
    for number, name in enumerate(("engine", "receive", "worker", "web")):
        installation.send(*failures("killed", "203.0.113.50", 2, first=2 * number))
        installation.wait_for(
            lambda sent=2 * number + 2: installation.stored(b" killed sshd") >= sent, "what was sent to be durable"
        )
        installation.kill(name)
    one_alert(installation, "killed", 8)
    found = installation.wait_for(
        lambda: len(rows := installation.events("host:killed")) >= 8 and rows, "events at rest"
    )
    assert len({row["id"] for row in found}) == len(found) == 8

    def restarted() -> set[str]:
        return {row["object_id"] for row in installation.items("trail", action="process.restarted")}

    told = installation.wait_for(lambda: len(names := restarted()) >= 4 and names, "the restarts to be told")
    assert told == {"engine", "receive", "worker", "web"}


def test_kill_during_replay_through_the_server(installation, tmp_path):
    """The engine is killed while a replay is judged: the alerts are those of an undisturbed replay."""

    def told(prefix: str, net: str) -> Path:
        log = tmp_path / f"{prefix}.log"
        lines = [
            f"<38>1 2026-03-04T10:{n // 100 % 60:02d}:{n % 60:02d}Z {prefix}-{n % 7} sshd {n} - - Failed password for root from "
            f"{net}.{n % 11 + 100} port {n % 60000 + 1} ssh2\n"
            for n in range(6_000)
        ]
        log.write_text("".join(lines))
        return log

    def alerts(prefix: str) -> list[tuple]:
        """Per alert: rule, the host's number, the attackers' numbers, events and severity."""
        found = []
        for row in installation.alerts():
            if row["host"].startswith(prefix):
                attackers = tuple(address.rpartition(".")[2] for address in row["entities"]["src_ip"])
                found.append((row["rule"], row["host"][-1], attackers, row["events"], row["severity"]))
        return sorted(found)

    installation.run("replay", "--wait", "--as", "calm", str(told("calm", "203.0.113")))
    wanted = alerts("calm")
    assert len(wanted) >= 7
    done = threading.Event()

    def kill() -> None:
        while not done.wait(0.4):
            if pid := installation.pid("engine"):
                os.kill(pid, signal.SIGKILL)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        installation.run("replay", "--wait", "--as", "killed", str(told("shot", "198.51.100")))
    finally:
        done.set()
        killer.join()
    installation.wait_for(installation.alerts, "the console")
    assert alerts("shot") == wanted


def test_a_second_start_is_refused(installation, new_installation, tmp_path):
    """On the same folder, and on a port that somebody has: a sentence, no traceback, and nothing is disturbed."""
    again = subprocess.run(
        [sys.executable, "-m", "watchbill", "up", "--data", str(installation.folder)],
        env=installation.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "already runs" in again.stderr
    other = new_installation(tmp_path / "other")
    taken = subprocess.run(
        [sys.executable, "-m", "watchbill", "up", "--data", str(other.folder), "--port", str(installation.console)],
        env=other.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert taken.returncode == 2
    assert str(installation.console) in taken.stderr
    assert "--port" in taken.stderr
    assert "Traceback" not in again.stderr + taken.stderr
    assert installation.listens()


def test_side_by_side_and_to_the_end(installation, new_installation, tmp_path):
    """Two installations share nothing. SIGTERM ends every child; kill -9 of the supervisor too; what was accepted is
    there at the next start.
    """
    other = new_installation(tmp_path / "other").start()
    try:
        other.send(*failures("only-there", "203.0.113.9", 6))
        one_alert(other, "only-there", 6)
        assert installation.alerts("only-there") == []
        children = [other.pid(name) for name in ("receive", "engine", "web", "worker")]
        other.stop()
        assert other.process.returncode == 0
        assert not [pid for pid in children if alive(pid)]
        other.start()
        other.wait_for(lambda: [row["events"] for row in other.alerts("only-there")] == [6], "the alert to be there")
        children = [other.pid(name) for name in ("receive", "engine", "web", "worker")]
        other.stop(signal.SIGKILL)
        deadline = time.monotonic() + 100
        while any(alive(pid) for pid in children):
            assert time.monotonic() < deadline, "children outlive their supervisor"
            time.sleep(0.1)
    finally:
        other.stop()
    assert json.loads(other.run("verify", "--json"))["ok"]


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
