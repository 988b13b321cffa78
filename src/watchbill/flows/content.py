"""The content of an installation: what Watchbill brings, what packages add, and the installation's own rules."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from watchbill.core.config import Config
from watchbill.core.errors import ContentError, Place
from watchbill.core.paths import DataDir
from watchbill.engine import rulefiles
from watchbill.engine.catalog import Catalog
from watchbill.engine.detect import Problem, RuleSet

PACKAGE = "watchbill.content"


def installed(data: DataDir, config: Config) -> Catalog:
    """The catalog with the installation's own rules: DATA/rules, and the folders that the configuration names."""
    return Catalog.load(PACKAGE, rule_folders=_folders(data, config))


def _folders(data: DataDir, config: Config) -> list[Path]:
    return [data.root / "rules", *map(Path, config.detect.rules)]


class RuleFolders:
    """The rules of an installation as they are on disk now."""

    def __init__(self, data: DataDir, config: Config) -> None:
        self._data, self._config = data, config
        #: The fingerprint of what was loaded last, or before.
        self.loaded = 0
        self._ends = 0  # when the first filter of what was loaded is over

    def load(self) -> RuleSet:
        self._ends = 0
        self.loaded = self.fingerprint()
        found = rules(installed(self._data, self._config), cache=self._data.run / "rules.cache")
        self._ends = found.ends
        return found

    def fingerprint(self) -> int:
        """A number that is another one when a file of the installation's own folders was added, changed or taken away, or
        when a filter is over; it holds within this process. Some milliseconds for thousands of files.
        """
        over = 0 < self._ends <= time.time_ns()
        files = tuple(entry for folder in _folders(self._data, self._config) for entry in _entries(str(folder)))
        return hash((over, files))


def _entries(folder: str) -> Iterator[tuple[str, int, int]]:
    """Path, time of change and size of each file below a folder."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:  # it is not there, or went while we looked
        return
    for entry in entries:
        if entry.is_dir():
            yield from _entries(entry.path)
        else:
            with contextlib.suppress(OSError):
                known = entry.stat()
                yield entry.path, known.st_mtime_ns, known.st_size


def rules(catalog: Catalog, cache: Path | None = None) -> RuleSet:
    """All rules of a catalog; ``problems`` names each one that does not run, with its place and reason.

    ``cache`` is a file that makes the next start with the same rules quick.
    """
    refused = [Problem(error.place or Place(PACKAGE), error.what) for error in catalog.problems]
    values: dict[str, list[str]] = {}
    for path in catalog.placeholders:
        try:
            values |= rulefiles.read_placeholders(path)
        except ContentError as error:
            refused.append(Problem(error.place or Place(str(path)), error.what))
    found = rulefiles.load(catalog.rule_files, values, cache=cache)
    return RuleSet(found.rules, (*refused, *found.problems), found.ends)


def digest(ruleset: RuleSet) -> str:
    """Names a set of rules: the same rules, in the same words, have the same digest."""
    found = hashlib.sha256()
    for name, version in sorted(versions(ruleset).items()):
        found.update(f"{name}\0{version}\n".encode())
    return found.hexdigest()[:16]


def versions(ruleset: RuleSet) -> dict[str, str]:
    """The version of each rule that runs: a digest of the text that it stands in."""
    texts = {rule.text: hashlib.sha256(rule.text.encode()).hexdigest()[:16] for rule in ruleset.rules}
    return {rule.name: texts[rule.text] for rule in ruleset.rules}
