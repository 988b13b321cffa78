"""Refusals are sentences that say what to do; no command answers with a traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from watchbill.cli.root import COMMANDS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alerts", "show", "A-77"), "there is no alert A-77"),
        (("alerts", "show", "nonsense"), "names no alert"),
        (("alerts", "acknowledge", "A-77"), "A-77"),
        (("alerts", "list", "--range", "sometime"), "sometime"),
        (("events", "search", "user:"), "query:1:6"),
        (("events", "show", "0-77"), "0-77"),
        (("assets", "show", "nowhere"), "nowhere"),
        (("assets", "set", "nowhere", "--owner", "ben"), "nowhere"),
        (("sources", "silent-after", "9-9", "2h"), "9-9"),
        (("sources", "silent-after", "9-9", "soon"), "soon"),
        (("controls", "show", "A.99.1"), "A.99.1"),
        (("controls", "attest", "A.99.1", "seen"), "A.99.1"),
        (("rules", "show", "no_such_rule"), "no_such_rule"),
        (("channels", "add", "pigeon", "--name", "p"), "pigeon"),
        (("channels", "add", "email", "--name", "mail"), "needs"),
        (("channels", "add", "webhook", "--name", "h", "--set", "colour=red"), "colour"),
        (("channels", "test", "9"), "9"),
        (("users", "set-role", "nobody@example.com", "viewer"), "nobody@example.com"),
        (("users", "add", "no address", "--password", "a watch is stood by people"), "no address"),
        (("users", "tokens", "revoke", "9"), "9"),
        (("export", "--range", "2001-01", "--out", "none.wbx"), "2001"),
        (("ledger", "records", "--shard", "7"), "shard 7"),
        (("replay", "/nowhere/at/all.log"), "/nowhere/at/all.log"),
        (("replay", "--speed", "soon", __file__), "soon"),
    ],
)  # fmt: skip
def test_refusals(cli, words, said, tmp_path, monkeypatch):
    """Exit code 2, one or two lines, and the thing that was named is named again."""
    monkeypatch.chdir(tmp_path)
    answer = cli.refused(*words)
    assert said in answer
    assert "Traceback" not in answer
    assert 0 < len(answer.splitlines()) <= 4, answer
    assert not list(tmp_path.glob("*.wbx"))


def test_a_folder_without_an_installation(process, tmp_path):
    """Reading commands say what to do and create nothing."""
    for words in (("alerts", "list"), ("events", "search"), ("ledger", "status"), ("verify",)):
        done = process(*words, "--data", str(tmp_path / "none"))
        assert done.returncode == 2
        assert str(tmp_path / "none") in done.stderr
        assert "--data" in done.stderr
        assert not (tmp_path / "none").exists()


def test_wrong_configuration_is_told_with_its_line(process, tmp_path):
    """A slip in watchbill.toml stops the start with file, line and mend."""
    (tmp_path / "watchbill.toml").write_text("[syslog]\ntcp_port = 5514\nudp_prot = 5514\n")
    done = process("up", "--data", str(tmp_path))
    assert done.returncode == 2
    assert "watchbill.toml:3" in done.stderr
    assert "udp_port" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_words(process):
    """A slip is answered with the command that was meant; usage errors are code 2."""
    done = process("alrets")
    assert done.returncode == 2
    assert "Did you mean 'alerts'?" in done.stderr
    assert process("alerts", "list", "--colour").returncode == 2
    assert process().returncode in {0, 2}


def test_the_folder_can_come_from_the_environment(process, cli):
    """WATCHBILL_DATA stands for --data."""
    done = process("ledger", "records", WATCHBILL_DATA=str(cli.place.data.root))
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_ends_quietly(cli):
    """`watchbill rules list | head -1` says nothing of pipes."""
    command = f"{sys.executable} -m watchbill rules list --json --data {cli.place.data.root} | head -c 10"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) == 10


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(process, shell):
    """Each script is for its shell; where that shell is here, it can read it."""
    script = process("completion", shell).stdout
    assert "_WATCHBILL_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_completion_knows_the_commands():
    """What the shell asks for after `watchbill al` is answered."""
    asked = {"_WATCHBILL_COMPLETE": "bash_complete", "COMP_WORDS": "watchbill al", "COMP_CWORD": "1"}
    done = subprocess.run(
        [Path(sys.executable).parent / "watchbill"], env={**os.environ, **asked}, text=True,
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["plain,alerts"]
    assert "alerts" in COMMANDS
