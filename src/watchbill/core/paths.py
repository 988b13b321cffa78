"""Where an installation keeps its things: one folder holds all of it, so installations live side by side."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path | None:
    """~/.cache/watchbill (XDG_CACHE_HOME is honoured); None where there is none that its owner alone can write."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "watchbill"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except (OSError, RuntimeError):  # nowhere to write, or nobody's home
        return None
    is_shared = hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022)
    return None if is_shared else folder


class DataDir:
    """The folder of one installation. Nothing is created by naming it; ``create`` does that, owner-only."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().resolve()

    @classmethod
    def default(cls) -> DataDir:
        """WATCHBILL_DATA, else ~/.local/share/watchbill (XDG_DATA_HOME is honoured)."""
        if named := os.environ.get("WATCHBILL_DATA"):
            return cls(named)
        home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls(Path(home).expanduser() / "watchbill")

    @property
    def config(self) -> Path:
        return self.root / "watchbill.toml"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def receivers(self) -> Path:
        """Certificates of the receivers, and the digests of the tokens that may push."""
        return self.keys / "receivers"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def database(self) -> Path:
        return self.root / "state.sqlite3"

    @property
    def run(self) -> Path:
        """Sockets, locks and process ids: what a restart may lose."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """What Watchbill's own processes say."""
        return self.root / "logs"

    @property
    def secret_key(self) -> Path:
        return self.keys / "django.key"

    def create(self) -> DataDir:
        """Make the folders that are missing, readable by the owner alone."""
        for path in (self.root, self.ledger, self.keys, self.lake, self.run, self.logs):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self
