"""Collections of other people's rules in an installation: fetched, checked, put in place, taken out again.

A collection is a folder of its own, DATA/rules/<name>, with its rules and licences under the paths that they had, and
``collection.json``: where it came from. It is made beside and put in place by renaming, so that a reader sees the old
or the new one; a running engine takes it up within seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from watchbill.core.clock import Clock
from watchbill.core.errors import ConflictError, ContentError, NotFoundError, Place
from watchbill.core.paths import DataDir
from watchbill.engine import rulefiles
from watchbill.engine.catalog import COLLECTION, PLACEHOLDERS
from watchbill.engine.detect import RuleSet

_MOST_DOWNLOAD = 256 << 20
_FETCH_SECONDS = 300
_WAIT_SECONDS = 30
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
#: What the rules are called that belong to no collection.
SHIPPED, OWN = "watchbill", "own"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_URL = re.compile(r"(https|ssh|git|http|file|ftp)://", re.IGNORECASE)
#: A document is a Sigma rule when one of these stands at the left edge.
_RULE = re.compile(rb"^(?:detection|correlation|filter)\s*:", re.MULTILINE)
_KNOWN_LICENCES = (
    "Detection Rule License", "Apache License", "MIT License", "GNU Affero General Public License",
    "GNU General Public License", "GNU Lesser General Public License", "BSD", "Elastic License", "Mozilla Public License",
    "Creative Commons",
)  # fmt: skip


class Collection(msgspec.Struct, frozen=True):
    """A collection as it stands in an installation. ``licence`` names what its licence file says of itself, ``version``
    the git commit that it was; "" for what came without one.
    """

    name: str
    source: str
    licence: str
    licence_file: str
    files: int
    at: int
    version: str = ""


class Added(msgspec.Struct, frozen=True):
    """What adding gives, or would give: how many rules run, and each that does not with place and reason."""

    collection: Collection
    rules: int
    problems: tuple[str, ...]
    replaced: bool


def collections(data: DataDir) -> list[Collection]:
    """The collections of an installation, by name. Raises ContentError when one cannot be read."""
    found, unreadable = readable(data)
    if unreadable:
        raise unreadable[0]
    return found


def readable(data: DataDir) -> tuple[list[Collection], list[ContentError]]:
    """The collections that can be read, by name, and what is wrong with the others."""
    found, unreadable = [], []
    for path in sorted((data.root / "rules").glob(f"*/{COLLECTION}")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Collection))
        except (OSError, msgspec.MsgspecError) as error:
            unreadable.append(
                ContentError(f"it cannot be read: {error}", place=Place(str(path)), mend="remove its folder")
            )
    return found, unreadable


def add(data: DataDir, source: str, clock: Clock, *, name: str = "", dry_run: bool = False) -> Added:
    """Take a folder, a zip, a git repository or a zip's https address as a collection; one of that name is replaced.

    Raises NotFoundError and ContentError; until all is checked nothing of the installation is touched.
    """
    name = _named(name or _name_of(source))
    root = data.root / "rules"
    target = root / name
    if target.exists() and not (target / COLLECTION).is_file():
        raise ConflictError(f"{target} is a folder of your own rules", mend="choose another --name")
    with _fetched(source) as folder, _beside(data) as staged:
        count = _copy(folder, staged)
        if not count:
            raise ContentError("no Sigma rule is in it", place=Place(source), mend="name a folder of .yml rules")
        licence, licence_file = _licence(staged)
        kept = source if _URL.match(source) else str(Path(source).resolve())
        collection = Collection(name, kept, licence, licence_file, count, clock.now(), _version(source, folder))
        ruleset = _checked(data, staged)
        replaced = target.exists()
        problems = tuple(str(one).replace(f"{staged}/", "") for one in ruleset.problems)
        added = Added(collection, len(ruleset.rules), problems, replaced)
        if not dry_run:
            (staged / COLLECTION).write_bytes(msgspec.json.format(msgspec.json.encode(collection), indent=1))
            _put(staged, target)
    return added


def update(data: DataDir, name: str, clock: Clock, *, dry_run: bool = False) -> Added:
    """Fetch a collection again from where it came."""
    return add(data, _one(data, name).source, clock, name=name, dry_run=dry_run)


def remove(data: DataDir, name: str) -> Collection:
    """Take a collection out. Its alerts stay what they are."""
    collection = _one(data, name)
    with _beside(data) as trash:
        (data.root / "rules" / name).rename(trash / "old")
    return collection


def _one(data: DataDir, name: str) -> Collection:
    for collection in collections(data):
        if collection.name == name:
            return collection
    known = ", ".join(one.name for one in collections(data)) or "none"
    raise NotFoundError(f"there is no collection {name!r}", mend=f"there is: {known}")


def _named(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ContentError(f"{name!r} is no name for a collection", mend="use --name with a-z, 0-9 and -")
    if name in {SHIPPED, OWN}:
        raise ContentError(f"{name!r} is what other rules are called already", mend="choose another --name")
    return name


def _name_of(source: str) -> str:
    """A name made of the source's own: "https://github.com/SigmaHQ/sigma.git" is sigmahq-sigma."""
    if _URL.match(source):
        parts = [part for part in urlsplit(source).path.split("/") if part]
        words = parts[:2] if urlsplit(source).hostname in {"github.com", "gitlab.com", "codeberg.org"} else parts[-1:]
    else:
        words = [Path(source).resolve().name]
    plain = "-".join(word.removesuffix(".git").removesuffix(".zip") for word in words)
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:63] or "rules"


