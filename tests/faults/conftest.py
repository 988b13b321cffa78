"""The fault battery (docs/faults.md): the quick form of what ``make torture`` does at length."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # pytest in importlib mode adds nothing


@pytest.fixture(scope="session")
def nursery():
    """What forks victims."""
    from nursery import Nursery

    with Nursery() as forking:
        yield forking


@pytest.fixture
def scratch(tmp_path):
    """A folder in memory: thousands of ledgers are made and synced in it."""
    shared = Path("/dev/shm")  # noqa: S108 - the folder in it is made by mkdtemp
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="wb-faults-", dir=shared))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def mount(tmp_path):
    """Mount something on a new folder: mount("-t", "tmpfs", "-o", "size=4m", "tmpfs"). Taken away after the test."""
    mounted = []

    def make(*arguments: str, at: str = "mounted") -> Path:
        folder = tmp_path / at
        folder.mkdir()
        done = subprocess.run(["mount", *arguments, folder], check=False, capture_output=True, text=True)
        if done.returncode:
            why = f"mounting needs root: {done.stderr.strip()}"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
        mounted.append(folder)
        return folder

    yield make
    for folder in reversed(mounted):
        subprocess.run(["umount", "-l", folder], check=True)
