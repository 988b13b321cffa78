"""The installation that a web process serves: opened once, handed to the console and the API that need it.

Rules are the exception: they are loaded anew when their files change.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import cache
from pathlib import Path

from django.conf import settings

from watchbill.core.config import Config
from watchbill.core.errors import WatchbillError
from watchbill.core.paths import DataDir
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import RuleSet
from watchbill.engine.frameworks import Control, Framework
from watchbill.flows import content
from watchbill.flows.prepare import FRAMEWORK
from watchbill.flows.rulebook import Rulebook
from watchbill.lake import Lake

#: At most so often the files of rules are looked at: some 20 ms for thousands of them.
CHECK_SECONDS = 2
#: Seconds that somebody waits for changed rules: thousands that the engine has taken up need half a second.
_PATIENCE = 1
log = logging.getLogger(__name__)


def data() -> DataDir:
    found: DataDir = settings.DATA
    return found


def config() -> Config:
    found: Config = settings.CONFIG
    return found


@cache
def catalog() -> Catalog:
    return content.installed(data(), config())


class _Rules:
    """The rules as they are on disk, some seconds late. All wait for the first ones; for those that changed only who
    notices it does, and not for long: then the ones of before are shown until the new ones are loaded.
    """

    def __init__(self, data: DataDir, config: Config) -> None:
        self._data, self._config = data, config
        self._folders = content.RuleFolders(data, config)
        self._loading = threading.Lock()
        self._due = 0.0
        self._book: Rulebook | None = None

    def book(self) -> Rulebook:
        if self._book is None:
            with self._loading:
                if self._book is None:  # else another one loaded it while we waited
                    self._book = self._load()
        elif time.monotonic() >= self._due and self._loading.acquire(blocking=False):
            self._due = time.monotonic() + CHECK_SECONDS
            if self._folders.fingerprint() == self._folders.loaded:
                self._loading.release()
            else:
                reload = threading.Thread(target=self._reload, name="rules", daemon=True)
                reload.start()
                reload.join(_PATIENCE)
        return self._book

    def _load(self) -> Rulebook:
        found = Rulebook(self._data, self._config, self._folders.load())
        self._due = time.monotonic() + CHECK_SECONDS
        return found

    def _reload(self) -> None:
        try:
            self._book = self._load()
        except (OSError, WatchbillError):  # files that go while they are read; those of before stand, and we try again
            self._folders.loaded = 0
            log.exception("the rules changed and cannot be loaded")
        finally:
            self._loading.release()


@cache
def _rules(root: Path) -> _Rules:
    return _Rules(DataDir(root), config())


def rulebook() -> Rulebook:
    """The rules of now, to look through; the same object until a file of them changes."""
    return _rules(data().root).book()


def start_loading() -> None:
    """Load the rules before the first page wants them."""
    threading.Thread(target=rulebook, name="rules", daemon=True).start()


def ruleset() -> RuleSet:
    return rulebook().ruleset


@cache
def framework() -> Framework:
    return catalog().framework(FRAMEWORK)


@cache
def requirements() -> dict[str, Control]:
    """The clauses and controls by number, in the order of the standard."""
    return {control.id: control for control in framework().controls}


@cache
def lake() -> Lake:
    return Lake(data().lake)