@contextmanager
def _fetched(source: str) -> Iterator[Path]:
    """The source as a folder, for as long as the context lasts."""
    if not _URL.match(source):
        path = Path(source)
        if path.is_file() and path.suffix.lower() != ".zip":
            raise ContentError("it is neither a folder nor a zip", place=Place(source))
        if not path.exists():
            raise NotFoundError(f"there is no {source}", mend="name a folder, a zip or an address")
        with rulefiles.unpacked([path]) as (folder,):
            yield folder
        return
    if urlsplit(source).scheme.lower() != "https":
        raise ContentError("rules are fetched over https alone", place=Place(source), mend="use an https:// address")
    with tempfile.TemporaryDirectory(prefix="watchbill-fetch-") as scratch:
        folder = Path(scratch) / "rules"
        folder.mkdir()
        if urlsplit(source).path.lower().endswith(".zip"):
            archive = Path(scratch) / "rules.zip"
            _download(source, archive)
            rulefiles.unzip(archive, folder)
        else:
            _clone(source, folder)
        yield folder


def _download(address: str, target: Path) -> None:
    try:
        opener = urllib.request.build_opener(_HttpsOnly)
        with opener.open(address, timeout=_WAIT_SECONDS) as answer, target.open("wb") as stream:
            left = _MOST_DOWNLOAD
            while chunk := answer.read(1 << 20):
                left -= len(chunk)
                if left < 0:
                    raise ContentError(f"it is larger than {_MOST_DOWNLOAD >> 20} MiB", place=Place(address))
                stream.write(chunk)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise ContentError(f"it cannot be fetched: {error}", place=Place(address)) from None


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """No redirect may lead away from https."""

    def redirect_request(self, *request: Any) -> urllib.request.Request | None:
        newurl = request[-1]
        if urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError("it leads away from https")
        return super().redirect_request(*request)


