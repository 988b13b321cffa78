"""What this machine has to watch, found without any configuration."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from watchbill.engine.collect.files import mend_for
from watchbill.engine.collect.tail import kind_of

#: Log files by what they are: (path or pattern, parser id or "", whether the journal carries the same records).
FILES = (
    ("/var/log/auth.log", "", True),
    ("/var/log/secure", "", True),
    ("/var/log/syslog", "", True),
    ("/var/log/messages", "", True),
    ("/var/log/audit/audit.log", "auditd", False),
    ("/var/log/nginx/*access*.log", "nginx", False),
    ("/var/log/nginx/*error*.log", "", False),
    ("/var/log/apache2/*access*.log", "apache", False),
    ("/var/log/apache2/*error*.log", "", False),
    ("/var/log/httpd/*access_log", "apache", False),
    ("/var/log/httpd/*error_log", "", False),
)
JOURNALS = ("/var/log/journal", "/run/log/journal")


class Discovery(NamedTuple):
    """One thing that was looked for. ``state``: found, unreadable, left (its records come another way) or absent."""

    kind: str
    path: str
    state: str
    reason: str = ""
    format: str = ""


def discover(root: Path = Path("/"), files: Sequence[tuple[str, str, bool]] = FILES) -> list[Discovery]:
    """Look at what is there. Where the journal can be read, files that repeat it are left alone."""
    journal = find_journal(root)
    found = [journal]
    for pattern, form, repeats in files:
        found += [
            _judge(path, form, repeats=repeats and journal.state == "found") for path in _matching(root, pattern)
        ] or [Discovery("file", pattern, "absent")]
    return found


def find_journal(root: Path = Path("/")) -> Discovery:
    """Whether there is a journal with entries that this user may read in full."""
    if shutil.which("journalctl") is None:
        return Discovery("journald", "journal", "absent", "there is no journalctl")
    folders = [root / folder.lstrip("/") for folder in JOURNALS]
    if not any(_has_journal(folder) for folder in folders):
        return Discovery("journald", "journal", "absent", "systemd keeps no journal here")
    if not any(_is_readable_journal(folder) for folder in folders):
        user = os.environ.get("USER") or f"#{os.getuid()}"
        mend = f"usermod -aG systemd-journal {user}, then sign in again"
        return Discovery("journald", "journal", "unreadable", f"no permission to read the system's journal: {mend}")
    asked = subprocess.run(
        ["journalctl", "--quiet", "--lines=1", "--output=cat"], capture_output=True, check=False, timeout=20
    )
    if asked.returncode:
        reason = asked.stderr.decode(errors="replace").strip() or f"journalctl failed with code {asked.returncode}"
        return Discovery("journald", "journal", "unreadable", reason)
    return Discovery("journald", "journal", "found")


def _matching(root: Path, pattern: str) -> list[Path]:
    relative = pattern.lstrip("/")
    if "*" not in relative:
        path = root / relative
        return [path] if os.path.lexists(path) or not _may_enter(path.parent) else []
    folder = root / os.path.dirname(relative)  # noqa: PTH120 - the pattern's folder, as text
    if folder.is_dir() and not _may_enter(folder):
        return [folder]
    return sorted(folder.glob(relative.rpartition("/")[2])) if folder.is_dir() else []


def _may_enter(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None or os.access(folder, os.X_OK, effective_ids=True)
    except PermissionError:
        return False
    except OSError:
        return True


def _may_read(path: Path) -> bool:
    """Try it: access lists and mandatory access control have a say too."""
    try:
        path.open("rb").close()
    except OSError:
        return False
    return True


def _judge(path: Path, form: str, *, repeats: bool) -> Discovery:
    name = str(path)
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return Discovery("file", name, "unreadable", f"no permission to read it: {mend_for(path)}", form)
    except OSError as error:
        return Discovery("file", name, "absent", error.strerror or str(error), form)
    if not stat.S_ISREG(mode):
        reason = f"no permission to look into it: {mend_for(path)}" if stat.S_ISDIR(mode) else f"it is {kind_of(mode)}"
        return Discovery("file", name, "unreadable", reason, form)
    if repeats:
        return Discovery("file", name, "left", "the journal carries the same records", form)
    if not _may_read(path):
        return Discovery("file", name, "unreadable", f"no permission to read it: {mend_for(path)}", form)
    return Discovery("file", name, "found", "", form)


def _has_journal(folder: Path) -> bool:
    try:
        return any(folder.glob("*/*.journal")) or (folder.is_dir() and not _may_enter(folder))
    except OSError:
        return False


def _is_readable_journal(folder: Path) -> bool:
    return any(_may_read(path) for path in folder.glob("*/system*.journal"))
