"""The catalog of content: what is there, found once by looking into folders, loaded when it is first asked for.

A content package has the folders parsers, rules, checks, notifiers and frameworks (any may be missing). Adding a unit
is adding one file. Outside packages of the same shape are named by the entry point group ``watchbill.content``.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple, TypeVar

from watchbill.core.errors import ContentError, NotFoundError, Place
from watchbill.engine.frameworks import Framework, load_framework
from watchbill.sdk.checks import Check
from watchbill.sdk.notifiers import Notifier
from watchbill.sdk.parsers import Parser

#: In a folder of rules: says that a folder in it is a collection, and values for the rules' placeholders.
COLLECTION = "collection.json"
PLACEHOLDERS = "placeholders.yml"
ENTRY_POINTS = "watchbill.content"
_DOCUMENTS = re.compile(r"^---.*$", re.MULTILINE)
_NAME = re.compile(r"^name:[ \t]*(['\"]?)([^'\"#\n]*?)\1[ \t]*(?:#.*)?$", re.MULTILINE)

Unit = TypeVar("Unit", Parser, Check, Notifier)


class _Unit(NamedTuple):
    module: str
    path: Path


class Catalog:
    """Content by id. Listing the folders is all that ``load`` does; nothing is imported or parsed until asked for,
    so that a process pays for what it uses. Everything raises ContentError with its place when a unit is not as it
    must be, except an installation's own rules: those are left out and named in ``problems``.
    """

    def __init__(self, packages: Sequence[tuple[str, Path]], rule_folders: Sequence[Path] = ()) -> None:
        self._packages = tuple(packages)
        self._rule_folders = tuple(rule_folders)

    @classmethod
    def load(cls, *packages: str, rule_folders: Iterable[Path] = (), outside: bool = True) -> Catalog:
        """Find the content of these packages ("watchbill.content"), of outside packages unless told not to, and of
        further folders of rules (an installation's own; a folder that is not there is an empty one).
        """
        names = list(packages)
        if outside:
            names += [entry.value for entry in entry_points(group=ENTRY_POINTS) if entry.value not in names]
        return cls([(name, _folder(name)) for name in names], [folder for folder in rule_folders if folder.is_dir()])

    @cached_property
    def parsers(self) -> tuple[Parser, ...]:
        return tuple(_unit(place, Parser) for place in self._modules("parsers").values())

    @cached_property
    def checks(self) -> tuple[Check, ...]:
        return tuple(_unit(place, Check) for place in self._modules("checks").values())

    @cached_property
    def notifiers(self) -> tuple[Notifier, ...]:
        return tuple(_unit(place, Notifier) for place in self._modules("notifiers").values())

    @cached_property
    def frameworks(self) -> tuple[Framework, ...]:
        found: dict[str, Framework] = {}
        for path in self._files("frameworks"):
            framework = load_framework(path)
            _demand_name(framework.id, path)
            _demand_new(framework.id, path, found)
            found[framework.id] = framework
        return tuple(found.values())

    @cached_property
    def rule_files(self) -> tuple[Path, ...]:
        """The rule files to load: the shipped ones, then the installation's own."""
        return self._rules[0]

    @property
    def problems(self) -> tuple[ContentError, ...]:
        """The installation's own rule files that were left out, each with its place and reason."""
        return self._rules[1]

    @cached_property
    def _rules(self) -> tuple[tuple[Path, ...], tuple[ContentError, ...]]:
        found: dict[str, Path] = {}
        for path in self._files("rules"):
            _demand_name(rule_name(path) or "", path)
            _demand_new(path.stem, path, found)
            found[path.stem] = path
        problems = []
        for path in self._own_rules():
            if self._collected(path):
                # Their names are their authors' affair; the loader tells apart those of one name.
                found[str(path)] = path
                continue
            try:
                # Sigma rules written elsewhere have no name: the file's own is theirs.
                _demand_name(rule_name(path) or path.stem, path)
                _demand_new(path.stem, path, found)
            except ContentError as error:
                problems.append(error)
            else:
                found[path.stem] = path
        return tuple(found.values()), tuple(problems)

    def _own_rules(self) -> list[Path]:
        files = {path for folder in self._rule_folders for kind in ("*.yml", "*.yaml") for path in folder.rglob(kind)}
        return sorted(files - set(self.placeholders))

    def _collected(self, path: Path) -> bool:
        """Whether a file belongs to a collection of other people's rules."""
        return any(
            folder in path.parents and (folder / path.relative_to(folder).parts[0] / COLLECTION).is_file()
            for folder in self._rule_folders
        )

    @property
    def placeholders(self) -> tuple[Path, ...]:
        """Files with the installation's values for rules that have %names%."""
        return tuple(path for folder in self._rule_folders if (path := folder / PLACEHOLDERS).is_file())

    def notifier(self, notifier_id: str) -> Notifier:
        """One notifier, importing no other. Raises NotFoundError."""
        modules = self._modules("notifiers")
        if notifier_id not in modules:
            raise NotFoundError(f"there is no notifier {notifier_id!r}", mend=f"use one of {', '.join(modules)}")
        return _unit(modules[notifier_id], Notifier)

    def framework(self, framework_id: str) -> Framework:
        """One framework. Raises NotFoundError."""
        for framework in self.frameworks:
            if framework.id == framework_id:
                return framework
        raise NotFoundError(f"there is no framework {framework_id!r}")

    def _files(self, kind: str) -> list[Path]:
        return [path for _, folder in self._packages for path in sorted((folder / kind).glob("*.yml"))]

    def _modules(self, kind: str) -> dict[str, _Unit]:
        found: dict[str, _Unit] = {}
        for package, folder in self._packages:
            for path in sorted((folder / kind).glob("*.py")):
                if path.stem.startswith("_"):
                    continue  # what several units of a folder share is no unit
                _demand_new(path.stem, path, found)
                found[path.stem] = _Unit(f"{package}.{kind}.{path.stem}", path)
        return found


def rule_name(path: Path) -> str | None:
    """The Sigma ``name`` of the last document of a rule file: the one that alerts. None when it has none.

    Read by its line and not by YAML: the engine parses the file anyway, and says with its line what is wrong in it.
    """
    last = [text for text in _DOCUMENTS.split(path.read_text(encoding="utf-8", errors="replace")) if text.strip()]
    match = _NAME.search(last[-1]) if last else None
    return match[2].strip() if match else None


def _folder(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ContentError(f"there is no content package {package!r}", mend="install it, or remove what names it")
    return Path(next(iter(spec.submodule_search_locations)))


def _unit(unit: _Unit, kind: type[Unit]) -> Unit:
    try:
        module = importlib.import_module(unit.module)
    except Exception as error:
        reason = f"importing it failed: {type(error).__name__}: {error}"
        raise ContentError(reason, place=Place(str(unit.path))) from error
    values = [value for value in vars(module).values() if isinstance(value, kind)]
    if len(values) != 1:
        mend = f"define exactly one {kind.__name__} at the module's top level"
        raise ContentError(f"it holds {len(values)} values of {kind.__name__}", place=Place(str(unit.path)), mend=mend)
    _demand_name(values[0].id, unit.path)
    return values[0]


def _demand_name(name: str, path: Path) -> None:
    if name != path.stem:
        said = f"it calls itself {name!r}" if name else "it has no name"
        raise ContentError(f"{said}, but its file is {path.name!r}", place=Place(str(path)), mend="make both the same")


def _demand_new(name: str, path: Path, found: dict[str, Path] | dict[str, _Unit] | dict[str, Framework]) -> None:
    if name in found:
        other = found[name]
        where = other if isinstance(other, Path) else other.path if isinstance(other, _Unit) else other.title
        raise ContentError(f"{name!r} is there already ({where})", place=Place(str(path)), mend="give it another name")
