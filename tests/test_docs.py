"""The commands in README and the guides exist, and those that README lets a newcomer try are run.

Of a block of ``sh`` in README every line is run, in an empty folder, when all of them begin with ``watchbill``; the
log file of the machine that such a line names is one of ours. Everywhere else each ``watchbill …`` line is parsed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from watchbill.cli.root import watchbill

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:watchbill|make) [^`]+)`")
FAILURES = "".join(
    f"Mar  4 10:00:0{n} web-01 sshd[{90 + n}]: Failed password for root from 192.0.2.7 port 424{n} ssh2\n"
    for n in range(8)
)


def commands(path: Path) -> list[str]:
    """What a document tells its reader to type: ``watchbill`` and ``make``, in blocks and within sentences."""
    text = path.read_text("utf-8")
    lines = [line for block in _BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    found = [*lines, *_INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))]
    return [line.strip() for line in found if re.match(r"(sudo )?(\.venv/bin/)?(watchbill|make) ", line.strip())]


DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if commands(path)]


def understood(line: str) -> str:
    """Walk a command line through click; returns what is wrong with it."""
    words = [word for word in shlex.split(line.split(" | ", maxsplit=1)[0], comments=True) if word != "sudo"]
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return "" if words[1] in targets or "=" in words[1] else f"make has no target {words[1]}"
    command: click.Command = watchbill
    context = click.Context(watchbill, **watchbill.context_settings)
    if words[1:2] == ["verify"]:
        return ""
    options: set[str] = set()
    for word in words[1:]:
        if isinstance(command, click.Group) and not word.startswith("-"):
            found = command.get_command(context, word)
            if found is None:
                return "" if "…" in word else f"there is no command {word}"
            command = found
        elif re.match(r"--?[a-z]", word):
            options.add(word.partition("=")[0])
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    wrong = options - known - {"--help", "-h", "--version"}
    return f"no option {', '.join(sorted(wrong))}" if wrong else ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(path):
    """No document names a command or an option that is not there."""
    wrong = {line: problem for line in commands(path) if (problem := understood(line))}
    assert not wrong


def test_a_newcomer_can_try_it(tmp_path):
    """README's own example, typed as it stands, finds the attacker and verifies."""
    blocks = _BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    runnable = [block for block in blocks if all(line.startswith("watchbill ") for line in block.splitlines())]
    assert runnable
    log = tmp_path / "auth.log"
    log.write_text(FAILURES)
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"),
    }  # fmt: skip
    environment.pop("WATCHBILL_DATA", None)
    said = ""
    for block in runnable:
        # ``detect`` says by its exit code that it found something, as it should here.
        typed = re.sub(r"^(watchbill detect .*)$", r"\1 || test $? -eq 1", block, flags=re.MULTILINE)
        script = "set -e\n" + typed.replace("/var/log/auth.log", str(log))
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert "192.0.2.7" in said
    assert "PROVEN" in said