def _clone(address: str, folder: Path) -> None:
    git = shutil.which("git")
    if git is None:
        raise ContentError(
            "a repository needs the program git", place=Place(address), mend="install git, or name a .zip of it"
        )
    settings = {
        "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "https", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ.get("PATH", ""), "HOME": str(folder.parent),
    }  # fmt: skip
    words = [git, "-c", "core.symlinks=false", "-c", "core.hooksPath=/dev/null", "clone", "-q", "--depth", "1"]
    try:
        done = subprocess.run(
            [*words, "--", address, str(folder)], capture_output=True, env=settings, timeout=_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ContentError(f"git took longer than {_FETCH_SECONDS} s", place=Place(address), mend="") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise ContentError(f"git cannot fetch it: {said[-1]}", place=Place(address))


@contextmanager
def _beside(data: DataDir) -> Iterator[Path]:
    """A folder on the same disk as the installation, and nobody's place for rules."""
    data.root.mkdir(parents=True, exist_ok=True)
    (data.root / "rules").mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".collection-", dir=data.root, ignore_cleanup_errors=True) as folder:
        staged = Path(folder) / "new"
        staged.mkdir()
        yield staged


def _copy(folder: Path, staged: Path) -> int:
    """Take what is a rule or a licence, under its own path; symbolic links are not followed. Returns the rules' number."""
    count = size = 0
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_symlink() or not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        if not rulefiles.is_wanted(path.name) or any(
            parent.is_symlink() for parent in path.parents if parent != folder
        ):
            continue
        if path.stat().st_size > rulefiles.MOST_FILE:
            raise ContentError(f"it is larger than {rulefiles.MOST_FILE >> 20} MiB", place=Place(str(path)))
        content = path.read_bytes()
        is_rule = path.suffix in rulefiles.SUFFIXES
        if is_rule and not _RULE.search(content):
            continue
        count, size = count + is_rule, size + len(content)
        if count > rulefiles.MOST_FILES or size > rulefiles.MOST_BYTES:
            raise ContentError(f"more than {rulefiles.MOST_FILES} rules", place=Place(str(folder)))
        target = staged / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return count


def _licence(folder: Path) -> tuple[str, str]:
    """What the licence file nearest to the top says of itself, and where it stands; "" when there is none."""
    found = [path for path in folder.rglob("*") if path.is_file() and rulefiles.LICENCES.match(path.name)]
    if not found:
        return "", ""
    nearest = min(found, key=lambda path: (len(path.parts), path.name))
    text = " ".join(nearest.read_text("utf-8", errors="replace")[:4_000].split())
    lowered = text.lower()
    known = next((name for name in _KNOWN_LICENCES if name.lower() in lowered), "")
    return known or text[:80], str(nearest.relative_to(folder))


def _version(source: str, folder: Path) -> str:
    """The commit of a checkout (of which ``folder`` may be the part that has the rules), or of an archive that names it
    as its comment, which is what git makes. Read by ourselves: git would run what a checkout's settings name.
    """
    archive = Path(source)
    if archive.suffix.lower() == ".zip" and archive.is_file():
        with zipfile.ZipFile(archive) as opened:
            said = opened.comment.decode("ascii", "replace").strip()
        return said if _COMMIT.fullmatch(said) else ""
    for top in (folder, folder.resolve().parent):
        if (top / ".git" / "HEAD").is_file():
            return _head(top / ".git")
    return ""


def _head(git: Path) -> str:
    try:
        said = (git / "HEAD").read_text("ascii").strip()
        if said.startswith("ref: refs/") and ".." not in said:
            name = said.removeprefix("ref: ")
            if (git / name).is_file():
                said = (git / name).read_text("ascii").strip()
            else:
                packed = (line.split(" ") for line in (git / "packed-refs").read_text("ascii").splitlines())
                said = next((line[0] for line in packed if line[1:] == [name]), "")
    except (OSError, ValueError):
        return ""
    return said if _COMMIT.fullmatch(said) else ""


def _checked(data: DataDir, staged: Path) -> RuleSet:
    values = data.root / "rules" / PLACEHOLDERS
    return rulefiles.load(
        rulefiles.rule_files([staged]), rulefiles.read_placeholders(values) if values.is_file() else None
    )


def _put(staged: Path, target: Path) -> None:
    """Put the new folder in the old one's place; the old one goes with the scratch folder."""
    if target.exists():
        target.rename(staged.parent / "old")
    staged.rename(target)
