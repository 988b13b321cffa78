"""The rules of an installation as people look through them: what runs, on what, from where, and what does not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.engine.detect import RuleSet
from watchbill.flows.collections import OWN, SHIPPED, Collection, readable
from watchbill.sdk import RuleInfo

#: What rules are told apart by.
KEYS = ("collection", "severity", "product", "service", "category", "status", "owner")
#: Stands for what a rule does not say; without a product it is for any.
UNSAID = "none"


class RuleFilter(msgspec.Struct, frozen=True):
    """All that is given must hold; of several values for one thing one must ("none": the rule says nothing of it)."""

    text: str = ""
    control: str = ""
    collection: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    product: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    category: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()


class RuleProblem(msgspec.Struct, frozen=True):
    """Why a rule does not run, and the file and line that say so."""

    file: str
    line: int | None
    reason: str
    collection: str = ""


class RuleCollection(msgspec.Struct, frozen=True):
    """A collection that was added. ``version`` is its git commit; ``rules`` of it run, ``problems`` do not."""

    name: str
    source: str
    version: str
    licence: str
    licence_file: str
    files: int
    rules: int
    problems: int
    at: int


class _Entry(msgspec.Struct, frozen=True):
    info: RuleInfo
    words: str
    values: dict[str, tuple[str, ...]]


class Rulebook:
    """All rules that were loaded together, the worst first. Files are named from the folder of rules on; nothing in it
    changes, so that threads may share it.
    """

    def __init__(self, data: DataDir, config: Config, ruleset: RuleSet) -> None:
        self.ruleset = ruleset
        self._root = data.root / "rules"
        self._others = [Path(folder) for folder in config.detect.rules]
        found, unreadable = readable(data)
        self._names = {one.name for one in found}
        infos = [self._placed(info) for info in ruleset.infos.values()]
        infos.sort(key=lambda info: (-info.severity.rank, info.title))
        self._entries = [_Entry(info, _words(info), _values(info)) for info in infos]
        self.by_name = {info.id: info for info in infos}
        said = [(one.place.file, one.place.line, one.reason) for one in ruleset.problems]
        said += [(error.place.file if error.place else "", None, error.what) for error in unreadable]
        self.problems = tuple(
            RuleProblem(file, line, reason, collection)
            for name, line, reason in said
            for file, collection in [self._place(name)]
        )
        run = Counter(self._place(rule.path)[1] for rule in ruleset.rules)
        fail = Counter(one.collection for one in self.problems)
        self.collections = tuple(_collection(one, run[one.name], fail[one.name]) for one in found)

    def find(self, wanted: RuleFilter) -> list[RuleInfo]:
        """The rules that alert and meet a filter, the worst first."""
        return [entry.info for entry, missed in self._judged(wanted) if not missed]

    def counts(self, wanted: RuleFilter) -> dict[str, Counter[str]]:
        """How many rules there are of each value of each key, under all filters but the one on that key itself."""
        found: dict[str, Counter[str]] = {key: Counter() for key in KEYS}
        for entry, missed in self._judged(wanted):
            if len(missed) < 2:
                for key in missed or KEYS:
                    found[key].update(entry.values[key])
        return found

    def find_problems(self, text: str = "", collection: Iterable[str] = ()) -> list[RuleProblem]:
        """The rules that do not run whose file or reason has these words."""
        words, names = text.lower().split(), set(collection)
        return [
            one
            for one in self.problems
            if (not names or one.collection in names)
            and all(word in f"{one.file} {one.reason}".lower() for word in words)
        ]

    def _judged(self, wanted: RuleFilter) -> Iterable[tuple[_Entry, list[str]]]:
        """The rules with these words, and by which keys each is not wanted."""
        words = wanted.text.lower().split()
        asked = [(key, set(values)) for key in KEYS if (values := getattr(wanted, key))]
        for entry in self._entries:
            if wanted.control and wanted.control not in entry.info.controls:
                continue
            if all(word in entry.words for word in words):
                yield entry, [key for key, values in asked if values.isdisjoint(entry.values[key])]

    def _placed(self, info: RuleInfo) -> RuleInfo:
        file, collection = self._place(info.path)
        return msgspec.structs.replace(info, path=file, collection=collection)

    def _place(self, file: str) -> tuple[str, str]:
        """A rule's file without the folders of this machine, and its collection."""
        path = Path(file)
        if path.is_relative_to(self._root):
            inside = path.relative_to(self._root)
            return str(inside), inside.parts[0] if inside.parts[0] in self._names else OWN
        for folder in self._others:
            if path.is_relative_to(folder):
                return str(path.relative_to(folder)), OWN
        return path.name, SHIPPED


def _collection(one: Collection, run: int, fail: int) -> RuleCollection:
    return RuleCollection(
        one.name, _source(one.source), one.version, one.licence, one.licence_file, one.files, run, fail, one.at
    )


def _source(source: str) -> str:
    """An address without what somebody signed in with, or a folder's own name."""
    parts = urlsplit(source)
    if not parts.scheme:
        return Path(source).name
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _words(info: RuleInfo) -> str:
    """All that a search looks at."""
    sources = " ".join(" ".join(one) for one in info.logsources)
    return (
        f"{info.id} {info.title} {info.description} {info.owner} {' '.join(info.controls)} {' '.join(info.tags)} "
        f"{sources} {info.extra.get('sigma_id', '')} {info.path}"
    ).lower()


def _values(info: RuleInfo) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {
        key: (str(getattr(info, key)) or UNSAID,) for key in ("collection", "severity", "status", "owner")
    }
    for key in ("product", "service", "category"):
        found[key] = tuple(sorted({getattr(one, key) or UNSAID for one in info.logsources})) or (UNSAID,)
    return found


def on_what(info: RuleInfo) -> str:
    """The log sources of a rule in words: "windows · process_creation, linux · auditd"."""
    return ", ".join(" · ".join(part for part in one if part) or "anything" for one in info.logsources)
