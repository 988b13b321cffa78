"""What a machine has to watch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from watchbill.engine.collect import discover
from watchbill.engine.collect.discover import FILES


@pytest.fixture
def machine():
    """A root folder with some logs in it; everybody may look into it, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="wb-machine-") as made:
        root = Path(made)
        root.chmod(0o755)
        for name in ("var/log/auth.log", "var/log/nginx/access.log", "var/log/nginx/access.log.2.gz"):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        yield root


def states(machine):
    return {found.path.removeprefix(str(machine)): found.state for found in discover(machine)}


def test_found_and_absent(machine):
    """Without a journal the files are followed; what was looked for and not found is said too."""
    seen = states(machine)
    assert seen["/var/log/auth.log"] == seen["/var/log/nginx/access.log"] == "found"
    assert seen["journal"] == seen["/var/log/secure"] == seen["/var/log/apache2/*access*.log"] == "absent"
    assert "/var/log/nginx/access.log.2.gz" not in seen


def test_formats_are_those_of_parsers(machine):
    """A web server's access log is taken for what it is."""
    formats = {found.path.rpartition("/")[2]: found.format for found in discover(machine) if found.state == "found"}
    assert formats == {"auth.log": "", "access.log": "nginx"}


def test_what_is_no_file_is_said(machine):
    """A directory of the log's name is not readable as a log, with the reason."""
    (machine / "var/log/syslog").mkdir()
    (found,) = [one for one in discover(machine) if one.path.endswith("/syslog")]
    assert (found.state, "a directory" in found.reason or "look into" in found.reason) == ("unreadable", True)


@pytest.fixture
def nobody():
    """Not root, for whom everything can be read."""
    if os.geteuid():
        yield
        return
    import grp  # noqa: F401 - it is wanted below, where Python's own folder may be closed to this user

    os.seteuid(65_534)
    yield
    os.seteuid(0)


@pytest.mark.parametrize("name", ["var/log/auth.log", "var/log/nginx"])
def test_no_permission_comes_with_its_mend(machine, request, name):
    """A log or folder that this user may not read is told with what to do about it."""
    (machine / name).chmod(0)
    request.getfixturevalue("nobody")
    found = {one.path: one for one in discover(machine)}[str(machine / name)]
    assert found.state == "unreadable"
    assert "setfacl" in found.reason or "usermod" in found.reason


def test_files_that_repeat_the_journal_are_known():
    """sshd's records stand in the journal and in auth.log; nginx's only in its own file."""
    repeats = {path: repeats for path, _, repeats in FILES}
    assert repeats["/var/log/auth.log"]
    assert not repeats["/var/log/nginx/*access*.log"]
    assert not repeats["/var/log/audit/audit.log"]
