"""Rules from folders and files of other people: what of them is a rule, and which of them run."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from watchbill.core.errors import ContentError, NotFoundError, Place
from watchbill.engine.catalog import PLACEHOLDERS
from watchbill.engine.detect import Problem, Rule, RuleSet, load_rules
from watchbill.engine.detect.documents import Map, Seq, documents
from watchbill.engine.detect.modifiers import Placeholders
from watchbill.engine.detect.predicates import text_of

SUFFIXES = frozenset({".yml", ".yaml"})
LICENCES = re.compile(r"(?:LICEN[CS]E|COPYING|NOTICE)(?:[.-].*)?$", re.IGNORECASE)
#: A collection may be this big: SigmaHQ's is 4,000 files and 12 MB.
MOST_FILES = 50_000
MOST_FILE = 1 << 20
MOST_BYTES = 512 << 20
_DEPRECATED = "deprecated"


def rule_files(paths: Iterable[Path]) -> list[Path]:
    """The YAML files that are named, and those in the folders that are; hidden ones are left out. Raises NotFoundError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
            found += [file for file in inside if not any(part.startswith(".") for part in file.relative_to(path).parts)]
        elif path.is_file():
            found.append(path)
        else:
            raise NotFoundError(f"there is no rule file or folder {path}")
    return sorted({file for file in found if file.name != PLACEHOLDERS})


@contextmanager
def unpacked(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """The same paths, with zip archives unpacked for as long as the context lasts."""
    with ExitStack() as stack:
        found = []
        for path in paths:
            if path.is_file() and path.suffix.lower() == ".zip":
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="watchbill-rules-")))
                unzip(path, folder)
                found.append(folder)
            else:
                found.append(path)
        yield found


def unzip(archive: Path, folder: Path) -> None:
    """Take the rule and licence files out of a zip. Raises ContentError for one that is damaged or too big.

    Each file gets its name from its own parts, checked one by one, so nothing is written beside ``folder``.
    """
    place = Place(str(archive))
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [one for one in opened.infolist() if not one.is_dir() and is_wanted(one.filename)]
            if len(members) > MOST_FILES:
                raise ContentError(f"the archive holds more than {MOST_FILES} rules", place=place)
            left = MOST_BYTES
            for member in members:
                parts = member.filename.split("/")
                if any(part in {"", ".", ".."} or "\\" in part or "\0" in part for part in parts):
                    raise ContentError(f"the archive names a file {member.filename!r}", place=place)
                with opened.open(member) as stream:
                    content = stream.read(min(left, MOST_FILE) + 1)
                left -= len(content)
                if left < 0 or len(content) > MOST_FILE:
                    raise ContentError(f"{member.filename} is too large for a rule", place=place)
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise ContentError(f"the zip archive cannot be read: {error}", place=place) from None


def is_wanted(name: str) -> bool:
    """Whether a file of a collection is a rule or its licence."""
    last = name.rpartition("/")[2]
    return Path(last).suffix in SUFFIXES or LICENCES.match(last) is not None


def read_placeholders(path: Path) -> dict[str, list[str]]:
    """Values for ``expand``: a YAML mapping of names to a value or a list of values. Raises ContentError."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ContentError(f"the placeholders cannot be read: {error}", place=Place(str(path))) from None
    found: dict[str, list[str]] = {}
    for line, document in documents(str(path), text):
        if not isinstance(document, Map):
            raise ContentError("placeholders are a mapping of names to values", place=Place(str(path), line))
        for name, value in document.items():
            values = value if isinstance(value, list) else [value]
            if any(isinstance(one, (Map, Seq)) or one is None for one in values):
                place = Place(str(path), document.lines[name])
                raise ContentError(f"{name} must be a value or a list of values", place=place)
            found[name.strip("%")] = [text_of(one) for one in values]
    return found


def load(
    files: Sequence[Path],
    placeholders: Placeholders | None = None,
    *,
    deprecated: bool = False,
    cache: Path | None = None,
) -> RuleSet:
    """Load rules that others wrote. What their authors took back does not run (unless told to), and says so.

    ``cache`` is a file that makes the next start with the same rules quick.
    """
    found = load_rules(files, placeholders, cache=cache)
    return found if deprecated else _without_deprecated(found)


def _without_deprecated(ruleset: RuleSet) -> RuleSet:
    needed = {name for rule in ruleset.rules if rule.correlation for name in rule.correlation.rules}
    kept, problems = [], list(ruleset.problems)
    for rule in ruleset.rules:
        if rule.meta.get("status") == _DEPRECATED and rule.name not in needed:
            problems.append(Problem(Place(rule.path, rule.meta.lines.get("status", rule.line)), _reason(rule)))
        else:
            kept.append(rule)
    return RuleSet(tuple(kept), tuple(problems), ruleset.ends)


def _reason(rule: Rule) -> str:
    related = rule.meta.get("related")
    others = [
        str(one.get("id")) for one in related or () if isinstance(one, dict) and str(one.get("type")) != "similar"
    ]
    instead = f" (related: {', '.join(others)})" if others else ""
    return f"its authors have deprecated it{instead}"
