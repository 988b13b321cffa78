"""The command line on real installations, in this process where that is the same and as a process where it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

sys.path.append(str(Path(__file__).parents[1]))  # pytest in importlib mode adds nothing
from installations import catalog, fresh, new_place, place, rules, story
from watchbill.cli.root import watchbill
from watchbill.core.clock import SECOND, SystemClock

__all__ = ["catalog", "fresh", "new_place", "place", "rules", "story"]


class Cli:
    """Runs commands on one installation."""

    def __init__(self, place) -> None:
        self.place = place

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command; a traceback or another exit code than the expected one is a failure."""
        done = CliRunner().invoke(watchbill, [*arguments, "--data", str(self.place.data.root)], prog_name="watchbill")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, f"{arguments}: {done.output}"
        return done

    def rows(self, *arguments: str, code: int = 0) -> list[dict]:
        """Run a command with --json: each line must be an object."""
        found = [json.loads(line) for line in self.run(*arguments, "--json", code=code).stdout.splitlines()]
        assert all(type(row) is dict for row in found)
        return found

    def refused(self, *arguments: str) -> str:
        """Run a command that must refuse; returns its one sentence or two."""
        return self.run(*arguments, code=2).stderr


@pytest.fixture
def cli(place) -> Cli:
    """On an installation that has received nothing yet."""
    return Cli(place)


@pytest.fixture
def filled(place, story) -> Cli:
    """On an installation with alerts, a verified ledger and events of this hour."""
    place.clock.at = SystemClock().now() - 5 * SECOND
    place.receive(*story.lines[-300:], transport="syslog-tcp")
    place.judge()
    return Cli(place)


@pytest.fixture(scope="session")
def process():
    """Runs the command as a process of its own, as a shell does."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "watchbill", *arguments], capture_output=True, text=True, timeout=400, check=False,
            env={**os.environ, **environment},
        )  # fmt: skip

    return run
